"""Which rows of a table are meant: their positions, kept as small as they can be."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Positions", "all_of", "compact", "selection"]

Positions = npt.NDArray[np.signedinteger[Any]]
"""Positions of rows: int32 where that holds them all, for a large table has many."""


def all_of(rows: int) -> Positions:
    """Give the positions of all rows of a table."""
    return np.arange(rows, dtype=_dtype(rows))


def compact(positions: Positions, *, rows: int) -> Positions:
    """Keep positions in a table of so many rows in as few bytes as hold them."""
    return positions.astype(_dtype(rows), copy=False)


def _dtype(rows: int) -> np.dtype[np.signedinteger[Any]]:
    return np.dtype(np.int32 if rows <= np.iinfo(np.int32).max else np.int64)


def selection(positions: Positions) -> Positions | slice:
    """Say how rows are best taken: as a slice, which copies nothing, where they are consecutive."""
    if len(positions) == 0:
        return positions
    first, last = int(positions[0]), int(positions[-1])
    if last - first != len(positions) - 1 or not bool(np.all(np.diff(positions) == 1)):
        # Numpy would turn smaller numbers into these anew for each column.
        return positions.astype(np.intp, copy=False)
    return slice(first, last + 1)
