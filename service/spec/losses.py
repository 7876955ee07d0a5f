"""The losses, by torch's names and with torch's parameters and defaults.

A new loss is one class here and its name in `LossSpec`: the trainer builds
`getattr(torch.nn, type)(**parameters)`, capabilities and the OpenAPI document follow.
"""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.base import NonNegative, Positive, SpecModel

__all__ = ["HuberLoss", "L1Loss", "LossSpec", "MSELoss", "SmoothL1Loss"]


class MSELoss(SpecModel):
    """Mean of the squared errors."""

    type: Literal["MSELoss"]


class L1Loss(SpecModel):
    """Mean of the absolute errors: outliers pull less than with squared errors."""

    type: Literal["L1Loss"]


class SmoothL1Loss(SpecModel):
    """Squared below `beta`, absolute above it."""

    type: Literal["SmoothL1Loss"]
    beta: NonNegative = 1.0
    """Absolute error at which the loss changes from squared to absolute; in units of the target."""


class HuberLoss(SpecModel):
    """Squared below `delta`, absolute with slope `delta` above it."""

    type: Literal["HuberLoss"]
    delta: Positive = 1.0
    """Absolute error at which the loss changes from squared to absolute; in units of the target."""


LossSpec = Annotated[MSELoss | L1Loss | SmoothL1Loss | HuberLoss, Field(discriminator="type")]
