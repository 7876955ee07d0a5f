"""Long arrays of numbers in a JSON body: taken out as numpy arrays, piece by piece, before the rest is validated.

A parser written in C holds the interpreter's lock until it is done: for a body of megabytes nothing else of the
process runs meanwhile. And of a million numbers pydantic makes a million objects, only to have them counted. So
the long arrays are cut out of the text first and read some hundred kilobytes at a time. What is left is a few
hundred bytes, which pydantic validates as ever, with a mark where each array was.

Nothing here refuses a body. Where anything is unusual, the whole body is validated in the plain way, which tells
every problem: this way is only ever taken by what is right.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, overload

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, PlainSerializer, PlainValidator, ValidationInfo
from pydantic.json_schema import SkipJsonSchema

__all__ = ["Packed", "PackedNumbers", "PackedRows", "is_packed", "numbers_text", "validated"]

Model = TypeVar("Model", bound=BaseModel)
Floats = npt.NDArray[np.float64]

WORTH_BYTES = 64 * 2**10
"""Shorter bodies are validated in the plain way: it takes less than a millisecond."""
LONG_BYTES = 16 * 2**10
"""Text of an array from which on it is taken out."""
PIECE_BYTES = 128 * 2**10
"""Text of an array that is read at once: less than a millisecond's work."""
PIECE_NUMBERS = 2**14
"""Numbers of an array that are written at once."""
MOST_TOKENS = 20_000
"""A body with more texts and short arrays than this is not one of long columns of numbers."""
_MARK = secrets.token_hex(16)
"""What every mark begins with. Nobody can guess it, so none can be in a body already."""
_ROWS = re.compile(rb'"rows"\s*:\s*\[')
_NEXT_ROW = re.compile(rb"\}\s*,\s*(?=\{)")
_LAST_ROW = re.compile(rb"\}\s*(?=\])")
_NUMBERS = {float, int, type(None)}
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|\[', re.DOTALL)
"""A text or the beginning of an array. A text without an end reaches to the end: nothing is looked at twice."""


class PackedNumbers(Sequence[float | None]):
    """A column of numbers, held as an array.

    Attributes:
        array: float64 of shape (rows,), read only; NaN where a value is missing, and no infinities.
    """

    __slots__ = ("array",)

    def __init__(self, array: Floats) -> None:
        self.array = array
        array.setflags(write=False)

    @overload
    def __getitem__(self, place: int) -> float | None: ...
    @overload
    def __getitem__(self, place: slice) -> "PackedNumbers": ...
    def __getitem__(self, place: int | slice) -> "float | PackedNumbers | None":
        if isinstance(place, slice):
            return PackedNumbers(self.array[place])
        value = float(self.array[place])
        return None if np.isnan(value) else value

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[float | None]:
        return iter(self.tolist())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedNumbers):
            return np.array_equal(self.array, other.array, equal_nan=True)
        return isinstance(other, Sequence) and self.tolist() == list(other)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def tolist(self) -> list[float | None]:
        """Give the values as JSON has them: None where one is missing."""
        found: list[float | None] = self.array.tolist()
        for row in np.flatnonzero(np.isnan(self.array)):
            found[row] = None
        return found


class PackedRows(Sequence[dict[str, float | None]]):
    """Rows of numbers, held as columns.

    Attributes:
        columns: The values by name.
        text: The rows as they were sent.
    """

    __slots__ = ("columns", "text")

    def __init__(self, columns: Mapping[str, PackedNumbers], text: bytes) -> None:
        self.columns = columns
        self.text = text

    @overload
    def __getitem__(self, place: int) -> dict[str, float | None]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, float | None]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, float | None] | list[dict[str, float | None]]:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        return {name: values[place] for name, values in self.columns.items()}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(slots=True)
class _Packed:
    """The arrays of one body, by the marks that stand for them, and the marks that were met in a place for them."""

    columns: dict[str, PackedNumbers]
    met: set[str] = field(default_factory=set)


