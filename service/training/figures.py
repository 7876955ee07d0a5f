"""Figures of columns over many blocks of rows, in one pass and bounded memory."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.tables.frame import Array

__all__ = ["Figures", "most_frequent"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of each column; float64, shape (columns,).

    Attributes:
        mean: Mean of the values.
        std: Standard deviation, with n in the denominator.
        low: Smallest value.
        high: Largest value.
    """

    mean: Floats
    std: Floats
    low: Floats
    high: Floats

    @classmethod
    def over(cls, blocks: Iterable[Floats]) -> "Figures":
        """Take the figures of blocks of shape (columns, values): the values of a column lie side by side.

        Means and sums of squared deviations of two sets are joined exactly, not by sums of squares, which
        lose the small differences of large numbers (Chan, Golub, LeVeque 1983, equations 2.1).
        """
        count, mean, squares = 0, np.zeros(0), np.zeros(0)
        low, high = np.zeros(0), np.zeros(0)
        for block in blocks:
            size = block.shape[1]
            if size == 0:
                continue
            new_mean = block.mean(axis=1)
            lowest, highest = block.min(axis=1), block.max(axis=1)
            deviations = block - new_mean[:, np.newaxis]
            # Summed as `numpy.std` sums them: of a table in one block these are its very figures.
            new_squares = np.square(deviations, out=deviations).sum(axis=1)
            if count == 0:
                mean, squares = np.zeros_like(new_mean), np.zeros_like(new_mean)
                low, high = lowest, highest
            total = count + size
            delta = new_mean - mean
            squares = squares + new_squares + np.square(delta) * (count * size / total)
            mean = mean + delta * (size / total)
            low, high = np.minimum(low, lowest), np.maximum(high, highest)
            count = total
        # The mean of equal numbers is rounded: they would seem to vary.
        std = np.where(high > low, np.sqrt(squares / max(1, count)), 0.0)
        return cls(mean, std, low, high)

    def scaling(self, how: str, position: int) -> tuple[float, float]:
        """Give (shift, scale) of a column; a column that does not vary is only shifted."""
        mean, std = float(self.mean[position]), float(self.std[position])
        low, high = float(self.low[position]), float(self.high[position])
        shift, scale = {"none": (0.0, 1.0), "standardize": (mean, std), "min_max": (low, high - low)}[how]
        # The deviation of a constant is often not 0 but a rounding error.
        return shift, scale if scale > 0 and low < high else 1.0


def most_frequent(values: Array) -> float:
    """Give the most frequent value, the smallest of several; missing ones (NaN, -1 of codes) do not count."""
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values[values >= 0]
    found, counts = np.unique(present, return_counts=True)
    return float(found[np.argmax(counts)]) if len(found) else 0.0
