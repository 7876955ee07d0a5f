"""The schedulers that are made of others."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field

from service.exceptions import Problem
from service.spec.limits import Limits
from service.spec.pointers import pointer_to
from service.spec.schedulers.base import Count, Scheduler, Warmable, not_rising
from service.spec.schedulers.simple import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

__all__ = ["ChainedScheduler", "SequentialLR"]

Part = Annotated[
    StepLR
    | MultiStepLR
    | ConstantLR
    | LinearLR
    | ExponentialLR
    | PolynomialLR
    | CosineAnnealingLR
    | CosineAnnealingWarmRestarts,
    Field(discriminator="type"),
]
"""Those that others are made of. ReduceLROnPlateau cannot be one in torch; cycles would rule the other parts."""
Parts = Annotated[tuple[Part, ...], Field(min_length=1, max_length=10)]


class _Composed(Warmable):
    """What SequentialLR and ChainedScheduler share: parts, whose interval and warm-up are those of the whole."""

    schedulers: Parts

    def own_problems(self, limits: Limits) -> list[Problem]:
        """Tell what is wrong with the parts, and which of their fields belong to the whole."""
        found = super().own_problems(limits)
        for i, part in enumerate(self.schedulers):
            pointer = pointer_to("schedulers", i)
            found += [
                Problem(pointer + p.pointer, p.code, p.message, p.hint)
                for p in (*self._misplaced(part), *part.own_problems(limits))
                if p.pointer is not None
            ]
        return found

    def _misplaced(self, part: Scheduler) -> list[Problem]:
        hint = f"Set it on the {self.type}."
        found = []
        if "interval" in part.model_fields_set and part.interval != self.interval:
            message = f"All parts of a {self.type} change after each {self.interval}."
            found.append(Problem("/interval", "incompatible_fields", message, hint))
        if isinstance(part, Warmable) and part.warmup is not None:
            message = f"A part of a {self.type} has no warm-up of its own."
            found.append(Problem("/warmup", "incompatible_fields", message, hint))
        return found

    def filled(self, length: int) -> Self:
        """Fill in the length of each part, and the interval, which is the same in all."""
        parts = tuple(
            part.model_copy(update={"interval": self.interval}).filled(own)
            for part, own in zip(self.schedulers, self.lengths(length), strict=True)
        )
        return self.model_copy(update={"schedulers": parts})

    def lengths(self, length: int) -> Sequence[int]:
        """Give the number of intervals that each part covers."""
        return [length] * len(self.schedulers)


class SequentialLR(_Composed):
    """One scheduler after the other."""

    type: Literal["SequentialLR"]
    schedulers: Parts
    """The schedulers, each of which starts counting when its turn comes."""
    milestones: Annotated[tuple[Count, ...], Field(max_length=9)]
    """Intervals after which the next one takes over, rising: one fewer than schedulers."""

    def own_problems(self, limits: Limits) -> list[Problem]:
        """Refuse a wrong number of milestones, beside what is wrong with the parts."""
        found = super().own_problems(limits) + not_rising(self.milestones)
        if len(self.milestones) != len(self.schedulers) - 1:
            message = f"There are {len(self.schedulers)} schedulers and {len(self.milestones)} milestones."
            hint = "Give one milestone for each change from one scheduler to the next."
            found.append(Problem("/milestones", "incompatible_fields", message, hint))
        return found

    def lengths(self, length: int) -> Sequence[int]:
        """Give the number of intervals from each milestone to the next."""
        starts, ends = (0, *self.milestones), (*self.milestones, length)
        return [end - start for start, end in zip(starts, ends, strict=True)]


class ChainedScheduler(_Composed):
    """Several schedulers at once: their factors are multiplied."""

    type: Literal["ChainedScheduler"]
    schedulers: Parts
    """The schedulers, in the order in which they are applied."""
