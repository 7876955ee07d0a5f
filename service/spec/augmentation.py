"""Random changes of the rows of a batch: the network sees something new in each epoch."""

from typing import Annotated, Literal

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import Positive, SpecModel

__all__ = ["Augmentation", "Flip", "Noise", "Rotation", "Shift", "augmentation_problems"]

Shape = tuple[int, ...]
IMAGE_AXES = 2


class Noise(SpecModel):
    """Normal noise on every input; on tables it works like a penalty on large weights."""

    type: Literal["noise"]
    std: Positive
    """Standard deviation, in units of the scaled inputs."""

    def problem(self, inputs: Shape) -> str | None:  # noqa: ARG002 - the signature of every augmentation
        """Every input can be noisy."""
        return None


class Flip(SpecModel):
    """Images turned around, each with a probability."""

    type: Literal["flip"]
    axis: Literal["horizontal", "vertical"] = "horizontal"
    """Left for right, or top for bottom."""
    p: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Probability for each image."""

    def problem(self, inputs: Shape) -> str | None:
        """Tell why these inputs are no images."""
        return _no_image(inputs)


class Shift(SpecModel):
    """Images moved by some pixels, the edge filled with zeros."""

    type: Literal["shift"]
    pixels: Annotated[int, Field(ge=1, le=1024)]
    """Largest distance, each way."""

    def problem(self, inputs: Shape) -> str | None:
        """Tell why these inputs are no images, or smaller than the shift."""
        if not _no_image(inputs) and self.pixels >= min(inputs[-IMAGE_AXES:]):
            return f"the images are only {inputs[-2]} x {inputs[-1]} pixels"
        return _no_image(inputs)


class Rotation(SpecModel):
    """Images turned by some degrees around their middle, the corners filled with zeros."""

    type: Literal["rotation"]
    degrees: Annotated[float, Field(gt=0, le=180)]
    """Largest angle, each way."""

    def problem(self, inputs: Shape) -> str | None:
        """Tell why these inputs are no images."""
        return _no_image(inputs)


def _no_image(inputs: Shape) -> str | None:
    return None if len(inputs) > IMAGE_AXES - 1 else "the rows are no images"


Augmentation = Annotated[Noise | Flip | Shift | Rotation, Field(discriminator="type")]


def augmentation_problems(steps: tuple[Augmentation, ...], inputs: Shape) -> list[Problem]:
    """Tell which augmentations do not fit the inputs; pointers are relative to the job.

    Args:
        steps: Of the spec.
        inputs: Shape of one row.
    """
    found = []
    for index, step in enumerate(steps):
        why = step.problem(inputs)
        if why:
            message = f"`{step.type}` cannot be applied: {why}."
            hint = "Noise fits every kind of row; the others need images."
            found.append(Problem(f"/training/augmentation/{index}", "incompatible_fields", message, hint))
    return found
