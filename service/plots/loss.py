"""The loss of a job over its epochs."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from service.plots.axes import Axes, Axis, Heading
from service.plots.legend import LegendEntry
from service.plots.marks import line
from service.plots.scales import linear_scale, log_scale, spans_decades
from service.plots.scene import SERIES_ROLES, FloatArray, Primitive, Role, Scene

_KNOWN_ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "train_loss": "data",
        "dev_loss": "dev",
    }
)
_OTHER_ROLES: tuple[Role, ...] = tuple(role for role in SERIES_ROLES if role not in _KNOWN_ROLES.values())


def loss_figure(
    epochs: Sequence[float], series: Mapping[str, Sequence[float | None]], *, title: str
) -> Scene:
    """Draws each of `series`, by name, over `epochs`, both of length n; n may be zero and a million.

    None and NaN leave gaps, and so do infinities; but a series that was only measured now and then is one
    line through its values. The axis of the loss is logarithmic when all values are positive and span more
    than two powers of ten. Without anything to draw the figure says so.

    Raises:
        ValueError: if a series is not as long as `epochs`.
    """
    at = np.asarray(epochs, dtype=np.float64)
    order = np.argsort(at, kind="stable")
    values = {name: _column(name, given, length=at.size)[order] for name, given in series.items()}
    every = np.concatenate([np.empty(0), *values.values()])
    scale = log_scale(every) if spans_decades(every) else linear_scale(every, from_zero=True)
    roles = _roles(values)
    axes = Axes(
        Axis(linear_scale(at, whole=True), "epoch"),
        Axis(scale, "loss"),
        Heading(title, legend=_legend(roles)),
    )
    marks = _lines(axes, at[order], values, roles)
    return axes.scene(marks, description=_description(at, values), note=_note(at, every))


def _column(name: str, given: Sequence[float | None], *, length: int) -> FloatArray:
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (length,):
        raise ValueError(f"series {name!r} has shape {values.shape}, but there are {length} epochs")
    return np.where(np.isfinite(values), values, np.nan)


def _roles(names: Iterable[str]) -> dict[str, Role]:
    """Train and dev loss look the same in every picture; other series share the other colours in turn."""
    others = [name for name in names if name not in _KNOWN_ROLES]
    turns = {name: _OTHER_ROLES[k % len(_OTHER_ROLES)] for k, name in enumerate(others)}
    return {name: _KNOWN_ROLES.get(name) or turns[name] for name in names}


def _legend(roles: Mapping[str, Role]) -> list[LegendEntry]:
    return [LegendEntry(name, role) for name, role in roles.items()] if len(roles) > 1 else []


def _lines(
    axes: Axes, epochs: FloatArray, values: Mapping[str, FloatArray], roles: Mapping[str, Role]
) -> Iterable[Primitive]:
    # The smooth lines come last: beneath a rough one they would not be seen.
    for name in sorted(values, key=lambda name: _roughness(values[name]), reverse=True):
        column = values[name]
        present = np.isfinite(column) | (not _is_sparse(column))
        yield from line(axes, epochs[present], column[present], role=roles[name], lines=len(values))


def _is_sparse(column: FloatArray) -> bool:
    """Whether most values stand alone, as when only every tenth epoch is evaluated: no gaps, but a rhythm."""
    finite = np.concatenate(([False], np.isfinite(column), [False]))
    alone = finite[1:-1] & ~finite[:-2] & ~finite[2:]
    return bool(2 * alone.sum() > finite.sum() > 1)


def _roughness(column: FloatArray) -> float:
    """How often a series turns, from 0 to 1."""
    # Signs, unlike sums of differences, stay finite for the largest of values.
    finite = column[np.isfinite(column)]
    rising = np.greater(finite[1:], finite[:-1])
    return float(np.count_nonzero(np.diff(rising))) / max(finite.size, 1)


def _note(epochs: FloatArray, values: FloatArray) -> str | None:
    if epochs.size == 0:
        return "no epochs yet"
    return None if np.isfinite(values).any() else "no finite values"


def _description(epochs: FloatArray, values: Mapping[str, FloatArray]) -> str:
    finite = {name: column[np.isfinite(column)] for name, column in values.items()}
    courses = [f"{name} from {v[0]:.4g} to {v[-1]:.4g}" for name, v in finite.items() if v.size]
    return f"Loss over {epochs.size} epochs: {', '.join(courses) or 'no finite values'}."
