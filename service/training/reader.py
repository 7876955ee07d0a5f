"""Reading columns of a table that may be larger than memory, and letting those hear of it who wait."""

import mmap
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.tables.frame import Array, Frame
from service.tables.pages import release
from service.training.positions import Positions, selection

__all__ = ["Heard", "Reader", "nobody"]

RELEASE_BYTES = 128 * 2**20
"""After reading so much, the pages of the files are given back: the kernel would keep them in the process."""

Heard = Callable[[int], None]
"""Told how many rows were read; may raise to end the reading there."""


def nobody(rows: int) -> None:
    """Hear nothing."""


@dataclass(slots=True)
class Reader:
    """Reads rows of columns.

    Attributes:
        frame: The columns, in memory or mapped from files.
        heard: Is told of the rows before they are read.
    """

    frame: Frame
    heard: Heard = nobody
    _touched: int = 0

    def read(self, names: Iterable[str], rows: Positions) -> dict[str, Array]:
        """Give these rows of some columns: as views where they are consecutive.

        Whatever `heard` raises ends it.
        """
        self.heard(len(rows))
        wanted = selection(rows)
        return {name: self._read(self.frame.arrays[name], wanted) for name in names}

    def _read(self, array: Array, rows: Positions | slice) -> Array:
        if self.frame.is_mapped:
            self._make_room(array, rows)
        return array[rows]

    def _make_room(self, array: Array, rows: Positions | slice) -> None:
        """Give the pages of all columns back before many more are touched."""
        if self._touched > RELEASE_BYTES:
            self._touched = 0
            for other in self.frame.arrays.values():
                release(other)
        row_bytes = array.nbytes // max(1, len(array))
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        page = row_bytes if isinstance(rows, slice) else max(row_bytes, mmap.PAGESIZE)
        self._touched += min(array.nbytes, count * page)
