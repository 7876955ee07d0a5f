"""The figures of a column, gathered block by block: no column has to fit into memory."""

import math
from collections.abc import Sequence

import numpy as np

from service.spec.schema import MAX_VALUES, Column
from service.tables.frame import Array
from service.tables.whole_numbers import first_inexact

__all__ = ["MAX_LISTED", "Figures", "with_few_values"]

MAX_LISTED = 200_000
"""Distinct numbers that the schema of one table lists, over all its columns: it travels with every answer."""
_CACHED = 2**15
"""Values that are counted at once: they stay in the processor's cache."""


class Figures:
    """Extremes, mean, standard deviation and distinct values of numbers; NaN counts as missing.

    Mean and deviation are joined block by block after Chan, Golub and LeVeque, "Algorithms for computing
    the sample variance" (1983), which does not cancel where the mean is large beside the deviation.
    """

    def __init__(self) -> None:
        self.missing = 0
        self.infinite_row: int | None = None
        """The first row with an infinite value."""
        self.missing_row: int | None = None
        """The first row with a missing one."""
        self.inexact_row: int | None = None
        """The first row with a whole number that a float64 does not hold."""
        self._seen = self._numbers = 0
        self._minimum, self._maximum = math.inf, -math.inf
        self._mean = self._squares = 0.0
        self._values: Array | None = np.empty(0)

    def see(self, block: Array) -> None:
        """Take the next rows in, as numbers of any real type."""
        values = block.reshape(len(block), -1)
        if block.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                self._look_for_gaps(values)
                values = values[finite]
        elif self.inexact_row is None and (at := first_inexact(values)) is not None:
            self.inexact_row = self._seen + at // values.shape[1]
        self._seen += len(block)
        if values.size:
            self._count(values.ravel())
        if block.ndim > 1:
            self._values = None

    def _look_for_gaps(self, values: Array) -> None:
        missing, infinite = np.isnan(values).any(axis=1), np.isinf(values).any(axis=1)
        self.missing += int(missing.sum())
        if self.missing_row is None and missing.any():
            self.missing_row = self._seen + int(missing.argmax())
        if self.infinite_row is None and infinite.any():
            self.infinite_row = self._seen + int(infinite.argmax())

    def _count(self, values: Array) -> None:
        for start in range(0, len(values), _CACHED):
            self._count_some(values[start : start + _CACHED])

    def _count_some(self, values: Array) -> None:
        self._minimum = min(self._minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))
        if self._values is not None:
            together = np.unique(np.concatenate([self._values, np.unique(values).astype(np.float64)]))
            self._values = together if len(together) <= MAX_VALUES else None
        with np.errstate(over="ignore", invalid="ignore"):
            self._join(len(values), np.float64(values.mean(dtype=np.float64)), values)

    def _join(self, count: int, mean: np.float64, values: Array) -> None:
        deviations = values.astype(np.float64)
        deviations -= mean
        squares = float(np.dot(deviations, deviations))
        total = self._numbers + count
        delta = float(mean) - self._mean
        self._squares += squares + delta * delta * self._numbers * count / total
        self._mean += delta * count / total
        self._numbers = total

    def described(self, column: Column) -> Column:
        """Give the column with its figures."""
        if self._numbers == 0:
            return column.model_copy(update={"missing": self.missing})
        values = None if self._values is None else tuple(self._values.tolist())
        figures = {
            "minimum": self._minimum,
            "maximum": self._maximum,
            "mean": _finite(self._mean),
            "std": _finite(math.sqrt(max(0.0, self._squares / self._numbers))),
        }
        return column.model_copy(update={"missing": self.missing, "values": values, **figures})


def _finite(value: float) -> float | None:
    """Leave out what does not fit into a float64: the mean of numbers near its end."""
    return value if math.isfinite(value) else None


def with_few_values(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Leave the distinct numbers out where all columns together have too many; those with the fewest stay.

    Classes are few, measurements many: what a classifier needs is kept.
    """
    listed = 0
    dropped: set[str] = set()
    for column in sorted(columns, key=lambda one: len(one.values or ())):
        if column.kind == "number":
            listed += len(column.values or ())
            if listed > MAX_LISTED:
                dropped.add(column.name)
    return tuple(
        column.model_copy(update={"values": None}) if column.name in dropped else column for column in columns
    )
