"""What a model leaves unexplained: over its predictions, and how often."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.columns import Numbers, equal_columns
from service.plots.dashes import dashed
from service.plots.groups import Parts, by_part
from service.plots.heading import Heading
from service.plots.legend import THIN_WIDTH, LegendEntry
from service.plots.marks import scatters
from service.plots.scales import LARGEST, linear_scale
from service.plots.scene import FloatArray, Polyline, Primitive, Scene

_QUANTILES = (0.16, 0.5, 0.84)  # One standard deviation to both sides, if residuals are normal.
_MEDIAN = LegendEntry("median", "accent", "line")
_SPREAD = LegendEntry("two thirds lie between", "accent", "thin")
_FEWEST, _FOR_ONE_BIN, _MOST_BINS = 8, 40, 24
_MEDIAN_WIDTH = 2.2
_CASING = 2.0  # A rim of paper: without it a line is lost on a million points.


def residuals_figure(
    predicted: Numbers,
    residuals: Numbers,
    *,
    target: str,
    title: str,
    subtitle: str | None = None,
    parts: Parts | None = None,
) -> Scene:
    """Draws `residuals`, actual minus predicted, over `predicted`: both of length n, in units of the target.

    Around the line at zero run the median of the residuals and the quantiles at 16 % and 84 %, in up to 24
    stretches of the predictions with equally many rows: a bent median shows what the model missed, a
    widening band that the noise grows. Fewer than eight rows have no such lines. `parts` and numbers that
    are not finite are treated as in `predicted_figure`; n may be zero and a million.

    Raises:
        ValueError: if the columns are not equally long, or a part has rows that do not exist.
    """
    guess, rest = equal_columns(predicted, residuals, names="predicted and residuals")
    groups = by_part(parts, count=guess.size)
    shown = np.isfinite(guess) & np.isfinite(rest) & (groups.numbers >= 0)
    guess, rest, groups = guess[shown], rest[shown], groups.only(shown)
    lines = (_MEDIAN, _SPREAD) if rest.size >= _FEWEST else ()
    axes = Axes(
        Axis(linear_scale(guess), f"predicted {target}"),
        Axis(linear_scale(np.append(rest, 0.0)), "residual (actual - predicted)"),
        Heading(title, subtitle, (*groups.legend(), *lines)),
    )
    marks: tuple[Primitive, ...] = tuple(
        scatters(axes.pixels(guess, rest), groups.numbers, roles=groups.roles)
    )
    if marks:
        marks = (*marks, _zero(axes), *_spread(axes, guess, rest))
    note = None if marks else ("no finite values" if shown.size else "no data yet")
    return axes.scene(marks, description=_description(rest, target=target), note=note)


def _zero(axes: Axes) -> Primitive:
    height = float(axes.along("y", [0.0])[0])
    return dashed((axes.left, height), (axes.right, height), role="text")


def _spread(axes: Axes, guess: FloatArray, rest: FloatArray) -> Iterable[Primitive]:
    if rest.size < _FEWEST:
        return
    places, quantiles = _running(np.clip(guess, -LARGEST, LARGEST), np.clip(rest, -LARGEST, LARGEST))
    across = axes.along("x", places) if places.size > 1 else np.array([axes.left, axes.right])
    lower, median, upper = (np.resize(axes.along("y", row), across.shape) for row in quantiles)
    for height, width in ((lower, THIN_WIDTH), (upper, THIN_WIDTH), (median, _MEDIAN_WIDTH)):
        points = np.stack((across, height), axis=1)
        yield Polyline(points, "background", width + _CASING)
        yield Polyline(points, "accent", width)


def _running(guess: FloatArray, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where along `guess` each stretch has its middle, shape (k,), and the quantiles in it, shape (3, k)."""
    bins = int(np.clip(guess.size // _FOR_ONE_BIN, 1, _MOST_BINS))
    order = np.argsort(guess, kind="stable")
    guess, rest = guess[order], rest[order]
    # Equal predictions stay together, so that the order of rows among them does not matter.
    starts = np.unique(np.searchsorted(guess, guess[np.arange(bins) * guess.size // bins]))
    stretches = [slice(start, stop) for start, stop in pairwise([*starts.tolist(), guess.size])]
    places = np.array([np.quantile(guess[stretch], 0.5, method="lower") for stretch in stretches])
    return places, np.array([np.quantile(rest[stretch], _QUANTILES) for stretch in stretches]).T


def _description(rest: FloatArray, *, target: str) -> str:
    if rest.size == 0:
        return f"Residuals of {target}: no points."
    low, middle, high = np.quantile(np.clip(rest, -LARGEST, LARGEST), _QUANTILES).tolist()
    return (
        f"Residuals of {target} over its predictions: {rest.size} points, median {middle:.4g}, "
        f"two thirds of them between {low:.4g} and {high:.4g}."
    )
