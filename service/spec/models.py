"""The models. A new one is a class here, its name in `ModelSpec`, and a builder in `training.networks`."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.base import SpecModel

__all__ = ["LinearModel", "ModelSpec"]


class LinearModel(SpecModel):
    """A line, plane or hyperplane: one coefficient for each feature and an intercept; `torch.nn.Linear`."""

    type: Literal["linear"]
    bias: bool = True
    """Fit an intercept."""

    def parameter_count(self, *, features: int, targets: int) -> int:
        """Count the trained numbers."""
        return (features + int(self.bias)) * targets


# The second member of the union comes with the next model: a union of one is written as itself.
ModelSpec = Annotated[LinearModel, Field()]
