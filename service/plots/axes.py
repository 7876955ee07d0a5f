"""What every chart has in common: title, legend, grid, frame, ticks and labels around a place for data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from service.plots.legend import LegendEntry, legend_rows
from service.plots.scales import Scale
from service.plots.scene import FloatArray, Primitive, Role, Scene, Segments, Text
from service.plots.typography import fitted, text_width

WIDTH, HEIGHT = 720, 440
_EDGE = 16.0  # Nothing is drawn nearer to the left, right and upper edge.
_TITLE_SIZE, _LABEL_SIZE, _TICK_SIZE = 15.0, 12.5, 11.5
_TICK, _MINOR_TICK, _TICK_GAP = 5.0, 3.0, 4.0
_X_TICKS_TO_TRY = (8, 7, 6, 5, 4, 3, 2, 1)
_Y_TICKS = 6
_LEAST_GAP = 14.0  # Pixels between two tick labels on the x axis.

_Direction: TypeAlias = Literal["x", "y"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a chart: a scale, and the words beside it."""

    scale: Scale
    label: str


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the frame: a title, and if need be a second line and a legend."""

    title: str
    subtitle: str | None = None
    legend: Sequence[LegendEntry] = ()


@dataclass(frozen=True, slots=True)
class Axes:
    """The frame of a chart, placed: from values to pixels, and from marks to a whole scene.

    `left`, `top`, `right` and `bottom` are the frame's edges in pixels; the y axis of pixels points down.
    """

    x: Axis
    y: Axis
    heading: Heading
    left: float = field(init=False)
    top: float = field(init=False)
    right: float = field(init=False)
    bottom: float = field(init=False)

    def __post_init__(self) -> None:
        labels = self.y.scale.labels(self.y.scale.ticks(_Y_TICKS))
        widest = max((text_width(label, _TICK_SIZE) for label in labels), default=0.0)
        places = {
            "left": float(round(_EDGE + 1.6 * _LABEL_SIZE + widest + _TICK + _TICK_GAP)),
            "top": _top(self.heading),
            "right": WIDTH - _EDGE - 4,
            "bottom": HEIGHT - _EDGE - 2.8 * _LABEL_SIZE - 3,
        }
        for name, place in places.items():
            object.__setattr__(self, name, float(place))

    def pixels(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """The places of values `x` and `y`, both of shape (n,), in pixels: shape (n, 2), NaN for no place."""
        return np.stack((self._along("x", x), self._along("y", y)), axis=1)

    def scene(self, marks: Iterable[Primitive], *, description: str, note: str | None = None) -> Scene:
        """The whole picture: the surroundings, `marks` in the frame, and a `note` in its middle if any."""
        items = (*self._surroundings(), *marks, *self._note(note))
        return Scene(WIDTH, HEIGHT, self.heading.title, description, items)

    def _surroundings(self) -> Iterable[Primitive]:
        x_ticks = _readable_ticks(self.x.scale, width=self.right - self.left)
        y_ticks = self.y.scale.ticks(_Y_TICKS)
        yield self._segments("x", x_ticks, self.bottom, self.top, role="grid")
        yield self._segments("y", y_ticks, self.left, self.right, role="grid")
        yield self._segments("x", x_ticks, self.bottom, self.bottom + _TICK)
        yield self._segments("y", y_ticks, self.left, self.left - _TICK)
        yield self._segments("x", self.x.scale.minor_ticks(), self.bottom, self.bottom + _MINOR_TICK)
        yield self._segments("y", self.y.scale.minor_ticks(), self.left, self.left - _MINOR_TICK)
        yield self._spines()
        yield from self._tick_labels(x_ticks, y_ticks)
        yield from self._axis_labels()
        yield from self._heading()

    def _along(self, direction: _Direction, values: Sequence[float] | FloatArray) -> FloatArray:
        scale, start, stop = {
            "x": (self.x.scale, self.left, self.right),
            "y": (self.y.scale, self.bottom, self.top),
        }[direction]
        return start + scale.fractions(np.asarray(values, dtype=np.float64)) * (stop - start)

    def _segments(
        self, direction: _Direction, ticks: Sequence[float], start: float, stop: float, *, role: Role = "axis"
    ) -> Segments:
        """One line for each tick, across the axis, from `start` to `stop`."""
        at = np.round(self._along(direction, ticks) * 2) / 2
        begin, end = np.full_like(at, start), np.full_like(at, stop)
        ends = {"x": (at, begin, at, end), "y": (begin, at, end, at)}[direction]
        return Segments(np.stack(ends, axis=1), role)

    def _spines(self) -> Segments:
        left = (self.left, self.top, self.left, self.bottom)
        bottom = (self.left, self.bottom, self.right, self.bottom)
        return Segments(np.array([left, bottom]), "axis")

    def _tick_labels(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Iterable[Text]:
        below = self.bottom + _TICK + _TICK_GAP + 0.75 * _TICK_SIZE
        beside = self.left - _TICK - _TICK_GAP
        for at, label in zip(self._along("x", x_ticks), self.x.scale.labels(x_ticks), strict=True):
            yield Text(float(at), below, label, "muted", _TICK_SIZE, "middle")
        for at, label in zip(self._along("y", y_ticks), self.y.scale.labels(y_ticks), strict=True):
            yield Text(beside, float(at) + 0.36 * _TICK_SIZE, label, "muted", _TICK_SIZE, "end")

    def _axis_labels(self) -> Iterable[Text]:
        across, down = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        x_label = fitted(self.x.label, width=self.right - self.left, size=_LABEL_SIZE)
        y_label = fitted(self.y.label, width=self.bottom - self.top, size=_LABEL_SIZE)
        yield Text(across, HEIGHT - _EDGE + 2, x_label, "text", _LABEL_SIZE, "middle")
        yield Text(_EDGE + 0.7 * _LABEL_SIZE, down, y_label, "text", _LABEL_SIZE, "middle", rotation=-90)

    def _heading(self) -> Iterable[Primitive]:
        room = WIDTH - 2 * _EDGE
        baseline = _EDGE + 0.9 * _TITLE_SIZE
        title = fitted(self.heading.title, width=0.94 * room, size=_TITLE_SIZE)  # Bold letters are wider.
        yield Text(_EDGE, baseline, title, "text", _TITLE_SIZE, bold=True)
        if self.heading.subtitle:
            subtitle = fitted(self.heading.subtitle, width=room, size=_LABEL_SIZE)
            yield Text(_EDGE, baseline + 1.6 * _LABEL_SIZE, subtitle, "muted", _LABEL_SIZE)
        rows = legend_rows(self.heading.legend, width=room)
        yield from rows.marks(_EDGE, self.top - 12.0 - rows.height)

    def _note(self, note: str | None) -> Iterable[Text]:
        if note:
            middle = ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
            yield Text(*middle, note, "muted", _TITLE_SIZE, "middle")


def _top(heading: Heading) -> float:
    """Where the frame begins: below as many lines as the heading needs."""
    subtitle = 1.6 * _LABEL_SIZE if heading.subtitle else 0.0
    legend = legend_rows(heading.legend, width=WIDTH - 2 * _EDGE).height
    return float(round(_EDGE + 1.2 * _TITLE_SIZE + subtitle + legend + 20.0))


def _readable_ticks(scale: Scale, *, width: float) -> list[float]:
    """As many ticks as have labels that keep apart on a horizontal axis of `width` pixels."""
    ticks: list[float] = []
    for target in _X_TICKS_TO_TRY:
        ticks = scale.ticks(target)
        if _labels_fit(scale, ticks, width=width):
            break
    return ticks


def _labels_fit(scale: Scale, ticks: Sequence[float], *, width: float) -> bool:
    widths = np.array([text_width(label, _TICK_SIZE) for label in scale.labels(ticks)])
    middles = scale.fractions(np.asarray(ticks, dtype=np.float64)) * width
    gaps = np.diff(middles) - (widths[1:] + widths[:-1]) / 2
    return bool(np.all(gaps >= _LEAST_GAP))
