"""What all schedulers share: when they step, how long they take, and the warm-up before them."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import SpecModel
from service.spec.limits import Limits, over_limit
from service.spec.optimizers import Optimizer
from service.spec.pointers import pointer_to

__all__ = ["MAX_COUNT", "Count", "Factor", "Interval", "Scheduler", "Warmable", "Warmup", "not_rising"]

MAX_COUNT = 10**8
"""Beyond so many epochs or steps, torch's cosine recursion divides by a number that rounds to zero."""

Interval = Literal["epoch", "step"]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Factor = Annotated[float, Field(gt=0, le=1)]


class Warmup(SpecModel):
    """A rise of the learning rate from a small share to the whole, before the schedule itself begins."""

    type: Literal["linear"] = "linear"
    """The learning rate rises in equal steps, as in `LinearLR`."""
    steps: Count | None = None
    """How many steps it takes; the learning rate rises after each."""
    epochs: Count | None = None
    """How many epochs it takes; the learning rate rises after each."""
    start_factor: Factor = 1 / 3
    """Share of the learning rate in the first step or epoch."""

    @property
    def interval(self) -> Interval:
        """When the learning rate rises."""
        return "epoch" if self.steps is None else "step"

    @property
    def count(self) -> int:
        """How many steps or epochs the rise takes."""
        return self.steps or self.epochs or 0

    def total_steps(self, steps_per_epoch: int) -> int:
        """Give the length of the rise in steps."""
        return self.count * (steps_per_epoch if self.interval == "epoch" else 1)

    def problems(self) -> list[Problem]:
        """Refuse a warm-up with two lengths, or with none; pointers are relative to the warm-up."""
        if (self.steps is None) != (self.epochs is None):
            return []
        code = "missing" if self.steps is None else "incompatible_fields"
        message = "A warm-up has a length, either in `steps` or in `epochs`."
        return [Problem("", code, message, 'Send one of them, as in {"epochs": 5}.')]


class Scheduler(SpecModel):
    """What every scheduler has, and tells of itself."""

    follows: ClassVar[str | None] = None
    """The field that the length of the training fills in when it is left out."""

    type: str
    interval: Interval = "epoch"
    """When the learning rate changes: after each `epoch` or after each `step`; counts are in this unit."""

    def arguments(self) -> dict[str, Any]:
        """Give the keyword arguments of `torch.optim.lr_scheduler.<type>`, but for the optimizer."""
        return self.model_dump(exclude={"type", "interval", "warmup", "monitor", "schedulers"})

    def length(self, *, epochs: int, steps_per_epoch: int) -> int:
        """Count the intervals that the schedule covers, its warm-up left out."""
        return epochs if self.interval == "epoch" else epochs * steps_per_epoch

    def completed(self, *, epochs: int, steps_per_epoch: int, has_dev_set: bool = False) -> Self:  # noqa: ARG002 - for those that watch a loss
        """Fill in what follows from the job.

        Args:
            epochs: Epochs of the whole training.
            steps_per_epoch: Optimizer steps of one epoch.
            has_dev_set: Whether there is a dev loss to watch.
        """
        return self.filled(self.length(epochs=epochs, steps_per_epoch=steps_per_epoch))

    def filled(self, length: int) -> Self:
        """Fill in the length of the schedule, in intervals, where it was left out."""
        if self.follows is None or getattr(self, self.follows) is not None:
            return self
        return self.model_copy(update={self.follows: max(1, length)})

    def problems(
        self,
        limits: Limits,
        *,
        optimizer: Optimizer | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        has_dev_set: bool | None = None,
    ) -> list[Problem]:
        """Tell which values do not go together; pointers are relative to the scheduler.

        What is left out (None), because another section of the spec is broken, is not checked against.

        Args:
            limits: How large a job may be.
            optimizer: The optimizer of the job.
            epochs: Epochs of the whole training.
            steps_per_epoch: Optimizer steps of one epoch.
            has_dev_set: Whether there is a dev loss to watch.
        """
        found = self.own_problems(limits)
        if optimizer is not None:
            found += self.optimizer_problems(optimizer)
        if has_dev_set is not None:
            found += self.monitor_problems(has_dev_set=has_dev_set)
        if epochs is not None and steps_per_epoch is not None and not found:
            found += self.job_problems(epochs=epochs, steps_per_epoch=steps_per_epoch)
        return found

    def own_problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Tell which fields do not go together."""
        return []

    def optimizer_problems(self, optimizer: Optimizer) -> list[Problem]:  # noqa: ARG002 - for those that cycle
        """Tell what does not go together with the optimizer."""
        return []

    def monitor_problems(self, *, has_dev_set: bool) -> list[Problem]:  # noqa: ARG002 - for those that watch a loss
        """Tell whether a loss is watched that the job does not have."""
        return []

    def job_problems(self, *, epochs: int, steps_per_epoch: int) -> list[Problem]:
        """Tell what does not go together with the length of the training."""
        length = self.length(epochs=epochs, steps_per_epoch=steps_per_epoch)
        found = over_limit("/interval", f"{self.interval}s of a scheduler", length, MAX_COUNT)
        return found or self.filled(length).length_problems(length)

    def length_problems(self, length: int) -> list[Problem]:  # noqa: ARG002 - for those whose formulas break
        """Tell what does not go together with the number of intervals that the schedule covers."""
        return []


class Warmable(Scheduler):
    """A scheduler that may start with a warm-up."""

    warmup: Warmup | None = None
    """A rise of the learning rate before the schedule begins; none when left out."""

    def length(self, *, epochs: int, steps_per_epoch: int) -> int:
        """Count the intervals that the schedule covers, its warm-up left out.

        An epoch in which the warm-up ends counts, if the schedule has at least one step of it.
        """
        warm = 0 if self.warmup is None else self.warmup.total_steps(steps_per_epoch)
        return (
            epochs - warm // steps_per_epoch if self.interval == "epoch" else epochs * steps_per_epoch - warm
        )

    def own_problems(self, limits: Limits) -> list[Problem]:
        """Tell what is wrong with the warm-up."""
        found = super().own_problems(limits)
        return found + [
            Problem(f"/warmup{p.pointer}", p.code, p.message, p.hint)
            for p in (self.warmup.problems() if self.warmup else ())
        ]

    def job_problems(self, *, epochs: int, steps_per_epoch: int) -> list[Problem]:
        """Refuse a warm-up that leaves nothing of the training, and what does not fit into the rest."""
        total = epochs * steps_per_epoch
        warm = 0 if self.warmup is None else self.warmup.total_steps(steps_per_epoch)
        if warm < total:
            return super().job_problems(epochs=epochs, steps_per_epoch=steps_per_epoch)
        message = f"The warm-up takes {warm:,} steps, and the whole training {total:,}."
        return [Problem("/warmup", "out_of_range", message, "A tenth of the training is plenty.")]


def not_rising(milestones: Sequence[int]) -> list[Problem]:
    """Refuse milestones that do not rise; the pointer is relative to the scheduler."""
    for i, (before, after) in enumerate(itertools.pairwise(milestones), start=1):
        if after <= before:
            message = f"The milestones must rise, and {after} follows {before}."
            return [
                Problem(pointer_to("milestones", i), "out_of_range", message, "Sort them; name each once.")
            ]
    return []
