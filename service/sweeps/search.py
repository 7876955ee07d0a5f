"""Which trials come next: functions of the spec and of what is recorded, without a memory of their own.

A worker that dies between two steps takes nothing along, and two workers that look at the same records find the same
trials. What is proposed depends on the seed and on results, never on which of several trainings ended first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from service.sweeps import space, tpe
from service.sweeps.space import Point
from service.sweeps.spec import Grid, Random, SuccessiveHalving, SweepSpec, Tpe

__all__ = ["Draw", "Known", "best_first", "next_draws", "planned"]


@dataclass(frozen=True, slots=True)
class Known:
    """A trial as it is recorded.

    Attributes:
        number: Counts the trials of the sweep from 0.
        point: Where it is.
        rung: That of successive halving; 0 elsewhere.
        ended: Whether its training has ended.
        cancelled: Whether it ended because somebody asked: that says nothing about its values.
        objective: What its training came to; None where it has not, or not to a finite number.
    """

    number: int
    point: Point
    rung: int = 0
    ended: bool = False
    cancelled: bool = False
    objective: float | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """A trial to be added.

    Attributes:
        point: Where it is.
        rung: That of successive halving.
        epochs: How long it is trained, where the search says so.
        repeats: The trial of the rung before that it repeats for longer.
    """

    point: Point
    rung: int = 0
    epochs: int | None = None
    repeats: int | None = None


def next_draws(spec: SweepSpec, known: Sequence[Known]) -> list[Draw]:
    """Give the trials to be added now, in order; the first gets the number `len(known)`.

    Args:
        spec: The sweep, its seed filled in.
        known: All its trials so far, by number.

    Returns:
        None for now, or for good where all that are known have ended.
    """
    return _SEARCHES[type(spec.search)](spec, known)


def planned(spec: SweepSpec) -> int:
    """Count the trials of the whole sweep, at most: where too few succeed, rungs stay shorter."""
    if isinstance(spec.search, Grid):
        return space.grid_size(spec)
    if isinstance(spec.search, SuccessiveHalving):
        return sum(count for count, _ in spec.search.rungs())
    return spec.search.trials


def best_first(spec: SweepSpec, trials: Sequence[Known]) -> list[Known]:
    """Order the trials that came to a finite number by it, the best first; of equal ones the earlier first."""

    def compare(one: Known, other: Known) -> int:
        if one.objective is None or other.objective is None or one.objective == other.objective:
            return one.number - other.number
        return -1 if spec.better(one.objective, other.objective) else 1

    fit = [one for one in trials if one.objective is not None and math.isfinite(one.objective)]
    return sorted(fit, key=cmp_to_key(compare))


def _grid(spec: SweepSpec, known: Sequence[Known]) -> list[Draw]:
    return [Draw(point) for point in space.grid(spec)[len(known) :]]


def _random(spec: SweepSpec, known: Sequence[Known]) -> list[Draw]:
    assert isinstance(spec.search, Random)  # noqa: S101 - by the table below
    return [Draw(space.drawn(spec, number)) for number in range(len(known), spec.search.trials)]


def _tpe(spec: SweepSpec, known: Sequence[Known]) -> list[Draw]:
    """Propose what is missing of a generation: its trials are asked for from the results of those before it."""
    assert isinstance(spec.search, Tpe)  # noqa: S101 - by the table below
    size, count = spec.search.parallel, len(known)
    first = count // size * size
    if count == spec.search.trials or not all(one.ended for one in known[:first]):
        return []
    points = [one.point for one in known[first:]]
    for number in range(count, min(first + size, spec.search.trials)):
        points.append(tpe.proposed(spec, known[:first], beside=points, number=number))
    return [Draw(point) for point in points[count - first :]]


def _halving(spec: SweepSpec, known: Sequence[Known]) -> list[Draw]:
    """Give the rest of the rung that is not complete; a rung is drawn up when the one before has ended."""
    assert isinstance(spec.search, SuccessiveHalving)  # noqa: S101 - by the table below
    before: list[Known] = []
    for rung, (count, epochs) in enumerate(spec.search.rungs()):
        there = [one for one in known if one.rung == rung]
        wanted = _promoted(spec, before, count, epochs, rung) if rung else _first_rung(spec, count, epochs)
        if len(there) < len(wanted):
            return wanted[len(there) :]
        if not all(one.ended for one in there):
            return []
        before = there
    return []


def _first_rung(spec: SweepSpec, count: int, epochs: int) -> list[Draw]:
    return [Draw(space.drawn(spec, number), epochs=epochs) for number in range(count)]


def _promoted(spec: SweepSpec, before: Sequence[Known], count: int, epochs: int, rung: int) -> list[Draw]:
    best = best_first(spec, before)[:count]
    return [Draw(one.point, rung=rung, epochs=epochs, repeats=one.number) for one in best]


_SEARCHES: Mapping[type[Any], Callable[[SweepSpec, Sequence[Known]], list[Draw]]] = {
    Grid: _grid,
    Random: _random,
    Tpe: _tpe,
    SuccessiveHalving: _halving,
}
