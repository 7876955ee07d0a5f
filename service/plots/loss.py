"""The loss of a job over its epochs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.dashes import dashed
from service.plots.heading import Heading
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
_MOST_RUNS = 30  # Besides the one that counts; more lines are a grey cloud, and a large file.

Run: TypeAlias = tuple[Sequence[float], Mapping[str, Sequence[float | None]]]
"""Epochs, and series by name over them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """A run whose epochs, of shape (n,), ascend; what is not finite in its series is NaN."""

    epochs: FloatArray
    series: Mapping[str, FloatArray]


def loss_figure(
    epochs: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    kept_epoch: float | None = None,
    other_runs: Sequence[Run] = (),
) -> Scene:
    """Draws each of `series`, by name, over `epochs`, both of length n; n may be zero and a million.

    None and NaN leave gaps, and so do infinities; but a series that was only measured now and then is one
    line through its values. The axis of the loss is logarithmic when all values are positive and span more
    than two powers of ten. Without anything to draw the figure says so.

    A dashed line stands at `kept_epoch`, the epoch whose weights were kept. `other_runs`, such as restarts or
    the folds of a cross-validation, are drawn thin and faint behind the run that counts, in the colours of
    its series; of more than thirty some are picked evenly.

    Raises:
        ValueError: if a series is not as long as its epochs.
    """
    kept = _course(epochs, series)
    others = [_course(*run) for run in _picked(other_runs)]
    courses = (kept, *others)
    every = np.concatenate([np.empty(0), *(column for run in courses for column in run.series.values())])
    scale = log_scale(every) if spans_decades(every) else linear_scale(every, from_zero=True)
    roles = _roles(dict.fromkeys(name for run in courses for name in run.series))
    at = np.concatenate([run.epochs for run in courses])
    mark = [] if kept_epoch is None else [float(kept_epoch)]
    legend = _legend(roles, others=len(others), runs=len(other_runs), kept_epoch=kept_epoch)
    axes = Axes(
        Axis(linear_scale(np.append(at, mark), whole=True), "epoch"),
        Axis(scale, "loss"),
        Heading(title, legend=legend),
    )
    lines = sum(len(run.series) for run in courses)
    marks = (
        *(faint for run in others for faint in _lines(axes, run, roles, lines=lines, faint=True)),
        *_lines(axes, kept, roles, lines=lines),
        *_kept(axes, mark if at.size else []),
    )
    description = _description(kept, others=len(other_runs), kept_epoch=kept_epoch)
    return axes.scene(marks, description=description, note=_note(at, every))


def _course(epochs: Sequence[float], series: Mapping[str, Sequence[float | None]]) -> _Course:
    at = np.asarray(epochs, dtype=np.float64)
    order = np.argsort(at, kind="stable")
    order = order[np.isfinite(at[order])]  # Without an epoch a loss has no place.
    columns = {name: _column(name, given, length=at.size)[order] for name, given in series.items()}
    return _Course(at[order], columns)


def _column(name: str, given: Sequence[float | None], *, length: int) -> FloatArray:
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (length,):
        raise ValueError(f"series {name!r} has shape {values.shape}, but there are {length} epochs")
    return np.where(np.isfinite(values), values, np.nan)


def _picked(runs: Sequence[Run]) -> list[Run]:
    kept = min(len(runs), _MOST_RUNS)
    return [runs[k * len(runs) // kept] for k in range(kept)]


def _roles(names: Iterable[str]) -> dict[str, Role]:
    """Train and dev loss look the same in every picture; other series share the other colours in turn."""
    names = list(names)
    others = [name for name in names if name not in _KNOWN_ROLES]
    turns = {name: _OTHER_ROLES[k % len(_OTHER_ROLES)] for k, name in enumerate(others)}
    return {name: _KNOWN_ROLES.get(name) or turns[name] for name in names}


def _legend(
    roles: Mapping[str, Role], *, others: int, runs: int, kept_epoch: float | None
) -> list[LegendEntry]:
    entries = [LegendEntry(name, role) for name, role in roles.items()]
    if others:
        count = f"{others} of {runs}" if others < runs else f"{runs}"
        entries.append(LegendEntry(f"{count} other run{'s' if runs > 1 else ''}", "data", "faint"))
    if kept_epoch is not None:
        entries.append(LegendEntry(f"weights kept: epoch {kept_epoch:g}", "text", "upright"))
    return entries if len(entries) > 1 else []


def _lines(
    axes: Axes, run: _Course, roles: Mapping[str, Role], *, lines: int, faint: bool = False
) -> Iterable[Primitive]:
    # The smooth lines come last: beneath a rough one they would not be seen.
    for name in sorted(run.series, key=lambda name: _roughness(run.series[name]), reverse=True):
        column = run.series[name]
        present = np.isfinite(column) | (not _is_sparse(column))
        yield from line(
            axes, run.epochs[present], column[present], role=roles[name], lines=lines, faint=faint
        )


def _kept(axes: Axes, epochs: Sequence[float]) -> Iterable[Primitive]:
    for at in axes.along("x", epochs).tolist():
        yield dashed((at, axes.bottom), (at, axes.top), role="text")


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


def _description(run: _Course, *, others: int, kept_epoch: float | None) -> str:
    finite = {name: column[np.isfinite(column)] for name, column in run.series.items()}
    courses = [f"{name} from {v[0]:.4g} to {v[-1]:.4g}" for name, v in finite.items() if v.size]
    kept = "" if kept_epoch is None else f" The weights of epoch {kept_epoch:g} were kept."
    beside = f" Behind it {others} other runs." if others else ""
    return f"Loss over {run.epochs.size} epochs: {', '.join(courses) or 'no finite values'}.{kept}{beside}"
