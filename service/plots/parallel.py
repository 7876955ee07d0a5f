"""Parallel coordinates: an upright axis for each thing that was varied, and a line across them for each trial."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from service.plots.axes import HEIGHT
from service.plots.heading import EDGE, LABEL_SIZE, TICK_SIZE, TITLE_SIZE, WIDTH, Heading
from service.plots.legend import LegendEntry
from service.plots.scales import (
    CategoryScale,
    Scale,
    linear_scale,
    log_scale,
    spans_decades,
)
from service.plots.scene import FloatArray, Polyline, Primitive, Rects, Scene, Segments, Text
from service.plots.typography import fitted, text_width

_MOST_AXES = 9  # With the last one; more, and no name beneath them could be read.
_TICKS = 5
_TICK = 5.0
_LABEL_ROOM = 58.0  # Left of each axis, for the labels of its ticks.
_RIGHT = 26.0  # Right of the last axis, for half of its name.
_PAPER = 0.78  # Opacity of the paper beneath a label that lines cross.
_GOOD_SHARE = 0.1
_LINE, _GOOD_LINE, _BEST_LINE = 1.0, 1.6, 2.8
_FAINTEST, _FAINT, _GOOD = 0.16, 0.5, 0.9
_FEW, _MANY = 30, 300


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """What one axis shows: `values` of shape (n,), one for each trial, NaN where there is none.

    With `names`, a value is a position among them; a `logarithmic` axis is for positive values.
    """

    label: str
    values: FloatArray
    names: Sequence[str] | None = None
    logarithmic: bool = False

    @property
    def scale(self) -> Scale:
        """Where its values lie."""
        if self.names is not None:
            return CategoryScale(self.names)
        return log_scale(self.values) if self.logarithmic else linear_scale(self.values)


def parallel_figure(
    dimensions: Sequence[Dimension],
    objective: Dimension,
    order: Sequence[int],
    *,
    title: str,
) -> Scene:
    """Draws the trials of `order`, numbers of rows, the best first, across `dimensions` to `objective`.

    The best one stands out, and the best tenth before the others. Of many dimensions the first are drawn.
    Trials that are not in `order`, such as those that came to nothing, are left out.
    """
    shown = [*dimensions[: _MOST_AXES - 1], _on_its_scale(objective)]
    left_out = len(dimensions) + 1 - len(shown)
    subtitle = f"parameters that are not shown: {left_out}" if left_out else None
    good = max(1, round(_GOOD_SHARE * len(order)))
    heading = Heading(title, subtitle, _legend(len(order), good))
    frame = _Frame(heading.bottom + 4, HEIGHT - EDGE - 1.9 * LABEL_SIZE, len(shown))
    points = _points(frame, shown)
    items = (
        *_lines(points, order, good),
        *(mark for place, one in enumerate(shown) for mark in _axis(frame, place, one)),
        *heading.marks(),
        *_note(order),
    )
    return Scene(WIDTH, HEIGHT, title, _description(shown, order), items)


def _on_its_scale(objective: Dimension) -> Dimension:
    logarithmic = spans_decades(objective.values)
    return Dimension(objective.label, objective.values, logarithmic=logarithmic)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the axes stand, in pixels."""

    top: float
    bottom: float
    count: int

    @property
    def distance(self) -> float:
        """From one axis to the next."""
        return (WIDTH - 2 * EDGE - _LABEL_ROOM - _RIGHT) / max(1, self.count - 1)

    def across(self, place: int) -> float:
        """Of the axis with this number."""
        return EDGE + _LABEL_ROOM + place * self.distance

    def down(self, fractions: FloatArray) -> FloatArray:
        """Of places on an axis, its low end at the bottom."""
        down: FloatArray = self.bottom - fractions * (self.bottom - self.top)
        return down


def _points(frame: _Frame, shown: Sequence[Dimension]) -> FloatArray:
    """The places of all trials on all axes: shape (n, axes, 2)."""
    down = np.stack([frame.down(one.scale.fractions(one.values)) for one in shown], axis=1)
    across = np.broadcast_to([frame.across(place) for place in range(len(shown))], down.shape)
    return np.stack((across, down), axis=2)


