"""The learning rate of a job over its epochs."""

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.columns import Numbers, equal_columns
from service.plots.heading import Heading
from service.plots.marks import line
from service.plots.scales import linear_scale, log_scale, spans_decades
from service.plots.scene import FloatArray, Scene


def learning_rate_figure(
    epochs: Numbers, learning_rate: Numbers, *, title: str, subtitle: str | None = None
) -> Scene:
    """Draws `learning_rate` over `epochs`, both of length n, as steps: a rate holds until the next one.

    The last rate is drawn as long as the epoch before it was. The axis of the rate is logarithmic when all
    rates are positive and span more than two powers of ten. None, NaN and infinities leave gaps; n may be
    zero and a million.

    Raises:
        ValueError: if the columns are not equally long.
    """
    at, rates = equal_columns(epochs, learning_rate, names="epochs and learning_rate")
    order = np.argsort(at, kind="stable")
    order = order[np.isfinite(at[order])]  # Without an epoch a rate has no place.
    at, rates = at[order], np.where(np.isfinite(rates), rates, np.nan)[order]
    x, y = _steps(at, rates)
    scale = log_scale(rates) if spans_decades(rates) else linear_scale(rates, from_zero=True)
    axes = Axes(
        Axis(linear_scale(x, whole=True), "epoch"), Axis(scale, "learning rate"), Heading(title, subtitle)
    )
    marks = tuple(line(axes, x, y, role="data"))
    note = None if marks else ("no finite values" if at.size else "no epochs yet")
    return axes.scene(marks, description=_description(rates), note=note)


def _steps(epochs: FloatArray, rates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each rate at the beginning and at the end of its epoch, of shape (2 n,)."""
    if epochs.size == 0:
        return epochs, rates
    last = epochs[-1] - epochs[-2] if epochs.size > 1 else 1.0
    ends = np.append(epochs[1:], epochs[-1] + last)
    return np.stack((epochs, ends), axis=1).ravel(), np.repeat(rates, 2)


def _description(rates: FloatArray) -> str:
    finite = rates[np.isfinite(rates)]
    if finite.size == 0:
        return f"Learning rate over {rates.size} epochs: no finite values."
    return (
        f"Learning rate over {rates.size} epochs: from {finite[0]:.4g} to {finite[-1]:.4g}, "
        f"at most {finite.max():.4g}, at least {finite.min():.4g}."
    )
