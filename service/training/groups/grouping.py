"""Which rows belong to which group."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.exceptions import TrainingFailed
from service.spec.evaluation import ColumnSplit, OrderSplit, RandomSplit, Split
from service.spec.limits import MAX_GROUPS
from service.spec.plan import Plan
from service.tables.frame import Array, Frame

__all__ = ["Grouping", "Label", "rows_of"]

Positions = npt.NDArray[np.int64]
Label = str | int
"""What a group is called: the text or the whole number that its rows have in the column."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups of a table.

    Attributes:
        labels: What each is called, ascending; texts in the order of their categories.
        order: Positions of all rows, group by group, and ascending within each.
        starts: Where each group begins in the order, and last where all end; one more than there are groups.
    """

    labels: tuple[Label, ...]
    order: Positions
    starts: Positions

    @classmethod
    def of(cls, frame: Frame, column: str) -> "Grouping":
        """Find the groups.

        Args:
            frame: All rows.
            column: Texts or whole numbers, without missing values.

        Raises:
            TrainingFailed: `unusable_column` where a number is not whole; `limit_exceeded` for too many groups.
        """
        values, known = frame.arrays[column], frame.schema.by_name[column]
        found, codes = _distinct(values)
        if len(found) > MAX_GROUPS:
            message = f"`{column}` tells {len(found):,} groups apart; the limit is {MAX_GROUPS:,}."
            raise TrainingFailed("limit_exceeded", message, "Group by a column with fewer different values.")
        names = known.values if known.kind == "category" else None
        labels = _numbers(column, found) if names is None else tuple(str(names[code]) for code in found)
        # Numbers of 16 bits are sorted digit by digit, ten times as fast as wider ones.
        short = codes.astype(np.uint16) if len(found) <= np.iinfo(np.uint16).max else codes
        order = np.argsort(short, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(found)))])
        return cls(labels, order, starts)

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, group: int) -> Positions:
        """Give the positions of a group's rows, ascending."""
        return self.order[self.starts[group] : self.starts[group + 1]]


def _distinct(values: Array) -> tuple[Array, Positions]:
    """Give the distinct values, ascending, and for each row which of them it has."""
    if values.dtype != np.int32 or not len(values) or values.min() < 0:
        found, codes = np.unique(values, return_inverse=True)
        return found, codes
    # Codes of categories are small numbers: they are counted, which is faster than to sort them.
    counts = np.bincount(values)
    found = np.flatnonzero(counts)
    return found, (np.cumsum(counts > 0) - 1)[values]


def rows_of(frame: Frame, rows: Positions, plan: Plan) -> Frame:
    """Give some rows as a table of their own, with the columns that a job reads, and the categories and classes of all rows.

    Args:
        frame: All rows.
        rows: Positions of those that are wanted.
        plan: Of a job over so many rows.
    """
    schema = frame.schema.model_copy(update={"rows": len(rows)})
    return Frame(schema, {name: frame.arrays[name][rows] for name in _columns(plan) & frame.arrays.keys()})


def _columns(plan: Plan) -> set[str]:
    """Name the columns that a training reads, and those that split its rows."""
    data, parts = plan.spec.data, plan.spec.evaluation.split
    names = {name for names in data.roles().values() for name in names} | set(data.target_names)
    names |= {data.weight} if data.weight else set()
    names |= {data.lengths.input, data.lengths.target} if data.lengths else set()
    return names | _splitting(parts)


def _splitting(parts: Split | None) -> set[str]:
    match parts:
        case ColumnSplit():
            return {parts.column}
        case OrderSplit():
            return {parts.by} if parts.by else set()
        case RandomSplit():
            return {parts.stratify} if parts.stratify else set()
        case None:
            return set()


def _numbers(column: str, found: Array) -> tuple[int, ...]:
    whole = found.astype(np.float64)
    if not bool((whole == np.trunc(whole)).all()):
        message = f"`{column}` holds numbers that are not whole: they do not tell groups apart."
        raise TrainingFailed("unusable_column", message, "Group by a column of texts or whole numbers.")
    return tuple(int(value) for value in found.tolist())
