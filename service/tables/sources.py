"""What every file format gives: blocks of rows, column by column, and the place of a row for people."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.exceptions import DatasetTooLarge, InvalidDataset, Problem

__all__ = ["BLOCK_ROWS", "Block", "Finding", "RowsSource", "Source", "empty_file", "too_many", "unreadable"]

BLOCK_ROWS = 65_536
"""Rows that are looked at together, where they are narrow."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive rows.

    Attributes:
        rows: How many.
        columns: By name, Arrow arrays or numpy arrays, each with `rows` rows. When a file is read for the
            first time, a column without any value in these rows may be left out.
    """

    rows: int
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a row; the message has `{place}` where the row's place is to be told."""

    row: int
    code: str
    message: str
    hint: str


class Source(Protocol):
    """A file that can be read from its beginning as often as wanted."""

    @property
    def free_text(self) -> bool:
        """Whether the columns are texts that may mean numbers, as in CSV."""
        ...

    @property
    def decimal_comma(self) -> bool:
        """Whether `3,14` is a number there."""
        ...

    @property
    def moments(self) -> Collection[str]:
        """Names of columns that were dates, where the values do not show it any more: seconds since 1970."""
        ...

    @property
    def known_rows(self) -> int | None:
        """How many rows there are, where the file says it and the first block shows what the columns are."""
        ...

    def survey(self) -> Iterator[Block]:
        """Give what shows what the columns are and how many rows there are.

        These are the rows of `blocks`; where the type of a column says all, its values may be left out.

        Raises:
            InvalidDataset: The file is not what it should be.
            DatasetTooLarge: It has more than the budget allows.
        """
        ...

    def blocks(self) -> Iterator[Block]:
        """Give the rows in their order.

        Raises:
            InvalidDataset: The file is not what it should be.
            DatasetTooLarge: It has more than the budget allows.
        """
        ...

    def places(self, rows: Sequence[int]) -> dict[int, str]:
        """Tell where rows (counted from 0) are, as in `line 37`."""
        ...


class RowsSource:
    """A source whose rows have no lines: they are counted from 1."""

    free_text = False
    decimal_comma = False
    moments: Collection[str] = ()
    known_rows: int | None = None

    def survey(self) -> Iterator[Block]:
        """Give all rows."""
        return self.blocks()

    def blocks(self) -> Iterator[Block]:
        """Give the rows in their order."""
        raise NotImplementedError

    def places(self, rows: Sequence[int]) -> dict[int, str]:
        """Count the rows from 1."""
        return {row: f"row {row + 1:,}" for row in rows}


def unreadable(what: str, hint: str = "") -> InvalidDataset:
    """Say that a file is not what it should be."""
    hint = hint or "Was it cut off on its way, or is its Content-Type another?"
    return InvalidDataset([Problem(None, "unreadable_file", what, hint)])


def empty_file(what: str = "The file is empty.") -> InvalidDataset:
    """Say that there are no rows."""
    return InvalidDataset([Problem(None, "empty_data", what, "Send at least one row.")])


def too_many(what: str, limit: int, *, name: str) -> DatasetTooLarge:
    """Say that a budget is used up, which the operator can raise by its name."""
    hint = f"Send less, or ask the operator to raise {name} (GET /v1/capabilities tells all limits)."
    return DatasetTooLarge(f"The dataset has more than {limit:,} {what}.", hint=hint)
