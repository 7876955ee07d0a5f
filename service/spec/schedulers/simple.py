"""The schedulers that follow one formula, and the one that watches the loss."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import NonNegative, Positive
from service.spec.limits import Limits
from service.spec.schedulers.base import MAX_COUNT, Count, Factor, Warmable, not_rising

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "StepLR",
]


class StepLR(Warmable):
    """The learning rate times `gamma` after every `step_size` intervals."""

    type: Literal["StepLR"]
    step_size: Count
    """Intervals from one change to the next."""
    gamma: Positive = 0.1
    """Factor of each change."""


class MultiStepLR(Warmable):
    """The learning rate times `gamma` at given points."""

    type: Literal["MultiStepLR"]
    milestones: Annotated[tuple[Count, ...], Field(min_length=1, max_length=1000)]
    """Intervals after which the learning rate changes, rising."""
    gamma: Positive = 0.1
    """Factor of each change."""

    def own_problems(self, limits: Limits) -> list[Problem]:
        """Refuse milestones that do not rise, beside what is wrong with the warm-up."""
        return super().own_problems(limits) + not_rising(self.milestones)


class ConstantLR(Warmable):
    """A share of the learning rate for the first intervals, then the whole."""

    type: Literal["ConstantLR"]
    # Torch allows 0, and divides by it when the time is over.
    factor: Factor = 1 / 3
    """Share of the learning rate at first."""
    total_iters: Count = 5
    """Intervals with that share."""


class LinearLR(Warmable):
    """A learning rate that goes in equal steps from one share to another: a warm-up, when it rises."""

    type: Literal["LinearLR"]
    start_factor: Factor = 1 / 3
    """Share of the learning rate in the first interval."""
    end_factor: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the learning rate after `total_iters` intervals."""
    total_iters: Count = 5
    """Intervals that the change takes."""


class ExponentialLR(Warmable):
    """The learning rate times `gamma` after every interval."""

    type: Literal["ExponentialLR"]
    gamma: Positive
    """Factor of each change."""


class PolynomialLR(Warmable):
    """A learning rate that falls to zero along a power of the time that is left."""

    follows: ClassVar[str | None] = "total_iters"

    type: Literal["PolynomialLR"]
    total_iters: Count | None = None
    """Intervals until zero; left out, the length of the training."""
    power: NonNegative = 1.0
    """The power; 1 falls along a line."""


class CosineAnnealingLR(Warmable):
    """A learning rate that falls to `eta_min` along half a cosine."""

    follows: ClassVar[str | None] = "T_max"

    type: Literal["CosineAnnealingLR"]
    T_max: Count | None = None
    """Intervals until the smallest learning rate, from which it rises again; left out, the length of the training."""
    eta_min: NonNegative = 0.0
    """Smallest learning rate."""


class CosineAnnealingWarmRestarts(Warmable):
    """Cosine annealing that starts again, from the whole learning rate, whenever it has come to its end."""

    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: Count
    """Intervals until the first restart."""
    T_mult: Count = 1
    """Each run is so many times as long as the one before."""
    eta_min: NonNegative = 0.0
    """Smallest learning rate."""


class ReduceLROnPlateau(Warmable):
    """The learning rate times `factor` whenever the loss has not become better for a while."""

    type: Literal["ReduceLROnPlateau"]
    interval: Literal["epoch"] = "epoch"
    """When the loss is looked at: after each epoch that has one."""
    monitor: Literal["dev_loss", "train_loss"] | None = None
    """The loss that is watched; left out, the dev loss where the job has a dev set, else the train loss."""
    mode: Literal["min", "max"] = "min"
    """Whether smaller or larger is better; a loss is better when it is smaller."""
    factor: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Factor of each change."""
    patience: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 10
    """Epochs without a better loss that are borne."""
    threshold: NonNegative = 1e-4
    """A loss is better if it is so much better than the best."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """Whether the threshold is a share of the best loss or in units of the loss."""
    cooldown: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0
    """Epochs after a change in which nothing is counted."""
    min_lr: NonNegative = 0.0
    """Smallest learning rate."""
    eps: NonNegative = 1e-8
    """A change of the learning rate that is smaller than this is left out."""

    def completed(self, *, epochs: int, steps_per_epoch: int, has_dev_set: bool = False) -> Self:
        """Fill in which loss is watched."""
        filled = super().completed(epochs=epochs, steps_per_epoch=steps_per_epoch)
        watched = self.monitor or ("dev_loss" if has_dev_set else "train_loss")
        return filled.model_copy(update={"monitor": watched})

    def monitor_problems(self, *, has_dev_set: bool) -> list[Problem]:
        """Refuse to watch the loss of a dev set that is not there."""
        if has_dev_set or self.monitor != "dev_loss":
            return []
        message = "The job has no dev set, so it has no dev loss."
        return [
            Problem("/monitor", "incompatible_fields", message, "Ask for a dev set, or watch `train_loss`.")
        ]
