"""The space that a sweep searches: the values of each parameter, drawn, spread out and at their ends."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from service.sweeps.spec import (
    Choice,
    IntLogUniform,
    IntUniform,
    LogUniform,
    Parameter,
    SweepSpec,
    Uniform,
)

__all__ = ["Point", "corners", "drawn", "grid", "grid_size", "spread", "value_of", "values_at"]

Coordinate: TypeAlias = float | int
Point: TypeAlias = dict[str, Coordinate]
"""Where in the space a trial is: of each parameter its number, and of a choice its position among the values."""


def value_of(parameter: Parameter, at: Coordinate) -> Any:  # noqa: ANN401 - JSON
    """Give what stands in the spec where the point has a coordinate."""
    return parameter.values[int(at)] if isinstance(parameter, Choice) else at


def values_at(spec: SweepSpec, point: Mapping[str, Coordinate]) -> dict[str, Any]:
    """Give the value of each parameter at a point."""
    return {name: value_of(parameter, point[name]) for name, parameter in spec.parameters.items()}


def drawn(spec: SweepSpec, number: int) -> Point:
    """Draw the point of a trial: it depends on the seed and the trial's number alone."""
    generator = np.random.default_rng([spec.seed, number])
    return {
        name: _DRAWS[type(parameter)](parameter, generator) for name, parameter in spec.parameters.items()
    }


def _draw_choice(parameter: Any, generator: np.random.Generator) -> int:  # noqa: ANN401 - of the type that the table says
    return int(generator.integers(len(parameter.values)))


def _draw_number(parameter: Any, generator: np.random.Generator) -> float:  # noqa: ANN401
    # Not high - low, which may be more than a number can be.
    share = float(generator.random())
    return _within(parameter.low * (1 - share) + parameter.high * share, parameter)


def _draw_log(parameter: Any, generator: np.random.Generator) -> float:  # noqa: ANN401
    low, high = math.log(parameter.low), math.log(parameter.high)
    return _within(math.exp(low + (high - low) * float(generator.random())), parameter)


def _draw_whole(parameter: Any, generator: np.random.Generator) -> int:  # noqa: ANN401
    steps = (parameter.high - parameter.low) // parameter.step
    return int(parameter.low + parameter.step * int(generator.integers(steps + 1)))


def _draw_whole_log(parameter: Any, generator: np.random.Generator) -> int:  # noqa: ANN401
    # Half a number beyond both ends: these are as likely then as their neighbours.
    low, high = math.log(parameter.low - 0.5), math.log(parameter.high + 0.5)
    return int(_within(round(math.exp(low + (high - low) * float(generator.random()))), parameter))


def _within(value: float, parameter: Uniform | LogUniform | IntLogUniform) -> float:
    """Undo a rounding beyond the ends."""
    return min(max(value, parameter.low), parameter.high)


_DRAWS: Mapping[type, Callable[[Any, np.random.Generator], Coordinate]] = {
    Choice: _draw_choice,
    Uniform: _draw_number,
    LogUniform: _draw_log,
    IntUniform: _draw_whole,
    IntLogUniform: _draw_whole_log,
}


def spread(parameter: Parameter) -> list[Coordinate] | None:
    """List the values of a parameter in a grid; None where it does not say how many."""
    if isinstance(parameter, Choice):
        return list(range(len(parameter.values)))
    if isinstance(parameter, IntUniform):
        return list(range(parameter.low, parameter.high + 1, parameter.step))
    if parameter.points is None:
        return None
    space = np.linspace if isinstance(parameter, Uniform) else np.geomspace
    found = [_within(float(one), parameter) for one in space(parameter.low, parameter.high, parameter.points)]
    return list(dict.fromkeys(map(round, found))) if isinstance(parameter, IntLogUniform) else list(found)


def _sizes(spec: SweepSpec) -> Iterator[int]:
    for parameter in spec.parameters.values():
        if isinstance(parameter, IntUniform):  # By arithmetic: a range may be too long to be listed.
            yield (parameter.high - parameter.low) // parameter.step + 1
        else:
            yield len(spread(parameter) or ())


def grid_size(spec: SweepSpec) -> int:
    """Count the points of a grid."""
    return math.prod(_sizes(spec))


def grid(spec: SweepSpec) -> list[Point]:
    """List all points of a grid, the last parameter changing fastest."""
    values = [spread(parameter) or () for parameter in spec.parameters.values()]
    return [dict(zip(spec.parameters, one, strict=True)) for one in itertools.product(*values)]


def corners(spec: SweepSpec) -> Iterator[Point]:
    """Give points at the edges: all low, all high, and each value or end of each parameter by itself."""
    ends = {name: _ends(parameter) for name, parameter in spec.parameters.items()}
    lowest: Point = {name: values[0] for name, values in ends.items()}
    yield lowest
    yield {name: values[-1] for name, values in ends.items()}
    for name, values in ends.items():
        for value in values[1:]:
            yield {**lowest, name: value}


def _ends(parameter: Parameter) -> list[Coordinate]:
    if isinstance(parameter, Choice):
        return list(range(len(parameter.values)))
    if isinstance(parameter, IntUniform):
        steps = (parameter.high - parameter.low) // parameter.step
        return [parameter.low, parameter.low + steps * parameter.step]
    return [parameter.low, parameter.high]
