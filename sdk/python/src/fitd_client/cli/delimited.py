"""CSV, read without any package: numbers, truth values and texts by column."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from fitd_client.errors import UnreadableData

__all__ = ["columns_of", "delimiter_of"]

_DELIMITERS = ",;\t|"
_TRUTH = {"true": True, "false": False}


def delimiter_of(content: bytes) -> str:
    """Tell what stands between the fields: of the usual ones, the most frequent in the first line."""
    head = content.split(b"\n", maxsplit=1)[0].decode("utf-8", "replace")
    return max(_DELIMITERS, key=head.count)


def columns_of(content: bytes, *, category: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Read CSV with a line of names.

    Args:
        content: In UTF-8.
        category: Columns that stay texts, though they look like numbers.

    Returns:
        Columns of numbers, truth values or texts; an empty field is None.

    Raises:
        UnreadableData: There are no names, a row has more or fewer fields than there are names, or it is no CSV.
    """
    text = content.decode("utf-8-sig")
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter_of(content)) if row]
    except csv.Error as error:
        raise UnreadableData(f"It is no CSV: {error}.") from None
    if not rows:
        raise UnreadableData("There are no rows in it.")
    names = rows[0]
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise UnreadableData(f"Row {number} has {len(row)} fields; there are {len(names)} names.")
    fields = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(names)
    texts = set(category)
    return {name: _typed(column, name in texts) for name, column in zip(names, fields, strict=True)}


def _typed(column: Sequence[str], as_text: bool) -> list[Any]:  # noqa: FBT001 - as it is called above
    kinds: Sequence[Callable[[str], Any]] = () if as_text else (_whole, _number, _truth)
    for kind in kinds:
        try:
            return [kind(field) if field else None for field in column]
        except (ValueError, KeyError):
            continue
    return [field or None for field in column]


def _whole(field: str) -> int:
    return int(_plainly(field))


def _number(field: str) -> float:
    return float(_plainly(field))


def _truth(field: str) -> bool:
    return _TRUTH[field.lower()]


def _plainly(field: str) -> str:
    if "_" in field:  # Python's own way to group digits is no number elsewhere.
        raise ValueError(field)
    return field
