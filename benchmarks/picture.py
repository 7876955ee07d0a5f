"""How many times faster than the loop, as bars; drawn with the service's own plot room."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.engines import Measured
from benchmarks.page import times
from service.plots.heading import EDGE, TICK_SIZE, WIDTH, Heading
from service.plots.legend import LegendEntry
from service.plots.scales import LogScale
from service.plots.scene import Primitive, Rects, Role, Scene, Segments, Text
from service.plots.typography import fitted

__all__ = ["speedups"]

_BARS: Sequence[tuple[str, str, Role]] = (
    ("auto training", "auto: the training alone", "data"),
    ("auto", "auto: the whole fit", "series-6"),
    ("eager training", "eager: the training alone", "series-4"),
)
_BAR, _GAP = 11.0, 12.0
_LEFT = 292.0
_AIR = 64.0  # To the right of the longest bar, for its number.


def speedups(measured: Sequence[Measured]) -> Scene:
    """Draw a bar for each measured time of each job, on a logarithmic scale; the loop is the line at 1."""
    heading = Heading(
        "Times faster than the plain torch loop",
        "One thread; the same rows in the same order, the same update rule, the same seed.",
        [LegendEntry(words, role, "area") for _, words, role in _BARS],
    )
    factors = [one.speedup(name) or 1.0 for one in measured for name, _, _ in _BARS]
    scale = LogScale(math.log10(min(0.5, *factors)), math.log10(max(10.0, *factors)))
    height = heading.bottom + len(measured) * (len(_BARS) * _BAR + _GAP) + 28
    bars = [mark for place, one in enumerate(measured) for mark in _job(one, place, heading.bottom, scale)]
    return Scene(
        width=WIDTH,
        height=round(height),
        title=heading.title,
        description=_in_words(measured),
        items=(*heading.marks(), *_grid(scale, heading.bottom, height - 24), *bars),
    )


def _x(factor: float, scale: LogScale) -> float:
    return _LEFT + (WIDTH - EDGE - _AIR - _LEFT) * float(scale.fractions(np.array([factor]))[0])


def _job(one: Measured, place: int, top: float, scale: LogScale) -> Iterable[Primitive]:
    y = top + place * (len(_BARS) * _BAR + _GAP)
    name = fitted(f"{one.job.name}: {one.job.what}", width=_LEFT - EDGE - 10, size=TICK_SIZE)
    yield Text(_LEFT - 8, y + 1.5 * _BAR + 4, name, "text", TICK_SIZE, "end")
    for number, (key, _, role) in enumerate(_BARS):
        factor = one.speedup(key)
        if factor is None:
            continue
        start, end = sorted((_x(1.0, scale), _x(factor, scale)))
        at = y + number * _BAR
        yield Rects(np.array([[start, at, max(1.0, end - start), _BAR - 1]]), role)
        yield Text(end + 4, at + _BAR - 2, times(factor), "muted", 10.0)


def _grid(scale: LogScale, top: float, bottom: float) -> Iterable[Primitive]:
    ticks = scale.ticks()
    ends = [(_x(tick, scale), top - 4, _x(tick, scale), bottom) for tick in ticks]
    yield Segments(np.array(ends), "grid")
    one = _x(1.0, scale)
    yield Segments(np.array([(one, top - 4, one, bottom)]), "axis", 1.5)
    for tick in ticks:
        yield Text(_x(tick, scale), bottom + 16, f"{tick:,g}", "muted", TICK_SIZE, "middle")


def _in_words(measured: Sequence[Measured]) -> str:
    return "; ".join(f"{one.job.name} {times(one.speedup('auto'))} as a whole" for one in measured)
