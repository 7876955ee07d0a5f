"""Losses for numbers."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.base import NonNegative, Positive
from service.spec.losses.base import Loss, Output

__all__ = ["GaussianNLLLoss", "HuberLoss", "L1Loss", "MSELoss", "PoissonNLLLoss", "SmoothL1Loss"]


class MSELoss(Loss):
    """Mean of the squared errors."""

    type: Literal["MSELoss"]


class L1Loss(Loss):
    """Mean of the absolute errors: outliers pull less than with squared errors."""

    type: Literal["L1Loss"]


class SmoothL1Loss(Loss):
    """Squared below `beta`, absolute above it."""

    type: Literal["SmoothL1Loss"]
    beta: NonNegative = 1.0
    """Absolute error at which the loss changes from squared to absolute; in units of the target."""


class HuberLoss(Loss):
    """Squared below `delta`, absolute with slope `delta` above it."""

    type: Literal["HuberLoss"]
    delta: Positive = 1.0
    """Absolute error at which the loss changes from squared to absolute; in units of the target."""


class PoissonNLLLoss(Loss):
    """Negative log-likelihood of counts that follow a Poisson distribution.

    The network gives the logarithm of the expected count, or the count itself if `log_input` is false.
    """

    type: Literal["PoissonNLLLoss"]
    log_input: bool = True
    """Take the network's output as the logarithm of the expected count."""
    full: bool = False
    """Add the term of Stirling's formula, which does not depend on the network."""
    eps: Positive = 1e-8
    """Added before the logarithm where `log_input` is false."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Any number as a logarithm; a count must be positive."""
        return ("raw",) if self.log_input else ("positive", "probability")


class GaussianNLLLoss(Loss):
    """Negative log-likelihood of numbers that follow a normal distribution, whose width is fitted too.

    The network gives twice as many numbers as there are targets: first the means, then the logarithms of
    the variances.
    """

    type: Literal["GaussianNLLLoss"]
    full: bool = False
    """Add the constant term, log(2 pi) / 2."""
    eps: Annotated[float, Field(gt=0, le=1e30)] = 1e-6
    """The smallest variance; smaller ones are taken as this."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """A logarithm of a variance may be any number."""
        return ("raw",)

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Count a mean and a log-variance for each target."""
        return 2 * targets