def validated(
    model: type[Model], body: bytes, *, with_rows: Callable[[Model, PackedRows], Model] | None = None
) -> Model:
    """Validate a JSON body; columns of many numbers become `PackedNumbers`, and many rows of them `PackedRows`.

    Args:
        model: What the body is.
        body: The text.
        with_rows: Puts rows in the place of the columns of a valid model; rows are read as ever when left out.

    Raises:
        ValidationError: As `model.model_validate_json` raises it.
    """
    if len(body) > WORTH_BYTES:
        found = None if with_rows is None else _by_row(model, body, with_rows)
        found = found or _quickly(model, body)
        if found is not None:
            return found
    return model.model_validate_json(body)


def _quickly(model: type[Model], body: bytes) -> Model | None:
    """Validate a body whose long arrays are columns of numbers; None for every other one, the wrong ones too."""
    try:
        spans = _spans(body)
        if not spans:
            return None
        packed = _Packed({f"{_MARK}{at}": _read(body, *span) for at, span in enumerate(spans)})
        return _met(model, _marked(body, spans, list(packed.columns)), packed)
    except ValueError:
        return None


def _by_row(model: type[Model], body: bytes, with_rows: Callable[[Model, PackedRows], Model]) -> Model | None:
    """Validate a body with many rows of numbers, as if they had come by column; None for every other one."""
    start = _ROWS.search(body)
    if start is None:
        return None
    try:
        columns, end = _read_rows(body, start.end())
        before, after = body[: start.start()], body[end:]
        # Rows or columns that come once more, perhaps spelled with escapes, would not be seen any more.
        if any(word in rest for rest in (before, after) for word in (b'"columns"', b'"rows"', b"\\")):
            return None
        packed = _Packed({f"{_MARK}{at}": column for at, column in enumerate(columns.values())})
        named = orjson.dumps(dict(zip(columns, packed.columns, strict=True)))
        found = _met(model, b'%b"columns":%b%b' % (before, named, after), packed)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    rows = PackedRows(columns, body[start.end() - 1 : end])
    return None if found is None else with_rows(found, rows)


def _met(model: type[Model], text: bytes, packed: _Packed) -> Model | None:
    """Validate a body with marks; None if one of them did not come to stand for a column.

    An array may stand where a text is wanted, or under a name that comes twice: then its mark says nothing.
    """
    found = model.model_validate_json(text, context=packed)
    return found if packed.met == packed.columns.keys() else None


def _read_rows(body: bytes, start: int) -> tuple[dict[str, PackedNumbers], int]:
    """Read rows of numbers, from behind the bracket on.

    As with numbers, a cut between two rows that was none would leave a piece that is no JSON.

    Returns:
        The columns, and where the array ends, its bracket included.

    Raises:
        ValueError: They are something else, or not all of the same columns.
        LookupError: A row lacks a column.
        TypeError, AttributeError: A row is no object.
    """
    pieces: dict[str, list[Floats]] = {}
    while (cut := _NEXT_ROW.search(body, start + PIECE_BYTES)) is not None:
        try:
            rows = orjson.loads(b"[%b]" % body[start : cut.start() + 1])
        except orjson.JSONDecodeError:
            break  # The cut was behind the last row.
        _append(pieces, rows)
        start = cut.end()
    last = _LAST_ROW.search(body, start)
    if last is None:
        raise ValueError("the rows do not end")
    _append(pieces, orjson.loads(b"[%b]" % body[start : last.start() + 1]))
    return {name: PackedNumbers(np.concatenate(parts)) for name, parts in pieces.items()}, last.end() + 1


