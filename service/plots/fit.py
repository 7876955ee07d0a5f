"""The data of one feature and what was fitted through them: a line or a curve."""

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.columns import Numbers, equal_columns
from service.plots.groups import Parts, by_part
from service.plots.heading import Heading
from service.plots.legend import LegendEntry
from service.plots.marks import line, scatters
from service.plots.scales import linear_scale
from service.plots.scene import FloatArray, Scene

_FIT = LegendEntry("fit", "accent", "line")


def fit_figure(  # noqa: PLR0913 - four columns and the words around them, all named by the caller
    x: Numbers,
    y: Numbers,
    line_x: Numbers,
    line_y: Numbers,
    *,
    x_label: str,
    y_label: str,
    title: str,
    subtitle: str | None = None,
    parts: Parts | None = None,
) -> Scene:
    """Draws the observations `x`, `y` of length n, on top the line through `line_x`, `line_y` of length m.

    Two points are enough for a straight line; a curve is as smooth as its points are dense, and a few hundred
    are enough for the eye. With `parts`, such as `{"train": rows, "dev": rows}`, observations are told apart
    by colour, and rows in no part are left out. Values are in the units of the data. Pairs with NaN or an
    infinity are left out of the observations and break the line. n may be zero and a million; so may m, and
    `line_x` need not be sorted.

    Raises:
        ValueError: if `x` and `y`, or `line_x` and `line_y`, are not equally long columns, or a part has rows
        that
            do not exist.
    """
    data_x, data_y = equal_columns(x, y, names="x and y")
    fit_x, fit_y = _ascending(*equal_columns(line_x, line_y, names="line_x and line_y"))
    groups = by_part(parts, count=data_x.size)
    shown = np.isfinite(data_x) & np.isfinite(data_y) & (groups.numbers >= 0)
    data_x, data_y, groups = data_x[shown], data_y[shown], groups.only(shown)
    legend = (*groups.legend(), *([_FIT] if fit_x.size else []))
    axes = Axes(
        Axis(linear_scale(np.concatenate((data_x, fit_x))), x_label),
        Axis(linear_scale(np.concatenate((data_y, fit_y))), y_label),
        Heading(title, subtitle, legend),
    )
    marks = (
        *scatters(axes.pixels(data_x, data_y), groups.numbers, roles=groups.roles),
        *line(axes, fit_x, fit_y, role="accent"),
    )
    description = f"{y_label} over {x_label}: {data_x.size} points and the fitted line."
    return axes.scene(marks, description=description, note=None if marks else "no data yet")


def _ascending(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sorts a line by `x`; points that are not finite in x have no place in it, those in y become gaps."""
    placed = np.isfinite(x)
    x, y = x[placed], y[placed]
    order = np.argsort(x, kind="stable")
    return x[order], np.where(np.isfinite(y), y, np.nan)[order]
