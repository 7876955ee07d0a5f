"""Losses as a curve in a terminal, drawn with braille: two by four dots in a character."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

__all__ = ["Curve", "drawn"]

_ACROSS, _DOWN = 2, 4
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character by column and row."""
_BLANK = 0x2800
_LABEL = 8
_SPAN_OF_LOG = 20.0
"""From so large a ratio on, a linear axis shows nothing but the fall at the beginning."""
_LEAST_WIDTH, _LEAST_HEIGHT = 4, 2

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of the picture.

    Attributes:
        points: Pairs of epoch and finite loss, in the order of the epochs.
        style: Colour, as rich has it.
        mark: What draws it where there is no braille.
        dotted: Whether it is drawn with gaps, to be told from others without colour too.
    """

    points: Points
    style: str
    mark: str = "*"
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    scale: Callable[[float], float]

    def place(self, loss: float, rows: int) -> int:
        """Give the row of a loss, counted from above."""
        low, high = self.scale(self.low), self.scale(self.high)
        share = (self.scale(loss) - low) / (high - low) if high > low else 0.5
        return round((1 - share) * (rows - 1))


def drawn(curves: Sequence[Curve], *, width: int, height: int, last: int, unicode: bool = True) -> list[Text]:
    """Draw curves over the epochs from 1 to `last`.

    Args:
        curves: Later ones lie above earlier ones.
        width: Characters in all, with the labels.
        height: Lines in all, with that of the epochs.
        last: Epoch at the right end.
        unicode: Whether the terminal has braille; else each point is a mark.

    Returns:
        The lines, none where there is nothing to draw.
    """
    losses = [loss for curve in curves for _, loss in curve.points]
    columns, rows = max(width - _LABEL - 1, _LEAST_WIDTH), max(height - 1, _LEAST_HEIGHT)
    if not losses:
        return []
    axis = _axis(min(losses), max(losses))
    across, down = (_ACROSS, _DOWN) if unicode else (1, 1)
    grid = _Grid(columns, rows, unicode=unicode)
    for curve in curves:
        for x, top, bottom in _strokes(curve, axis, columns * across, rows * down, last=last):
            grid.stroke(x, top, bottom, curve)
    lines = [
        Text.assemble((label, "dim"), line)
        for label, line in zip(_labels(axis, rows, unicode=unicode), grid.lines(), strict=True)
    ]
    return [*lines, _epochs(columns, last)]


def _axis(low: float, high: float) -> _Axis:
    if low > 0 and high / low >= _SPAN_OF_LOG:
        return _Axis(low, high, math.log10)
    return _Axis(low, high, float)


def _strokes(curve: Curve, axis: _Axis, width: int, rows: int, *, last: int) -> list[tuple[int, int, int]]:
    """Give upright strokes, one for each column of dots: together they are the line."""
    found: list[tuple[int, int, int]] = []
    before: tuple[int, int] | None = None
    for epoch, loss in curve.points:
        x = round((epoch - 1) / max(last - 1, 1) * (width - 1))
        x, y = min(max(x, 0), width - 1), axis.place(loss, rows)
        found += _between(before, (x, y))
        before = (x, y)
    return [stroke for stroke in found if not curve.dotted or stroke[0] % 4 < _ACROSS]


def _between(before: tuple[int, int] | None, here: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Give the strokes from one point to the next, as a straight line."""
    if before is None or before[0] == here[0]:
        y = here[1] if before is None else before[1]
        return [(here[0], min(y, here[1]), max(y, here[1]))]
    (x0, y0), (x1, y1) = before, here
    found, y = [], y0
    for x in range(x0 + 1, x1 + 1):
        following = round(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
        # It begins beside the end of the last stroke: so steep parts have no double corners.
        start = y if following == y else y + (1 if following > y else -1)
        found.append((x, min(start, following), max(start, following)))
        y = following
    return found


class _Grid:
    """Characters that dots are set in."""

    def __init__(self, columns: int, rows: int, *, unicode: bool) -> None:
        self._columns, self._unicode = columns, unicode
        self._bits = [[0] * columns for _ in range(rows)]
        self._cells: list[list[tuple[str, str]]] = [[(" ", "")] * columns for _ in range(rows)]

    def stroke(self, x: int, top: int, bottom: int, curve: Curve) -> None:
        """Set the dots of a column from one row to another."""
        for y in range(top, bottom + 1):
            if self._unicode:
                self._set_dot(x, y, curve)
            else:
                self._cells[y][x] = (curve.mark, curve.style)

    def _set_dot(self, x: int, y: int, curve: Curve) -> None:
        row, column = y // _DOWN, x // _ACROSS
        self._bits[row][column] |= _DOTS[x % _ACROSS][y % _DOWN]
        self._cells[row][column] = (chr(_BLANK | self._bits[row][column]), curve.style)

    def lines(self) -> list[Text]:
        """Give the lines, from above."""
        return [Text.assemble(*cells) for cells in self._cells]


def _labels(axis: _Axis, rows: int, *, unicode: bool) -> list[str]:
    """Give what stands left of each line: the largest loss above, the smallest below."""
    edge, tick = ("│", "┤") if unicode else ("|", "+")
    told = {0: f"{axis.high:.3g}", rows - 1: f"{axis.low:.3g}"}
    return [f"{told.get(row, ''):>{_LABEL}}{tick if row in told else edge}" for row in range(rows)]


def _epochs(columns: int, last: int) -> Text:
    right = f"{last:,}"
    return Text(f"{'':>{_LABEL + 1}}1{right:>{max(columns - 1, len(right) + 1)}}", style="dim")
