"""Rows to predict as CSV, and predictions as CSV: a first line with the names, then a line for each row."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from service.exceptions import InvalidRequest, NotAcceptable, Problem
from service.inference.exchange import Bounds, numbers_of, tabled
from service.inference.predictor import Predicted
from service.spec.pointers import pointer_to
from service.tables.text_values import Meaning, booleans, cleaned, dates, meanings, numbers

__all__ = ["from_csv", "to_csv"]

DELIMITERS = (",", ";", "\t", "|")
MAX_LINE = 2**20
"""Characters of the line with the names."""
MAX_BLOCK = 2**30
"""Bytes that Arrow reads at once: all of a body, which is in memory anyway, so that no line is too long for it."""
_EMPTY_LINE = re.compile(rb"^(?=\n)", re.MULTILINE)
_KINDS: Mapping[Meaning, Callable[..., np.ndarray]] = {
    Meaning.NUMBER: numbers,
    Meaning.BOOLEAN: booleans,
    Meaning.DATE: dates,
}
"""What all values of a column of numbers may be, and how they are read: as in an upload."""

Text = Any
"""A `pa.StringArray`; pyarrow brings no types."""


def from_csv(
    data: bytes, *, inputs: Sequence[Mapping[str, Any]], bounds: Bounds
) -> dict[str, Sequence[Any] | np.ndarray]:
    """Read CSV with the names of the columns in its first line.

    Between the fields stands a comma, or a semicolon, a tab or a bar, whichever gives the names of the features.
    Empty fields, and those that say `NA`, `null` and the like, are missing values.

    Args:
        data: The text, in UTF-8.
        inputs: As `Signature.inputs`: whether a text is a number or a category is not told by itself.
        bounds: How much it may hold.

    Returns:
        Numbers as `PackedNumbers`, categories as lists with None where one is missing.

    Raises:
        InvalidRequest: It is no such text, a row has fewer or more fields, or a field is not what it should be.
    """
    kinds = {str(one["name"]): one for one in inputs}
    names, delimiter = _header(_decoded(data), set(kinds))
    table = _table(data, names, delimiter)
    bounds.check(rows=table.num_rows, numbers=table.num_rows * len(names))
    return {
        name: _column(table.column(place), name, kinds.get(name, {}), decimal_comma=delimiter == ";")
        for place, name in enumerate(names)
    }


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise _unreadable("it holds the character NUL")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(f"byte {error.start:,} is not UTF-8") from None


def _unreadable(reason: str) -> InvalidRequest:
    message = f"The body cannot be read as CSV: {reason}."
    hint = "Send UTF-8 text: a first line with the names of the features, then a line for each row."
    return InvalidRequest([Problem("", "unreadable_table", message, hint)])


def _header(text: str, wanted: set[str]) -> tuple[list[str], str]:
    """Read the first line, by the delimiter that gives the most of the wanted names."""
    found, reason = [], "there is no line in it"
    for delimiter in DELIMITERS:
        # By a wrong delimiter the whole line is one field, which may be longer than a field can be.
        try:
            found.append((_first_record(text[: MAX_LINE + 1], delimiter), delimiter))
        except csv.Error as error:
            reason = f"its first line: {error}"
    names, delimiter = max(found, key=lambda one: len(wanted.intersection(one[0])), default=([], ""))
    if not names:
        raise _unreadable(reason)
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        message = f"Two columns have the name `{twice[:80]}`."
        raise InvalidRequest([Problem("", "duplicate_column", message, "Give each its own.")])
    return names, delimiter


def _first_record(text: str, delimiter: str) -> list[str]:
    records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    record = next((one for one in records if one), [])
    return [name.strip() for name in record]


def _table(data: bytes, names: Sequence[str], delimiter: str) -> Any:  # noqa: ANN401 - pyarrow brings no types
    """Read all rows as texts. Of a single column, an empty line is a row whose value is missing."""
    is_single = len(names) == 1
    if is_single:  # Those before the names are none.
        data = data.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    bad: list[Any] = []

    def on_bad_row(row: Any) -> str:  # noqa: ANN401 - pyarrow brings no types
        bad.append(row)
        return "error"

    numbered = [f"f{number}" for number in range(len(names))]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(data),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=min(len(data) + 1, MAX_BLOCK), column_names=numbered
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=not is_single,
                invalid_row_handler=on_bad_row,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(numbered, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _wrong_fields(bad[0]) if bad else _unreadable(str(error)[:200].rstrip(".")) from None
    return table.slice(1)  # The names.


def _wrong_fields(row: Any) -> InvalidRequest:  # noqa: ANN401 - pyarrow brings no types
    """Say which row is too short or too long. The names are the first record, and blank lines are none."""
    message = (
        f"Row {row.number - 2:,} has {row.actual_columns} fields; there are {row.expected_columns} columns."
    )
    hint = "Give every row a field for each column; one with the delimiter in it needs double quotes."
    return InvalidRequest([Problem("", "wrong_field_count", message, hint)])


def _column(
    chunks: Any,  # noqa: ANN401 - pyarrow brings no types
    name: str,
    known: Mapping[str, Any],
    *,
    decimal_comma: bool,
) -> Sequence[Any] | np.ndarray:
    texts = chunks.combine_chunks()
    kind = known.get("kind")
    if kind == "array":
        message = f"`{name}` has an array in each row, which CSV does not hold."
        hint = "Send it as JSON, as an Arrow stream, or as npy."
        raise InvalidRequest([Problem(pointer_to("columns", name), "unsupported_type", message, hint)])
    if kind == "number":
        return numbers_of(name, _numbers(cleaned(texts), name, decimal_comma=decimal_comma))
    found: list[str | None] = _categories(texts, known.get("categories") or ()).to_pylist()
    return found


def _categories(texts: Text, known: Sequence[str]) -> Text:
    """Take a text for a missing value, or the blanks around it away, only where it is no category as it stands."""
    exact = pc.is_in(texts, value_set=pa.array([str(one) for one in known], pa.string()))
    return pc.if_else(exact, texts, cleaned(texts))


def _numbers(texts: Text, name: str, *, decimal_comma: bool) -> np.ndarray:
    means = meanings(texts, decimal_comma=decimal_comma)
    there = set(np.unique(means).tolist()) - {int(Meaning.MISSING)}
    kind = Meaning(there.pop()) if len(there) == 1 else Meaning.NUMBER
    if there or kind not in _KINDS:
        kind = Meaning.NUMBER
        row = int(np.flatnonzero((means != Meaning.NUMBER) & (means != Meaning.MISSING))[0])
        message = f"`{name}` is a number; row {row:,} has {texts[row].as_py()[:80]!r}."
        hint = "Send a number as in JSON, without thousands separators; leave the field empty where there is none."
        raise InvalidRequest([Problem(pointer_to("columns", name, row), "wrong_type", message, hint)])
    return _KINDS[kind](texts, decimal_comma=decimal_comma)


def to_csv(found: Predicted) -> bytes:
    """Write predictions as CSV, with the columns that an Arrow stream would have. NaN is an empty field.

    Where it is the only one of its line, it is written as two quotes: a line with nothing in it is often passed over.

    Raises:
        NotAcceptable: The predictions are sequences.
    """
    names, columns = tabled(found)
    if any(isinstance(values, list) and values and isinstance(values[0], list) for values in columns):
        raise NotAcceptable("A field of CSV holds no sequence.", hint="Send Accept: application/json.")
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(names)
    # A NaN becomes null, and that an empty field.
    arrays = [pa.array(values, from_pandas=isinstance(values, np.ndarray)) for values in columns]
    table = pa.table(arrays, names=[str(place) for place in range(len(arrays))])
    sink = pa.BufferOutputStream()
    arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=False))
    body = bytes(sink.getvalue().to_pybytes())
    if len(columns) == 1 and arrays[0].null_count:
        body = _EMPTY_LINE.sub(b'""', body)
    return header.getvalue().encode() + body
