"""The data of one feature and the fitted line through them."""

from collections.abc import Sequence

import numpy as np

from service.plots.axes import Axes, Axis, Heading
from service.plots.legend import LegendEntry
from service.plots.marks import finite_pairs, line, scatter
from service.plots.scales import linear_scale
from service.plots.scene import FloatArray, Scene

_DATA, _FIT = LegendEntry("data", "data", "dot"), LegendEntry("fit", "accent", "line")


def fit_figure(  # noqa: PLR0913 - four columns and the words around them, all named by the caller
    x: Sequence[float] | FloatArray,
    y: Sequence[float] | FloatArray,
    line_x: Sequence[float] | FloatArray,
    line_y: Sequence[float] | FloatArray,
    *,
    x_label: str,
    y_label: str,
    title: str,
    subtitle: str | None = None,
) -> Scene:
    """Draws the observations `x`, `y` of length n, and on top the line through `line_x`, `line_y` of length m.

    Values are in the units of the data. Pairs with NaN or an infinity are left out of the observations and
    break the line. n may be zero and a million; so may m, and `line_x` need not be sorted.

    Raises:
        ValueError: if `x` and `y`, or `line_x` and `line_y`, are not equally long columns.
    """
    data_x, data_y = finite_pairs(*_columns(x, y, names="x and y"))
    fit_x, fit_y = _ascending(*_columns(line_x, line_y, names="line_x and line_y"))
    legend = [entry for entry, column in ((_DATA, data_x), (_FIT, fit_x)) if column.size]
    axes = Axes(
        Axis(linear_scale(np.concatenate((data_x, fit_x))), x_label),
        Axis(linear_scale(np.concatenate((data_y, fit_y))), y_label),
        Heading(title, subtitle, legend),
    )
    marks = (
        *scatter(axes.pixels(data_x, data_y), role="data"),
        *line(axes, fit_x, fit_y, role="accent"),
    )
    description = f"{y_label} over {x_label}: {data_x.size} points and the fitted line."
    return axes.scene(marks, description=description, note=None if marks else "no data yet")


def _columns(
    first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray, *, names: str
) -> tuple[FloatArray, FloatArray]:
    columns = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise ValueError(f"{names} have shapes {columns[0].shape} and {columns[1].shape}, not one length")
    return columns


def _ascending(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sorts a line by `x`; points that are not finite in x have no place in it, those in y become gaps."""
    placed = np.isfinite(x)
    x, y = x[placed], y[placed]
    order = np.argsort(x, kind="stable")
    return x[order], np.where(np.isfinite(y), y, np.nan)[order]
