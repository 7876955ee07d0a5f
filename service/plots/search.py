"""How a search went: what each trial came to, and the best until then."""

from collections.abc import Sequence

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.heading import Heading
from service.plots.legend import LegendEntry
from service.plots.marks import line, scatter
from service.plots.scales import linear_scale, log_scale, spans_decades
from service.plots.scene import FloatArray, Scene


def search_figure(values: Sequence[float | None], *, label: str, highest: bool = False, title: str) -> Scene:
    """Draws the value of each trial over its number, from 0, and the best until then as a line.

    None and what is not finite is left out. `highest` says that higher values are better. The axis is logarithmic
    when all values are positive and span more than two powers of ten.
    """
    column = np.asarray(values, dtype=np.float64)
    numbers = np.flatnonzero(np.isfinite(column))
    found = column[numbers]
    scale = log_scale(found) if spans_decades(found) else linear_scale(found)
    legend = [LegendEntry("trial", "data", "dot"), LegendEntry("best until then", "accent")]
    axes = Axes(
        Axis(linear_scale(np.array([0.0, max(column.size - 1, 1)]), whole=True), "trial"),
        Axis(scale, label),
        Heading(title, legend=legend if found.size else ()),
    )
    marks = (
        *scatter(axes.pixels(numbers.astype(np.float64), found), role="data"),
        *line(axes, *_staircase(numbers, found, last=column.size - 1, highest=highest), role="accent"),
    )
    note = None if found.size else "no trial has a result yet"
    return axes.scene(marks, description=_description(numbers, found, label, highest=highest), note=note)


def _staircase(
    numbers: np.ndarray, found: FloatArray, *, last: int, highest: bool
) -> tuple[FloatArray, FloatArray]:
    """The best until each trial, as a line that turns at right angles and goes on to the last trial."""
    best = (np.maximum if highest else np.minimum).accumulate(found)
    at = np.append(np.repeat(numbers, 2)[1:], last) if found.size else np.empty(0)
    return at.astype(np.float64), np.repeat(best, 2)


def _description(numbers: np.ndarray, found: FloatArray, label: str, *, highest: bool) -> str:
    if not found.size:
        return f"The {label} of no trial."
    best = int(found.argmax() if highest else found.argmin())
    return f"The {label} of {found.size} trials; the best is {found[best]:.4g}, of trial {numbers[best]}."
