"""The schedulers that go up and down between bounds of their own, the momentum against them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import NonNegative, Positive
from service.spec.limits import Limits
from service.spec.optimizers import Optimizer
from service.spec.schedulers.base import Count, Factor, Interval, Scheduler

__all__ = ["CyclicLR", "OneCycleLR"]

MAX_CYCLES = 1000
"""`triangular2` halves with each cycle, and 2 to the power of 1024 is no number."""

# The bound of NAdam's first beta, in whose place it may be put.
Momentum = Annotated[float, Field(ge=0, le=0.9999999)]


class _Cycling(Scheduler):
    """What CyclicLR and OneCycleLR share: they replace the learning rate, and may move the momentum against it.

    They have no warm-up, because they begin low by themselves.
    """

    interval: Interval = "step"
    """When the learning rate changes: after each `epoch` or after each `step`; counts are in this unit."""
    max_lr: Positive
    """Largest learning rate; the optimizer's own `lr` is not used."""
    cycle_momentum: bool = True
    """Move the momentum (of Adam and its kin the first beta) against the learning rate."""
    base_momentum: Momentum
    max_momentum: Momentum

    def own_problems(self, limits: Limits) -> list[Problem]:
        """Refuse a smallest momentum above the largest."""
        found = super().own_problems(limits)
        if self.base_momentum > self.max_momentum:
            found.append(_upside_down("momentum", self.base_momentum, self.max_momentum))
        return found

    def optimizer_problems(self, optimizer: Optimizer) -> list[Problem]:
        """Refuse a momentum that is not there, and groups whose values would be lost."""
        found = []
        if self.cycle_momentum and not optimizer.has_momentum:
            message = f"{optimizer.type} has no momentum to cycle."
            hint = "Set cycle_momentum to false."
            found.append(Problem("/cycle_momentum", "incompatible_fields", message, hint))
        replaced = {"lr", "momentum"} if self.cycle_momentum else {"lr"}
        lost = sorted(
            {name for group in optimizer.parameter_groups for name in replaced & group.overrides.keys()}
        )
        if lost:
            message = f"{self.type} sets the same {' and '.join(lost)} in all groups of parameters."
            hint = f"Take {' and '.join(lost)} out of the optimizer's groups, or choose another scheduler."
            found.append(Problem("/type", "incompatible_fields", message, hint))
        return found


class CyclicLR(_Cycling):
    """A learning rate that goes up and down between two bounds, in lines."""

    type: Literal["CyclicLR"]
    base_lr: NonNegative
    """Smallest learning rate, and the first."""
    step_size_up: Count = 2000
    """Intervals from the smallest to the largest learning rate."""
    step_size_down: Count | None = None
    """Intervals back down; left out, as many as up."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """Whether all cycles are equally high, each half as high as the one before, or lower by a power of `gamma`."""
    gamma: Factor = 1.0
    """In `exp_range`, the factor of the height in each interval."""
    base_momentum: Momentum = 0.8
    """Smallest momentum, where the learning rate is largest."""
    max_momentum: Momentum = 0.9
    """Largest momentum, where the learning rate is smallest."""

    def own_problems(self, limits: Limits) -> list[Problem]:
        """Refuse a smallest value above the largest."""
        found = super().own_problems(limits)
        return found + ([_upside_down("lr", self.base_lr, self.max_lr)] if self.base_lr > self.max_lr else [])

    def length_problems(self, length: int) -> list[Problem]:
        """Refuse more halvings than a number can bear."""
        cycles = length // (self.step_size_up + (self.step_size_down or self.step_size_up))
        if self.mode != "triangular2" or cycles <= MAX_CYCLES:
            return []
        message = (
            f"The height is halved in each of {cycles:,} cycles; after {MAX_CYCLES:,} nothing is left of it."
        )
        return [
            Problem("/step_size_up", "out_of_range", message, "Make the cycles longer, or take `exp_range`.")
        ]


class OneCycleLR(_Cycling):
    """A learning rate that rises to `max_lr` and falls to almost nothing, once in the training."""

    follows: ClassVar[str | None] = "total_steps"

    type: Literal["OneCycleLR"]
    total_steps: Count | None = None
    """Intervals of the cycle; left out, the length of the training."""
    pct_start: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of the cycle that rises, from 0 to 1."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """Whether it goes along cosines or lines."""
    base_momentum: Momentum = 0.85
    """Smallest momentum, where the learning rate is largest."""
    max_momentum: Momentum = 0.95
    """Largest momentum, where the learning rate is smallest."""
    div_factor: Positive = 25.0
    """The first learning rate is `max_lr` divided by this."""
    final_div_factor: Positive = 1e4
    """The last learning rate is the first divided by this."""
    three_phase: bool = False
    """Come down to the first learning rate as fast as it rose, and only then to the last."""

    def length_problems(self, length: int) -> list[Problem]:
        """Refuse a cycle that is over before the training, and phases without length, by which torch divides."""
        total = self.total_steps or length
        if total < length:
            message = f"The cycle is over after {total:,} {self.interval}s; the training has {length:,}."
            return [
                Problem("/total_steps", "out_of_range", message, "Leave total_steps out: it follows the job.")
            ]
        ends = self._phase_ends(total)
        if all(start != end for start, end in zip((0.0, *ends), ends, strict=False)):
            return []
        message = f"With {total:,} {self.interval}s, a phase of the cycle has no length."
        hint = f"Set pct_start to {2 / total:.3g}." if total > 4 else "Train longer, or change pct_start."  # noqa: PLR2004 - of so few, no share is sure to do
        return [Problem("/pct_start", "out_of_range", message, hint)]

    def _phase_ends(self, total: int) -> tuple[float, ...]:
        """Compute where torch ends each phase, in its own arithmetic."""
        rise = float(self.pct_start * total) - 1
        if not self.three_phase:
            return (rise, total - 1)
        return (rise, float(2 * self.pct_start * total) - 2, total - 1)


def _upside_down(name: str, low: float, high: float) -> Problem:
    message = f"base_{name} is {low:g}, max_{name} {high:g}."
    return Problem(f"/base_{name}", "out_of_range", message, f"Give a base_{name} below max_{name}.")
