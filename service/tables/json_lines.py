"""JSON Lines: one object on each line. Values become texts, which are read as those of CSV are."""

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from service.exceptions import InvalidDataset, Problem
from service.tables.dialect import MAX_PROBLEMS, MAX_RECORD_BYTES, check_names
from service.tables.orders import Budget, ReadOptions
from service.tables.sources import Block, too_many, unreadable

__all__ = ["JsonLinesSource"]

_BLOCK_BYTES = 4 * 2**20
_LONG_NUMBER = re.compile(rb"\d{19}")
_TRUTHS = {True: "true", False: "false"}


class JsonLinesSource:
    """A file of JSON objects, one a line. A key that a line does not have is a missing value."""

    free_text = True
    decimal_comma = False
    moments = ()
    known_rows = None

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:  # noqa: ARG002 - as every source
        self._path = path
        self._max_columns = budget.max_columns
        self._names: dict[str, None] = {}
        self._seen_all = False

    def survey(self) -> Iterator[Block]:
        """Give all rows: only together their texts say what they mean.

        Raises:
            InvalidDataset: As `blocks`.
            DatasetTooLarge: As `blocks`.
        """
        return self.blocks()

    def blocks(self) -> Iterator[Block]:
        """Give the rows as texts. The first time a block has only the columns of its own rows: the keys to come
        are not known yet, and thousands of empty columns would be looked at for nothing.

        Raises:
            InvalidDataset: A line is no JSON object, or has another object or a list in it.
            DatasetTooLarge: There are too many columns.
        """
        with self._path.open("rb") as file:
            lines = _numbered(file)
            while True:
                rows = self._rows(lines)
                if not rows:
                    break
                here = {name for row in rows for name in row}
                nothing = pa.nulls(len(rows), pa.string())
                names = self._names if self._seen_all else [name for name in self._names if name in here]
                columns = {name: _texts(rows, name) if name in here else nothing for name in names}
                yield Block(len(rows), columns)
        check_names(list(self._names))
        self._seen_all = True

    def _rows(self, lines: Iterator[tuple[int, bytes]]) -> list[dict[str, Any]]:
        """Read some megabytes of lines."""
        rows: list[dict[str, Any]] = []
        problems: list[Problem] = []
        size = 0
        for number, line in lines:
            row = _parsed(line, number, problems)
            rows.append(row)
            self._names.update(dict.fromkeys(row))
            if len(self._names) > self._max_columns:
                raise too_many("columns", self._max_columns, name="max_features")
            size += len(line)
            # Each row gets a value for each column, even if its line is short.
            if len(problems) >= MAX_PROBLEMS or size + 8 * len(rows) * len(self._names) > _BLOCK_BYTES:
                break
        if problems:
            raise InvalidDataset(problems)
        return rows

    def places(self, rows: Sequence[int]) -> dict[int, str]:
        """Tell the lines of some rows."""
        wanted = set(rows)
        with self._path.open("rb") as file:
            numbered = enumerate(itertools.islice(_numbered(file), max(rows) + 1))
            return {row: f"line {number:,}" for row, (number, _) in numbered if row in wanted}


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give the lines that are not blank, with their numbers."""
    number = 0
    while line := file.readline(MAX_RECORD_BYTES):
        number += 1
        if len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n"):
            raise unreadable(f"Line {number:,} is longer than {MAX_RECORD_BYTES:,} bytes.")
        stripped = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if stripped:
            yield number, stripped


def _parsed(line: bytes, number: int, problems: list[Problem]) -> dict[str, Any]:
    """Read a line; what is wrong with it is added to the problems."""
    try:
        row = _json(line)
    except (ValueError, RecursionError) as error:
        message = f"Line {number:,} is no JSON: {str(error)[:200]}."
        problems.append(
            Problem(None, "invalid_json", message, 'Write one object on each line, as {"x": 1, "y": 2}.')
        )
        return {}
    if not isinstance(row, dict):
        message = f"Line {number:,} is no JSON object."
        problems.append(
            Problem(None, "invalid_json", message, 'Write one object on each line, as {"x": 1, "y": 2}.')
        )
        return {}
    nested = next((name for name, value in row.items() if isinstance(value, dict | list)), None)
    if nested is not None:
        message = f"Line {number:,} has an object or a list in `{nested[:80]}`."
        hint = "Give every value a key of its own; send arrays as npz, or as lists in Parquet."
        problems.append(Problem(None, "nested_value", message, hint))
    return row


def _json(line: bytes) -> Any:  # noqa: ANN401 - any JSON value
    # Beyond 64 bits orjson makes a float of a whole number, and what is lost could not be told.
    if not _LONG_NUMBER.search(line):
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(line)
    # Python and others write NaN, which is no JSON: here it is a missing value, as in CSV.
    found = json.loads(line)
    # Half a character is refused here, where its line is known, as orjson does.
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _texts(rows: Sequence[Mapping[str, Any]], name: str) -> Any:  # noqa: ANN401 - pyarrow brings no types
    return pa.array([_text(row.get(name)) for row in rows], pa.string())


def _text(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    if value is None or isinstance(value, str):
        return value
    return _TRUTHS[value] if isinstance(value, bool) else repr(value)
