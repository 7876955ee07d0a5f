"""Heat maps: cells whose opacity is their value, and the bar that explains them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.plots.axes import Axes
from service.plots.heading import LABEL_SIZE, TICK_SIZE
from service.plots.scales import LinearScale
from service.plots.scene import FloatArray, Primitive, Rects, Role, Segments, Text
from service.plots.typography import fitted, text_width

LEVELS = 24  # Opacities are rounded to so many: neighbours that look alike become one box.
BAR_STEPS = 48
_BAR_GAP, _BAR_WIDTH = 16.0, 13.0
_TICK, _TICK_GAP = 4.0, 4.0
_TICKS = 5


def cells(
    opacities: FloatArray, *, x_edges: FloatArray, y_edges: FloatArray, role: Role
) -> Iterable[Primitive]:
    """Boxes of `role` for `opacities` of shape (rows, columns), 0 to 1, where 0 and NaN are left out.

    `x_edges` of shape (columns + 1,), ascending, and `y_edges` of shape (rows + 1,), in either direction, are
    pixels; they are rounded to whole ones, which leaves no seams between neighbours.
    """
    rows, columns = opacities.shape
    levels = np.rint(np.clip(np.nan_to_num(opacities), 0.0, 1.0) * LEVELS).astype(np.int64)
    begins = np.ones(levels.shape, np.bool_)
    begins[:, 1:] = levels[:, 1:] != levels[:, :-1]
    row, first = np.nonzero(begins)
    # A run ends where the next one begins, at the latest with its row.
    stop = np.append((row * columns + first)[1:], rows * columns) - row * columns
    across, down = np.round(x_edges), np.round(y_edges)
    top, height = np.minimum(down[:-1], down[1:]), np.abs(np.diff(down))
    boxes = np.stack((across[first], top[row], across[stop] - across[first], height[row]), axis=1)
    level = levels[row, first]
    visible = (level > 0) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    if visible.any():
        yield Rects(boxes[visible], role, level[visible] / LEVELS)


def signed_cells(signed: FloatArray, *, x_edges: FloatArray, y_edges: FloatArray) -> Iterable[Primitive]:
    """As `cells`, of values from -1 to 1, in two hues; those that are NaN are grey."""
    layers: Mapping[Role, FloatArray] = {
        "high": np.maximum(signed, 0.0),
        "low": np.maximum(-signed, 0.0),
        "axis": np.isnan(signed).astype(np.float64),
    }
    for role, layer in layers.items():
        yield from cells(layer, x_edges=x_edges, y_edges=y_edges, role=role)


def blocks(count: int, *, most: int) -> FloatArray:
    """Where to cut `count` cells into at most `most` blocks of equal size, the last perhaps smaller.

    Edges of shape (blocks + 1,), in cells.
    """
    size = max(1, -(-count // most))
    return np.append(np.arange(0.0, count, size), float(count))


def extremes(values: FloatArray, *, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """The value of largest magnitude in each block of `values`; `rows` and `columns` as from `blocks`.

    NaN only where a block holds nothing else.
    """
    most, least = (_reduced(ufunc, values, rows, columns) for ufunc in (np.fmax, np.fmin))
    return np.where(np.abs(least) > np.abs(most), least, most)


def means(values: FloatArray, *, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """The mean of each block of `values` without what is NaN; `rows` and `columns` as from `blocks`."""
    known = np.isfinite(values)
    totals = _reduced(np.add, np.where(known, values, 0.0), rows, columns)
    counts = _reduced(np.add, known.astype(np.float64), rows, columns)
    return np.where(counts > 0, totals / np.maximum(counts, 1.0), np.nan)


def _reduced(ufunc: np.ufunc, values: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    down: FloatArray = ufunc.reduceat(values, rows[:-1].astype(np.int64), axis=0)
    across: FloatArray = ufunc.reduceat(down, columns[:-1].astype(np.int64), axis=1)
    return across


@dataclass(frozen=True, slots=True, eq=False)
class ColourBar:
    """The legend of a heat map, right of the frame: which colour is which value.

    Each of `strips` gives, by role, the opacities of `BAR_STEPS` equal steps of `scale`, from the low end on.
    """

    scale: LinearScale
    label: str
    strips: Sequence[Mapping[Role, FloatArray]]

    @property
    def width(self) -> float:
        """How many pixels right of the frame it takes."""
        widest = max((text_width(label, TICK_SIZE) for label in self._labels()), default=0.0)
        return _BAR_GAP + self._across() + _TICK + _TICK_GAP + widest + 1.8 * LABEL_SIZE

    def marks(self, right: float, top: float, bottom: float) -> Iterable[Primitive]:
        """The bar beside a frame that ends at `right` and reaches from `top` to `bottom`, in pixels."""
        left = round(right + _BAR_GAP)
        edges = np.linspace(bottom, top, BAR_STEPS + 1)
        for number, strip in enumerate(self.strips):
            across = np.array([0.0, _BAR_WIDTH]) + left + number * _BAR_WIDTH
            for role, opacities in strip.items():
                yield from cells(opacities[:, np.newaxis], x_edges=across, y_edges=edges, role=role)
        yield box_around(left, top, left + self._across(), bottom)
        yield from self._ticks(left + self._across(), top, bottom)
        label = fitted(self.label, width=bottom - top, size=LABEL_SIZE)
        turned = right + self.width - 0.3 * LABEL_SIZE
        yield Text(turned, (top + bottom) / 2, label, "text", LABEL_SIZE, "middle", rotation=-90)

    def _ticks(self, start: float, top: float, bottom: float) -> Iterable[Primitive]:
        ticks = np.array(self.scale.ticks(_TICKS))
        heights = bottom + self.scale.fractions(ticks) * (top - bottom)
        ends = np.stack(
            (np.full_like(heights, start), heights, np.full_like(heights, start + _TICK), heights), 1
        )
        yield Segments(ends, "axis")
        for height, label in zip(heights.tolist(), self._labels(), strict=True):
            beside = start + _TICK + _TICK_GAP
            yield Text(beside, height + 0.36 * TICK_SIZE, label, "muted", TICK_SIZE)

    def _labels(self) -> list[str]:
        return self.scale.labels(self.scale.ticks(_TICKS))

    def _across(self) -> float:
        return _BAR_WIDTH * len(self.strips)


def box_around(left: float, top: float, right: float, bottom: float, *, role: Role = "axis") -> Segments:
    """The outline of a box, by its edges in pixels."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Segments(np.concatenate((corners, np.roll(corners, -1, axis=0)), axis=1), role)


def edges_of(axes: Axes, *, columns: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pixels of the edges of a table's cells on two category scales; `columns`, `rows` count cells from 0."""
    return axes.along("x", columns - 0.5), axes.along("y", rows - 0.5)
