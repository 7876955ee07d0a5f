"""Fewer points for the same picture: what falls on one pixel is drawn once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.plots.scene import FloatArray

_CELL_SIZES = (
    1.0,
    2.0,
    3.0,
    4.0,
    6.0,
    8.0,
    12.0,
    16.0,
)  # Pixels; the first that keeps to the budget is taken.


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The occupied cells of a grid: `centres` (n, 2) in pixels, points in each (n,), and the cell's size.

    `places` says for each point where in the grid it is; cells are in the order of their places.
    """

    centres: FloatArray
    counts: NDArray[np.int64]
    size: float
    places: NDArray[np.int64]

    def samples(self) -> NDArray[np.int64]:
        """One point of each cell, by its number, of shape (n,): any with the same chance, always the same."""
        order = np.random.default_rng(0).permutation(self.places.size)
        picks = np.full(int(self.places.max()) + 1, -1)
        picks[self.places[order]] = order  # The last of a cell in that order stays.
        return picks[picks >= 0]


def line_indices(columns: NDArray[np.int64], values: FloatArray) -> NDArray[np.int64]:
    """Which points of a line to draw: the first, last, lowest and highest of each pixel column, ascending.

    `columns` (n,) ascends; `values` (n,) may hold NaN. A column that holds nothing but NaN keeps one of
    them, so that a gap as wide as a pixel stays a gap; narrower ones could not be seen.
    """
    finite = np.flatnonzero(np.isfinite(values))
    by_value = finite[np.lexsort((values[finite], columns[finite]))]
    gaps = np.setdiff1d(columns, columns[finite])
    kept = (*_ends(finite, columns), *_ends(by_value, columns), np.searchsorted(columns, gaps))
    return np.unique(np.concatenate(kept))


def _ends(order: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The first and the last of each run of equal columns, when points are taken in `order`."""
    changes = np.flatnonzero(np.diff(columns[order])) + 1
    starts = np.concatenate(([0], changes))[: order.size]
    stops = np.concatenate((changes - 1, [order.size - 1]))[: order.size]
    return order[starts], order[stops]


def occupied_cells(points: FloatArray, *, budget: int) -> Cells:
    """Bins `points` (n, 2), n of at least one, in pixels, into the finest grid with at most `budget` cells.

    Cells come row by row, which lets a backend write small distances instead of positions.
    """
    origin = points.min(axis=0)
    extent = points.max(axis=0) - origin
    grids = (_binned(points - origin, extent, size=size) for size in _CELL_SIZES)
    cells = next((grid for grid in grids if grid.counts.size <= budget), None)
    # The coarsest grid has a few thousand cells, and no budget is smaller.
    assert cells is not None, budget  # noqa: S101
    return Cells(cells.centres + origin, cells.counts, cells.size, cells.places)


def _binned(points: FloatArray, extent: FloatArray, *, size: float) -> Cells:
    across = int(extent[0] // size) + 1
    corner = (points // size).astype(np.int64)
    places = corner[:, 1] * across + corner[:, 0]
    counts = np.bincount(places)
    occupied = np.flatnonzero(counts)
    corners = np.stack((occupied % across, occupied // across), axis=1).astype(np.float64)
    return Cells((corners + 0.5) * size, counts[occupied], size, places)