def _lines(points: FloatArray, order: Sequence[int], good: int) -> Iterable[Primitive]:
    """The worst first: the better a trial is, the less may hide it."""
    crowd = min(1.0, max(0.0, (len(order) - _FEW) / (_MANY - _FEW)))
    faint = _FAINT + (_FAINTEST - _FAINT) * crowd
    for rank in range(len(order) - 1, -1, -1):
        line = points[order[rank]]
        line = line[np.isfinite(line).all(axis=1)]
        if len(line) < 2:  # noqa: PLR2004 - a line needs two points
            continue
        if rank == 0:
            yield Polyline(line, "accent", _BEST_LINE)
        elif rank < good:
            yield Polyline(line, "data", _GOOD_LINE, _GOOD)
        else:
            yield Polyline(line, "data", _LINE, faint)


def _axis(frame: _Frame, place: int, dimension: Dimension) -> Iterable[Primitive]:
    at, scale = frame.across(place), dimension.scale
    yield Segments(np.array([[at, frame.top, at, frame.bottom]]), "axis", 1.5)
    ticks = scale.ticks(_TICKS)
    downs = frame.down(scale.fractions(np.asarray(ticks, dtype=np.float64)))
    yield Segments(np.array([[at - _TICK, down, at, down] for down in downs]).reshape(-1, 4), "axis")
    room = min(_LABEL_ROOM, frame.distance) - _TICK - 6
    labels = [fitted(label, width=room, size=TICK_SIZE) for label in scale.labels(ticks)]
    yield from _paper(at, downs, labels)
    for down, label in zip(downs, labels, strict=True):
        yield Text(at - _TICK - 4, float(down) + 0.36 * TICK_SIZE, label, "muted", TICK_SIZE, "end")
    yield _name(frame, place, dimension.label)


def _paper(at: float, downs: FloatArray, labels: Sequence[str]) -> Iterable[Primitive]:
    """Dims the lines beneath the labels, so that both can be seen."""
    widths = [text_width(label, TICK_SIZE) + 4 for label in labels]
    boxes = [
        [at - _TICK - 2 - width, down - 0.6 * TICK_SIZE, width, 1.2 * TICK_SIZE]
        for down, width in zip(downs, widths, strict=True)
    ]
    if boxes:
        yield Rects(np.array(boxes), "background", np.full(len(boxes), _PAPER))


def _name(frame: _Frame, place: int, label: str) -> Text:
    """The name beneath an axis, in the middle; of a path that is too long its last part."""
    outermost = {0: _LABEL_ROOM, frame.count - 1: _RIGHT}
    room = min(frame.distance - 8, 2 * (outermost.get(place, frame.distance) + EDGE))
    if text_width(label, LABEL_SIZE) > room:
        label = label.rsplit("/", 1)[-1]
    text = fitted(label, width=room, size=LABEL_SIZE)
    return Text(frame.across(place), frame.bottom + 1.7 * LABEL_SIZE, text, "text", LABEL_SIZE, "middle")


def _legend(count: int, good: int) -> list[LegendEntry]:
    entries = [LegendEntry("best", "accent")] if count else []
    if good > 1:
        entries.append(LegendEntry(f"best {good}", "data", "thin"))
    if count > good:
        entries.append(LegendEntry(f"the other {count - good}", "data", "faint"))
    return entries


def _note(order: Sequence[int]) -> Iterable[Text]:
    if not order:
        yield Text(WIDTH / 2, HEIGHT / 2, "no trial has a result yet", "muted", TITLE_SIZE, "middle")


def _description(shown: Sequence[Dimension], order: Sequence[int]) -> str:
    if not order:
        return "Parallel coordinates without a trial."
    best = "; ".join(f"{one.label} {_word(one, order[0])}" for one in shown)
    return f"Parallel coordinates of {len(order)} trials. The best one: {best}."


def _word(dimension: Dimension, row: int) -> str:
    value = float(dimension.values[row])
    if not np.isfinite(value):
        return "none"
    return f"{value:.4g}" if dimension.names is None else dimension.names[round(value)]