def _append(pieces: dict[str, list[Floats]], rows: list[dict[str, Any]]) -> None:
    names = pieces.keys() or rows[0].keys()
    if not names:
        raise ValueError("the rows have no columns, by which they could be counted")
    if any(len(row) != len(names) for row in rows):
        raise ValueError("the rows do not have the same columns")
    for name in list(names):
        values = [row[name] for row in rows]
        if not set(map(type, values)) <= _NUMBERS:
            raise ValueError("a row holds something else than numbers")
        array = np.array(values, dtype=np.float64)
        if np.isinf(array).any():
            raise ValueError("a row holds a number that is not finite")
        pieces.setdefault(name, []).append(array)


def _spans(body: bytes) -> list[tuple[int, int]]:
    """Find the long arrays that hold no other array: start and end of what is between their brackets."""
    found: list[tuple[int, int]] = []
    position, end = 0, -1
    for _ in range(MOST_TOKENS):
        token = _TOKEN.search(body, position)
        if token is None:
            return found
        position = token.end()
        if token[0] != b"[":
            continue
        # The next bracket is looked for once, however many arrays begin before it.
        end = body.find(b"]", position) if end < position else end
        if end < 0:
            return []
        if end - position > LONG_BYTES and body.find(b"[", position, end) < 0:
            found.append((position, end))
            position = end
    return []


def _read(body: bytes, start: int, end: int) -> PackedNumbers:
    """Read the numbers of an array.

    A cut at a comma is a cut between two values, or one of the two pieces would be no JSON.

    Raises:
        ValueError: They are something else than finite numbers, truth values and null.
    """
    pieces: list[Floats] = []
    if body.find(b'"', start, end) >= 0 or body.find(b"{", start, end) >= 0:
        raise ValueError("the array holds texts or objects")
    while True:
        comma = body.find(b",", min(start + PIECE_BYTES, end), end)
        cut = end if comma < 0 else comma
        values = orjson.loads(b"[%b]" % body[start:cut])
        if not values:
            raise ValueError("there is no value after a comma")
        pieces.append(np.array(values, dtype=np.float64))
        if cut == end:
            break
        start = cut + 1
    array = np.concatenate(pieces)
    if np.isinf(array).any():
        raise ValueError("the array holds numbers that are not finite")
    return PackedNumbers(array)


def _marked(body: bytes, spans: Sequence[tuple[int, int]], marks: Sequence[str]) -> bytes:
    """Put a mark, as a text, in the place of each array."""
    parts: list[bytes] = []
    position = 0
    for (start, end), mark in zip(spans, marks, strict=True):
        parts += [body[position : start - 1], b'"', mark.encode(), b'"']
        position = end + 1
    return b"".join([*parts, body[position:]])


def is_packed(value: object) -> bool:
    """Tell whether a column is an array, or the mark that stands for one while a body is validated."""
    return isinstance(value, PackedNumbers) or (isinstance(value, str) and value.startswith(_MARK))


def _unpacked(value: object, info: ValidationInfo) -> PackedNumbers:
    if isinstance(value, str) and isinstance(info.context, _Packed) and value in info.context.columns:
        info.context.met.add(value)
        return info.context.columns[value]
    if isinstance(value, PackedNumbers):
        return value
    raise ValueError("there is no array of this name")


Packed = Annotated[
    PackedNumbers,
    PlainValidator(_unpacked),
    PlainSerializer(PackedNumbers.tolist),
    SkipJsonSchema(),
]
"""A column that was taken out of the body; callers need not know of it."""


def numbers_text(array: npt.NDArray[Any]) -> bytes:
    """Write an array as JSON, NaN and infinities as null; a piece at a time, as it is read."""
    if array.ndim != 1 or len(array) <= PIECE_NUMBERS:
        return orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    pieces = (array[start : start + PIECE_NUMBERS] for start in range(0, len(array), PIECE_NUMBERS))
    texts = (orjson.dumps(np.ascontiguousarray(one), option=orjson.OPT_SERIALIZE_NUMPY) for one in pieces)
    return b"[%b]" % b",".join(text[1:-1] for text in texts)
