"""Rows of a stored dataset that are read and encoded when they are asked for, in bounded memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.tables.frame import Array
from service.training.positions import Positions
from service.training.preparation import Preparation
from service.training.reader import Reader
from service.training.rows import Batch, Stretch, require_finite

__all__ = ["StoredRows"]

WINDOW_BYTES = 64 * 2**20
"""Rows that several batches need are read together, up to so many bytes: one way through the files serves them all."""


@dataclass(slots=True)
class StoredRows:
    """Rows on disk.

    Attributes:
        reader: Reads the columns.
        preparation: Encodes them.
        positions: Which rows of the frame.
        block: Rows that are encoded at once.
        device: Where the batches go.
    """

    reader: Reader
    preparation: Preparation
    positions: Positions
    block: int
    device: torch.device

    @property
    def is_resident(self) -> bool:
        """They are on disk."""
        return False

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def window(self) -> int:
        """Rows that are best read together: as many as `WINDOW_BYTES` hold."""
        numbers = math.prod(self.preparation.shape) * len(self.preparation.roles)
        row_bytes = numbers * np.dtype(self.preparation.dtype).itemsize
        return max(1, WINDOW_BYTES // max(1, row_bytes))

    def take(self, order: torch.Tensor) -> Batch:
        """Read the rows of these positions, in this order."""
        # Files are read from front to back; the rows are put into their order in memory.
        ascending, places = _ascending(self.positions[order.numpy()])
        features, target, weight = self._read(ascending)
        weight = None if weight is None else weight.index_select(0, places)
        return self._moved(Batch(features.index_select(0, places), target.index_select(0, places), weight))

    def between(self, start: int, stop: int) -> Batch:
        """Read consecutive rows."""
        return self._moved(self._read(self.positions[start:stop]))

    def targets(self, start: int, stop: int) -> torch.Tensor:
        """Read the targets of consecutive rows, and nothing else."""
        columns = self.reader.read(self.preparation.target_columns, self.positions[start:stop])
        return self.preparation.targets(columns, rows=stop - start).to(self.device)

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
        return float(self._column(self.preparation.weight, rows).astype(np.float64).sum())

    def _column(self, name: str, rows: Positions) -> Array:
        return self.reader.read([name], rows)[name]

    def _read(self, rows: Positions) -> Batch:
        batch = self.preparation.of(self.reader.read(self.preparation.columns, rows))
        require_finite(batch)
        return batch

    def _moved(self, batch: Batch) -> Batch:
        weight = None if batch.weight is None else batch.weight.to(self.device)
        return Batch(batch.features.to(self.device), batch.target.to(self.device), weight)


def _ascending(wanted: Positions) -> tuple[npt.NDArray[np.int64], torch.Tensor]:
    """Sort positions, and give for each of them as they came its place among the sorted ones.

    Position and place are sorted as one number: that is several times faster than an argsort.
    """
    count = len(wanted)
    bits = count.bit_length()
    keys = (wanted.astype(np.int64) << bits) | np.arange(count)
    keys.sort()
    places = np.empty(count, np.int64)
    places[keys & ((1 << bits) - 1)] = np.arange(count)
    return keys >> bits, torch.from_numpy(places)
