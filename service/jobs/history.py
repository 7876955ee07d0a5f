"""Per-epoch series: packed into blobs, unpacked, thinned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "History", "pack", "unpack"]

COLUMNS = ("train_loss", "dev_loss", "learning_rate")
"""The series that every history has, in this order; those not recorded are all null."""

Series = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class History:
    """The series of some epochs of a job.

    Attributes:
        epochs: Epoch numbers from 1, ascending; int64, shape (n,).
        columns: By name, float64 of the same shape; NaN where nothing was recorded.
    """

    epochs: npt.NDArray[np.int64]
    columns: Mapping[str, Series]

    @classmethod
    def joined(cls, chunks: "Iterable[History]") -> "History":
        """Put consecutive chunks into one history; columns that a chunk lacks are NaN there."""
        parts = list(chunks)
        names = [*COLUMNS, *sorted({name for part in parts for name in part.columns} - set(COLUMNS))]
        epochs = [part.epochs for part in parts] or [np.empty(0, np.int64)]
        return cls(
            epochs=np.concatenate(epochs),
            columns={
                name: np.concatenate([_column(p, name) for p in parts] or [np.empty(0)]) for name in names
            },
        )

    def between(self, first: int, last: int | None) -> "History":
        """Keep the epochs from `first` to `last`, both included."""
        low = int(np.searchsorted(self.epochs, first))
        high = len(self.epochs) if last is None else int(np.searchsorted(self.epochs, last, side="right"))
        return self._take(np.arange(low, max(low, high)))

    def every(self, step: int) -> "History":
        """Keep the epochs that are multiples of `step`."""
        return self._take(np.flatnonzero(self.epochs % step == 0))

    def thinned(self, points: int) -> "History":
        """Keep at most `points` epochs, evenly spread, the first and the last among them."""
        count = len(self.epochs)
        if count <= points:
            return self
        return self._take(np.linspace(0, count - 1, points).round().astype(np.int64))

    def _take(self, rows: npt.NDArray[np.int64]) -> "History":
        return History(self.epochs[rows], {name: series[rows] for name, series in self.columns.items()})


def _column(part: History, name: str) -> Series:
    return part.columns.get(name, np.full(len(part.epochs), np.nan))


def pack(columns: Mapping[str, Sequence[float]]) -> bytes:
    """Pack series of one length as little-endian float64, one series after the other."""
    return np.asarray(list(columns.values()), dtype="<f8").tobytes()


def unpack(data: bytes, *, names: Sequence[str], first_epoch: int) -> History:
    """Read what `pack` packed; the epochs count up from `first_epoch`."""
    table = np.frombuffer(data, dtype="<f8").reshape(len(names), -1)
    epochs = np.arange(first_epoch, first_epoch + table.shape[1], dtype=np.int64)
    return History(epochs, dict(zip(names, table, strict=True)))
