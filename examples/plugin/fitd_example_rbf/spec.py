"""What a job spec may say of the model. No torch here: the API reads specs without it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.layers import Shape
from service.spec.plugins import PluginModel


class RBFModel(PluginModel):
    """A sum of bumps: each has a trained centre, width and height for each output."""

    network: ClassVar[str] = "fitd_example_rbf.network:RBF"

    type: Literal["rbf"]
    bumps: Annotated[int, Field(ge=1, le=10_000)] = 8
    """How many bumps."""
    width: Annotated[float, Field(gt=0)] = 1.0
    """Width of each bump at the start, in units of the features."""

    def parameter_count(self, *, inputs: Shape, outputs: int | None) -> int:
        """Count centres, widths, heights and one shift for each output."""
        targets = outputs or 1
        return self.bumps * (inputs[-1] + 1 + targets) + targets
