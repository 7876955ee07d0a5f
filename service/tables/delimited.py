"""CSV and its relatives: rows of text, read by Arrow in blocks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from service.exceptions import InvalidDataset, Problem
from service.tables.dialect import (
    MAX_PROBLEMS,
    MAX_RECORD_BYTES,
    broken_quotes,
    check_text,
    lines_of,
    sniffed,
)
from service.tables.orders import Budget, ReadOptions
from service.tables.sources import Block, empty_file, too_many, unreadable

__all__ = ["DelimitedSource"]

_BLOCK_BYTES = 2**20
"""Arrow reads some 32 blocks ahead, and no row may be longer than one: wide tables get larger ones."""
_RECORDS_IN_BLOCK = 64
_BLOCK_ROWS = 2**18
"""Of the shortest rows a block of Arrow's has millions; what is computed from them takes many times their size."""


class DelimitedSource:
    """A CSV file."""

    free_text = True
    moments = ()
    known_rows = None

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:
        """Look at the text and its first rows.

        Raises:
            InvalidDataset: It is no UTF-8, or empty, or its columns have no usable names.
            DatasetTooLarge: It has too many columns.
        """
        self._path = path
        self._odd_quotes = check_text(path) % 2 == 1
        self._dialect = sniffed(path, options)
        if len(self._dialect.names) > budget.max_columns:
            raise too_many("columns", budget.max_columns, name="max_features")
        wanted = _RECORDS_IN_BLOCK * self._dialect.width
        self._block_bytes = min(max(_BLOCK_BYTES, wanted), MAX_RECORD_BYTES)
        self.decimal_comma = self._dialect.decimal_comma
        self._checked = False
        self._several_lines = False

    def survey(self) -> Iterator[Block]:
        """Give all rows: only together their texts say what they mean.

        Raises:
            InvalidDataset: As `blocks`.
            DatasetTooLarge: As `blocks`.
        """
        return self.blocks()

    def blocks(self) -> Iterator[Block]:
        """Give the rows as texts.

        Raises:
            InvalidDataset: Rows differ in their number of fields, or quotes are not closed.
        """
        bad: list[Any] = []
        try:
            yield from self._read(bad)
        except pa.ArrowInvalid as error:
            raise self._broken(bad, str(error)) from None
        if bad:
            raise self._wrong_fields(bad)
        if not self._checked and (self._odd_quotes or self._several_lines):
            broken = broken_quotes(self._path, self._dialect.delimiter)
            if broken is not None:
                raise broken
        self._checked = True

    def _read(self, bad: list[Any]) -> Iterator[Block]:
        names = self._dialect.names
        first = True
        for batch in self._reader(bad):
            columns = batch.columns
            if first and self._dialect.header:
                columns = [column[1:] for column in columns]
            first = False
            if not self._checked and not self._several_lines:
                self._several_lines = any(_has_line_ends(column) for column in columns)
            for start in range(0, len(columns[0]), _BLOCK_ROWS):
                part = [column[start : start + _BLOCK_ROWS] for column in columns]
                yield Block(len(part[0]), dict(zip(names, part, strict=True)))
        if first:
            raise empty_file()

    def _reader(self, bad: list[Any]) -> Any:  # noqa: ANN401 - pyarrow brings no types
        def on_bad_row(row: Any) -> str:  # noqa: ANN401 - pyarrow brings no types
            bad.append(row)
            return "skip" if len(bad) < MAX_PROBLEMS else "error"

        # All are text, whose meaning is found out later over all rows.
        names = [f"f{number}" for number in range(len(self._dialect.names))]
        return csv.open_csv(
            self._path,
            read_options=csv.ReadOptions(use_threads=False, block_size=self._block_bytes, column_names=names),
            parse_options=csv.ParseOptions(
                delimiter=self._dialect.delimiter, newlines_in_values=True, invalid_row_handler=on_bad_row
            ),
            convert_options=csv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )

    def _broken(self, bad: list[Any], reason: str) -> InvalidDataset:
        if bad:
            return self._wrong_fields(bad)
        broken = broken_quotes(self._path, self._dialect.delimiter)
        if broken is None and "straddling" in reason:
            return unreadable(f"A row is longer than {self._block_bytes:,} bytes.", "Shorten its texts.")
        return broken or unreadable(f"The file cannot be read as CSV: {reason[:200].rstrip('.')}.")

    def _wrong_fields(self, bad: list[Any]) -> InvalidDataset:
        # Arrow counts records from 1, and leaves blank lines out, as `lines_of` does from 0.
        lines = lines_of(self._path, self._dialect.delimiter, [row.number - 1 for row in bad])
        hint = (
            "Give every row one field for each column. A field with the delimiter in it needs double quotes; "
            "if another character stands between the fields, send delimiter=semicolon, tab or pipe."
        )
        problems = []
        for row in bad:
            fields = f"{row.actual_columns} field{'s' if row.actual_columns > 1 else ''}"
            message = (
                f"Line {lines[row.number - 1]:,} has {fields}; there are {row.expected_columns} columns."
            )
            problems.append(Problem(None, "wrong_field_count", message, hint))
        return InvalidDataset(problems)

    def places(self, rows: Sequence[int]) -> dict[int, str]:
        """Tell the lines of some rows, as an editor counts them."""
        shift = 1 if self._dialect.header else 0
        lines = lines_of(self._path, self._dialect.delimiter, [row + shift for row in rows])
        return {row: f"line {lines[row + shift]:,}" for row in rows}


def _has_line_ends(column: Any) -> bool:  # noqa: ANN401 - pyarrow brings no types
    """Tell whether a text goes over several lines: it may be rows that a stray quote has swallowed."""
    return bool(pc.any(pc.match_substring(column, "\n")).as_py())
