"""How residuals are distributed, beside the normal distribution of the same centre and width."""

import math

import numpy as np
from numpy.typing import NDArray

from service.plots.axes import Axes, Axis
from service.plots.columns import Numbers, column
from service.plots.dashes import dashed
from service.plots.heading import Heading
from service.plots.legend import LegendEntry
from service.plots.marks import line
from service.plots.scales import LARGEST, linear_scale
from service.plots.scene import FloatArray, Primitive, Rects, Scene

_FEWEST_BINS, _MOST_BINS = 5, 80
_REACH = 8.0  # In distances between the quartiles, from the median: what lies beyond is only counted.
_CURVE_POINTS = 241
_BARS = LegendEntry("residuals", "data", "area")
_NORMAL = LegendEntry("normal distribution", "accent", "line")


def residual_histogram_figure(
    residuals: Numbers, *, target: str, title: str, subtitle: str | None = None
) -> Scene:
    """Draws how many of `residuals`, actual minus predicted, of length n, fall into each of equal bins.

    The number of bins is that of Freedman and Diaconis (Zeitschrift fuer Wahrscheinlichkeitstheorie 57,
    1981), between 5 and 80. Residuals farther from the median than eight times the distance between the
    quartiles are counted in the label of the axis instead: one of them would press all others into a single
    bar. NaN and infinities are left out; n may be zero and a million.

    Raises:
        ValueError: if `residuals` is not one column.
    """
    given = column(residuals, name="residuals")
    finite = np.clip(given[np.isfinite(given)], -LARGEST, LARGEST)
    inside = _near(finite)
    edges, counts = _binned(inside)
    curve_x, curve_y = _normal(inside, edges)
    axes = Axes(
        Axis(linear_scale(edges), _x_label(target, beyond=finite.size - inside.size)),
        Axis(linear_scale(np.concatenate((counts, curve_y)), whole=True, from_zero=True), "rows"),
        Heading(title, subtitle, [_BARS, _NORMAL] if curve_x.size else []),
    )
    bars = _bars(axes, edges, counts)
    marks = (bars, *_zero(axes), *line(axes, curve_x, curve_y, role="accent")) if inside.size else ()
    note = None if marks else ("no finite values" if given.size else "no data yet")
    description = f"Histogram of {finite.size} residuals of {target} in {counts.size} bins."
    return axes.scene(marks, description=description, note=note)


def _near(values: FloatArray) -> FloatArray:
    if values.size == 0:
        return values
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    reach = _REACH * (high - low)
    # When half of all are equal there is no width to measure by.
    return values[np.abs(values / 2 - middle / 2) <= reach / 2] if reach > 0 else values


def _binned(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The edges of the bins, shape (k + 1,), and how many of `values` are in each, shape (k,)."""
    if values.size == 0:
        return np.empty(0), np.empty(0)
    scale = linear_scale(values)  # Opens the range where all are equal.
    low, high = (float(values.min()), float(values.max())) if np.ptp(values) > 0 else (scale.low, scale.high)
    places = np.clip((values - low) / (high - low), 0.0, 1.0)
    quartiles = np.quantile(places, (0.25, 0.75))
    width = 2 * float(quartiles[1] - quartiles[0]) / math.cbrt(values.size)
    bins = int(np.clip(math.ceil(1 / max(width, 1e-3)), _FEWEST_BINS, _MOST_BINS)) if width else _FEWEST_BINS
    counts: NDArray[np.int64] = np.histogram(places, bins, (0.0, 1.0))[0]
    return low + np.linspace(0, 1, bins + 1) * (high - low), counts.astype(np.float64)


def _normal(values: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The rows that each bin would have under a normal distribution, as a curve over the bins."""
    if values.size < 2 or np.ptp(values) == 0:  # noqa: PLR2004 - one value has no deviation
        return np.empty(0), np.empty(0)
    low, span = float(edges[0]), float(edges[-1] - edges[0])
    places = (values - low) / span
    mean, deviation = float(places.mean()), float(places.std())
    at = np.linspace(0, 1, _CURVE_POINTS)
    density = np.exp(-0.5 * ((at - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
    return low + at * span, density * values.size / (edges.size - 1)


def _bars(axes: Axes, edges: FloatArray, counts: FloatArray) -> Primitive:
    places = np.round(axes.along("x", edges))
    tops = axes.along("y", counts)
    widths = np.maximum(np.diff(places) - 1, 1.0)  # A pixel of paper tells the bars apart.
    boxes = np.stack((places[:-1], tops, widths, axes.bottom - tops), axis=1)
    return Rects(boxes[counts > 0], "data", np.full(np.count_nonzero(counts), 0.75))


def _zero(axes: Axes) -> list[Primitive]:
    at = float(axes.along("x", [0.0])[0])
    inside = axes.left <= at <= axes.right
    return [dashed((at, axes.bottom), (at, axes.top), role="text")] if inside else []


def _x_label(target: str, *, beyond: int) -> str:
    farther = f", {beyond} farther out" if beyond else ""
    return f"residual of {target} (actual - predicted){farther}"
