"""What every chart has in common: heading, grid, frame, ticks and labels around a place for data."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from service.plots.heading import EDGE, LABEL_SIZE, TICK_SIZE, TITLE_SIZE, WIDTH, Heading
from service.plots.scales import Scale
from service.plots.scene import FloatArray, Primitive, Role, Scene, Segments, Text
from service.plots.typography import fitted, text_width

HEIGHT = 440
_TICK, _MINOR_TICK, _TICK_GAP = 5.0, 3.0, 4.0
_X_TICKS_TO_TRY = (8, 7, 6, 5, 4, 3, 2, 1)
_Y_TICKS_TO_TRY = (6,)
_LEAST_GAP = 14.0  # Pixels between two tick labels on the x axis.
_WIDER_FONT, _SURE_WIDTH = 0.25, 50.0
_LINE_HEIGHT = 1.15  # In font sizes: what a tick label takes of an axis that it stands across.

_Direction: TypeAlias = Literal["x", "y"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a chart: a scale, and the words beside it.

    `targets` are numbers of ticks to try for, from the most to the fewest, where the usual ones do not suit;
    without `grid` no line runs from a tick through the frame; the tick labels of an `upright` x axis stand on
    end, for names too long to lie side by side.
    """

    scale: Scale
    label: str
    targets: Sequence[int] = ()
    grid: bool = True
    upright: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """The frame of a chart, placed: from values to pixels, and from marks to a whole scene.

    `height` is that of the picture, `aside` what stays free to the right of the frame, both in pixels.
    `left`, `top`, `right` and `bottom` are the frame's edges in pixels; the y axis of pixels points down.
    """

    x: Axis
    y: Axis
    heading: Heading
    height: int = HEIGHT
    aside: float = 0.0
    left: float = field(init=False)
    top: float = field(init=False)
    right: float = field(init=False)
    bottom: float = field(init=False)

    def __post_init__(self) -> None:
        self._place("top", self.heading.bottom)
        self._place("right", WIDTH - EDGE - 4 - self.aside)
        self._place("bottom", self.height - EDGE - 2.8 * LABEL_SIZE - 3 - self._extra_depth())
        labels = self.y.scale.labels(self._y_ticks())
        widest = max((text_width(label, TICK_SIZE) for label in labels), default=0.0)
        self._place("left", round(EDGE + 1.6 * LABEL_SIZE + _reserved(widest) + _TICK + _TICK_GAP))

    def pixels(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """The places of values `x` and `y`, both of shape (n,), in pixels: shape (n, 2), NaN for no place."""
        return np.stack((self.along("x", x), self.along("y", y)), axis=1)

    def along(self, direction: _Direction, values: Sequence[float] | FloatArray) -> FloatArray:
        """The places of `values`, of shape (n,), on one axis alone, in pixels."""
        scale, start, stop = {
            "x": (self.x.scale, self.left, self.right),
            "y": (self.y.scale, self.bottom, self.top),
        }[direction]
        return start + scale.fractions(np.asarray(values, dtype=np.float64)) * (stop - start)

    def scene(self, marks: Iterable[Primitive], *, description: str, note: str | None = None) -> Scene:
        """The whole picture: the surroundings, `marks` in the frame, and a `note` in its middle if any."""
        items = (*self._surroundings(), *marks, *self._note(note))
        return Scene(WIDTH, self.height, self.heading.title, description, items)

    def _place(self, name: str, place: float) -> None:
        object.__setattr__(self, name, float(place))

    def _surroundings(self) -> Iterable[Primitive]:
        x_ticks, y_ticks = self._x_ticks(), self._y_ticks()
        if self.x.grid:
            yield self._segments("x", x_ticks, self.bottom, self.top, role="grid")
        if self.y.grid:
            yield self._segments("y", y_ticks, self.left, self.right, role="grid")
        yield self._segments("x", x_ticks, self.bottom, self.bottom + _TICK)
        yield self._segments("y", y_ticks, self.left, self.left - _TICK)
        yield self._segments("x", self.x.scale.minor_ticks(), self.bottom, self.bottom + _MINOR_TICK)
        yield self._segments("y", self.y.scale.minor_ticks(), self.left, self.left - _MINOR_TICK)
        yield self._spines()
        yield from self._tick_labels(x_ticks, y_ticks)
        yield from self._axis_labels()
        yield from self.heading.marks()

    def _x_ticks(self) -> list[float]:
        taken = _taken_across if self.x.upright else _taken_lengthwise
        return _readable_ticks(self.x, _X_TICKS_TO_TRY, length=self.right - self.left, taken=taken)

    def _y_ticks(self) -> list[float]:
        return _readable_ticks(self.y, _Y_TICKS_TO_TRY, length=self.bottom - self.top, taken=_taken_across)

    def _extra_depth(self) -> float:
        """How much deeper than one line the tick labels of the x axis reach."""
        if not self.x.upright:
            return 0.0
        labels = self.x.scale.labels(self.x.scale.ticks(max(self.x.targets or _X_TICKS_TO_TRY)))
        return (
            _reserved(max((text_width(label, TICK_SIZE) for label in labels), default=0.0)) - 0.5 * TICK_SIZE
        )

    def _segments(
        self, direction: _Direction, ticks: Sequence[float], start: float, stop: float, *, role: Role = "axis"
    ) -> Segments:
        """One line for each tick, across the axis, from `start` to `stop`."""
        at = np.round(self.along(direction, ticks) * 2) / 2
        begin, end = np.full_like(at, start), np.full_like(at, stop)
        ends = {"x": (at, begin, at, end), "y": (begin, at, end, at)}[direction]
        return Segments(np.stack(ends, axis=1), role)

    def _spines(self) -> Segments:
        left = (self.left, self.top, self.left, self.bottom)
        bottom = (self.left, self.bottom, self.right, self.bottom)
        return Segments(np.array([left, bottom]), "axis")

    def _tick_labels(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Iterable[Text]:
        below = self.bottom + _TICK + _TICK_GAP
        beside = self.left - _TICK - _TICK_GAP
        for at, label in zip(self.along("x", x_ticks), self.x.scale.labels(x_ticks), strict=True):
            if self.x.upright:
                yield Text(
                    float(at) + 0.36 * TICK_SIZE, below, label, "muted", TICK_SIZE, "end", rotation=-90
                )
            else:
                yield Text(float(at), below + 0.75 * TICK_SIZE, label, "muted", TICK_SIZE, "middle")
        for at, label in zip(self.along("y", y_ticks), self.y.scale.labels(y_ticks), strict=True):
            yield Text(beside, float(at) + 0.36 * TICK_SIZE, label, "muted", TICK_SIZE, "end")

    def _axis_labels(self) -> Iterable[Text]:
        across, down = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        x_label = fitted(self.x.label, width=self.right - self.left, size=LABEL_SIZE)
        y_label = fitted(self.y.label, width=self.bottom - self.top, size=LABEL_SIZE)
        yield Text(across, self.height - EDGE + 2, x_label, "text", LABEL_SIZE, "middle")
        yield Text(EDGE + 0.7 * LABEL_SIZE, down, y_label, "text", LABEL_SIZE, "middle", rotation=-90)

    def _note(self, note: str | None) -> Iterable[Text]:
        if note:
            middle = ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
            yield Text(*middle, note, "muted", TITLE_SIZE, "middle")


def _readable_ticks(
    axis: Axis, usual: Sequence[int], *, length: float, taken: Callable[[str], float]
) -> list[float]:
    """As many ticks as have labels that keep apart on `length` pixels, of which each takes `taken(label)`."""
    ticks: list[float] = []
    for target in axis.targets or usual:
        ticks = axis.scale.ticks(target)
        widths = np.array([taken(label) for label in axis.scale.labels(ticks)])
        if _keep_apart(axis.scale.fractions(np.asarray(ticks, dtype=np.float64)) * length, widths):
            break
    return ticks


def _keep_apart(middles: FloatArray, widths: FloatArray) -> bool:
    gaps = np.abs(np.diff(middles)) - (widths[1:] + widths[:-1]) / 2
    return bool(np.all(gaps >= 0))


def _reserved(width: float) -> float:
    """What to keep free for a tick label of `width`: a long one may be longer in the reader's own font."""
    return width + _WIDER_FONT * max(width - _SURE_WIDTH, 0.0)


def _taken_lengthwise(label: str) -> float:
    return text_width(label, TICK_SIZE) + _LEAST_GAP


def _taken_across(label: str) -> float:
    return _LINE_HEIGHT * TICK_SIZE if label else 0.0
