"""Rows of a stored dataset that are read and encoded when they are asked for, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.tables.frame import Frame
from service.tables.pages import release
from service.training.preparation import Preparation
from service.training.rows import Batch, Stretch, require_finite

__all__ = ["StoredRows"]

RELEASE_BYTES = 64 * 2**20
"""After reading so much, the pages of the files are given back: the kernel would keep them in the process."""


@dataclass(slots=True)
class StoredRows:
    """Rows on disk.

    Attributes:
        frame: Columns, mapped from files.
        preparation: Encodes them.
        positions: Which rows of the frame; int64.
        block: Rows that are encoded at once.
        device: Where the batches go.
    """

    frame: Frame
    preparation: Preparation
    positions: npt.NDArray[np.int64]
    block: int
    device: torch.device
    _read: int = 0

    @property
    def is_resident(self) -> bool:
        """They are on disk."""
        return False

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, order: torch.Tensor) -> Batch:
        """Read the rows of these positions, in this order."""
        # Files are read from front to back; the rows are put into their order in memory.
        wanted = self.positions[order.numpy()]
        ascending = np.argsort(wanted, kind="stable")
        batch = self._encoded(wanted[ascending])
        back = torch.from_numpy(np.argsort(ascending, kind="stable"))
        weight = None if batch.weight is None else batch.weight[back]
        return Batch(batch.features[back], batch.target[back], weight)

    def between(self, start: int, stop: int) -> Batch:
        """Read consecutive rows."""
        rows = self.positions[start:stop]
        consecutive = (
            len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1 and bool(np.all(np.diff(rows) == 1))
        )
        return self._encoded(slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows)

    def stretch(self, start: int, stop: int, order: torch.Tensor | None) -> Stretch:
        """Give a batch to be read in pieces of `block` rows; one that fits into a piece is read at once."""

        def piece(low: int, high: int) -> Batch:
            return self.between(low, high) if order is None else self.take(order[low:high])

        def pieces() -> Iterator[Batch]:
            for low in range(start, stop, self.block):
                yield piece(low, min(low + self.block, stop))

        if stop - start <= self.block:
            # Weighed as rows in memory are, in the number format of the training: so it has all of the weight.
            batch = piece(start, stop)
            weight = float(stop - start) if batch.weight is None else float(batch.weight.sum())
            return Stretch(stop - start, weight, lambda: iter([batch]))
        return Stretch(stop - start, self._weight(start, stop, order), pieces)

    def _weight(self, start: int, stop: int, order: torch.Tensor | None) -> float:
        if self.preparation.weight is None:
            return float(stop - start)
        rows = self.positions[start:stop] if order is None else self.positions[order[start:stop].numpy()]
        return float(self.frame.arrays[self.preparation.weight][rows].astype(np.float64).sum())

    def _encoded(self, rows: npt.NDArray[np.int64] | slice) -> Batch:
        batch = self.preparation.batch(self.frame, rows)
        require_finite(batch)
        self._read += batch.features.nbytes
        if self._read > RELEASE_BYTES:
            self._read = 0
            for array in self.frame.arrays.values() if self.frame.is_mapped else ():
                release(array)
        weight = None if batch.weight is None else batch.weight.to(self.device)
        return Batch(batch.features.to(self.device), batch.target.to(self.device), weight)
