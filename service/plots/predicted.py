"""What a model predicts against what was measured."""

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.columns import Numbers, equal_columns
from service.plots.dashes import dashed
from service.plots.groups import Groups, Parts, by_part
from service.plots.heading import Heading
from service.plots.legend import LegendEntry
from service.plots.marks import scatters
from service.plots.scales import linear_scale
from service.plots.scene import FloatArray, Primitive, Scene

_PERFECT = LegendEntry("predicted = actual", "text", "dashes")


def predicted_figure(
    actual: Numbers,
    predicted: Numbers,
    *,
    target: str,
    title: str,
    subtitle: str | None = None,
    parts: Parts | None = None,
) -> Scene:
    """Draws `predicted` over `actual`, both of length n in the units of the target, and the line of equality.

    Both axes have the same range: what lies above the line was predicted too high. With `parts`, such as
    `{"train": rows, "dev": rows}`, points are told apart by colour, and rows in no part are left out.
    Pairs with NaN or an infinity are left out; n may be zero and a million.

    Raises:
        ValueError: if the columns are not equally long, or a part has rows that do not exist.
    """
    truth, guess = equal_columns(actual, predicted, names="actual and predicted")
    groups = by_part(parts, count=truth.size)
    shown = np.isfinite(truth) & np.isfinite(guess) & (groups.numbers >= 0)
    truth, guess, groups = truth[shown], guess[shown], groups.only(shown)
    scale = linear_scale(np.concatenate((truth, guess)))
    legend = (*groups.legend(), _PERFECT) if truth.size else ()
    axes = Axes(
        Axis(scale, f"actual {target}"), Axis(scale, f"predicted {target}"), Heading(title, subtitle, legend)
    )
    marks: tuple[Primitive, ...] = tuple(
        scatters(axes.pixels(truth, guess), groups.numbers, roles=groups.roles)
    )
    if marks:
        marks = (*marks, dashed((axes.left, axes.bottom), (axes.right, axes.top), role="text"))
    note = None if marks else ("no finite values" if shown.size else "no data yet")
    return axes.scene(marks, description=_description(truth, guess, groups, target=target), note=note)


def _description(truth: FloatArray, guess: FloatArray, groups: Groups, *, target: str) -> str:
    errors = np.abs(truth / 2 - guess / 2)  # Half of it, for the largest floats have no distance.
    courses = [
        f"{groups.names[k]}: {np.count_nonzero(groups.numbers == k)} points, "
        f"half of them within {2 * _middle(errors[groups.numbers == k]):.4g} of the line"
        for k in groups.present()
    ]
    return f"Predicted over actual {target}. {'; '.join(courses) or 'no points'}."


def _middle(values: FloatArray) -> float:
    # Not numpy's median, which adds the two in the middle and overflows for the largest floats.
    return float(np.quantile(values, 0.5, method="lower"))
