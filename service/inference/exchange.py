"""Rows to predict as an Arrow stream or an npy array, and predictions as the same.

Both are taken apart in the memory of the service, so their own word on what they hold is never trusted: nothing
is unpacked, no object is made, and all numbers are counted before any is copied.
"""

import io
import math
import struct
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.types as pt

from service.exceptions import InvalidRequest, NotAcceptable, Problem
from service.inference.predictor import Predicted
from service.spec.packed import PackedNumbers
from service.spec.pointers import pointer_to
from service.tables.arrow_values import Ragged, is_list, nested, scalar
from service.tables.frame import Array
from service.training.naming import unique

__all__ = ["Bounds", "from_arrow", "from_npy", "numbers_of", "tabled", "to_arrow", "to_npy"]

Columns = dict[str, Sequence[Any] | Array]
_NPY_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_NUMBER_BYTES = 8
_NUMBERS = "biuf"
_FOREIGN = (
    pa.ArrowException,
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    ArithmeticError,
    EOFError,
    OSError,
    NotImplementedError,
    RecursionError,
    struct.error,
    tokenize.TokenError,
)
"""What pyarrow and numpy raise about bytes that they cannot read."""
_DICTIONARY_MESSAGE, _ROWS_MESSAGE = 2, 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one body may hold.

    Attributes:
        rows: Rows.
        numbers: Numbers or texts of all columns together.
    """

    rows: int
    numbers: int

    def check(self, *, rows: int, numbers: int) -> None:
        """Hold a table against the bounds.

        Raises:
            InvalidRequest: It has more.
        """
        for what, count, limit in (("rows", rows, self.rows), ("numbers", numbers, self.numbers)):
            if count > limit:
                message = f"The table has {count:,} {what}; the limit is {limit:,}."
                hint = "Predict it in several requests."
                raise InvalidRequest([Problem("", "limit_exceeded", message, hint)])


def from_arrow(data: bytes, *, bounds: Bounds) -> Columns:
    """Read an Arrow stream: each column by its name.

    Returns:
        Numbers as `PackedNumbers`, texts as lists with None where one is missing, lists of numbers as arrays.

    Raises:
        InvalidRequest: It is no Arrow stream, is compressed, holds a type that is not read or too much.
    """
    with _translated("an Arrow stream"):
        if any(_is_compressed(message) for message in _messages(data)):
            message = "The buffers of the Arrow stream are compressed, which is not read here."
            hint = "Write it without compression."
            raise InvalidRequest([Problem("", "unsupported_type", message, hint)])
        with pa.ipc.open_stream(data) as reader:
            names, batches = list(reader.schema.names), list(reader)
            kinds = dict(zip(names, reader.schema.types, strict=True))
        if len(kinds) != len(names):
            raise InvalidRequest(
                [Problem("", "duplicate_column", "Two columns have the same name.", "Give each its own.")]
            )
        rows = sum(batch.num_rows for batch in batches)
        bounds.check(rows=rows, numbers=rows * len(names))
        for batch in batches:
            # The sender wrote offsets and lengths: none is followed before it is checked.
            batch.validate(full=True)
        return {
            name: _column(name, [batch.column(place) for batch in batches], kinds[name], bounds)
            for place, name in enumerate(names)
        }


def _messages(data: bytes) -> Iterator[Any]:
    yield from pa.ipc.MessageReader.open_stream(data)


def _is_compressed(message: Any) -> bool:  # noqa: ANN401 - pyarrow brings no types
    """Tell whether the buffers of a message are compressed: a few bytes could become gigabytes.

    pyarrow unpacks them as it reads, and does not say so before. The message's head is a FlatBuffer, which pyarrow
    has verified: Message {version, header_type, header: RecordBatch {length, nodes, buffers, compression}}, or with
    a DictionaryBatch {id, data: RecordBatch} between the two.
    """
    head = memoryview(message.metadata)
    (root,) = struct.unpack_from("<I", head)
    kind = _field(head, root, 1)
    batch = _table(head, root, 2)
    if kind is None or batch is None or head[kind] not in {_DICTIONARY_MESSAGE, _ROWS_MESSAGE}:
        return False
    if head[kind] == _DICTIONARY_MESSAGE:
        batch = _table(head, batch, 1)
    return batch is not None and _field(head, batch, 3) is not None


def _field(head: memoryview, table: int, number: int) -> int | None:
    """Give the place of a field of a table; None where it is left out."""
    (back,) = struct.unpack_from("<i", head, table)
    (size,) = struct.unpack_from("<H", head, table - back)
    slot = 4 + 2 * number
    if slot >= size:
        return None
    (offset,) = struct.unpack_from("<H", head, table - back + slot)
    return table + offset if offset else None


def _table(head: memoryview, table: int, number: int) -> int | None:
    """Give the place of the table that a field points to."""
    place = _field(head, table, number)
    return None if place is None else place + int(struct.unpack_from("<I", head, place)[0])


def _column(name: str, parts: Sequence[Any], kind: Any, bounds: Bounds) -> Sequence[Any] | Array:  # noqa: ANN401 - Arrow
    words = kind.value_type if pt.is_dictionary(kind) else kind
    if pt.is_string(words) or pt.is_large_string(words):
        return [text for part in parts for text in _texts(part)]
    if is_list(kind):
        arrays = [_lists(name, part, bounds) for part in parts if len(part)]
        return np.concatenate(arrays) if arrays else []
    how = scalar(words)
    if how is None or how.dtype is None or pt.is_dictionary(kind):
        raise _unsupported(name, kind)
    numbers = [_with_gaps(part, how.convert) for part in parts]
    return numbers_of(name, np.concatenate([np.empty(0), *numbers]))


def _texts(part: Any) -> list[str | None]:  # noqa: ANN401 - Arrow
    if not pt.is_dictionary(part.type):
        found: list[str | None] = part.to_pylist()
        return found
    # Each text is made once, however often its code comes.
    words = part.dictionary.to_pylist()
    return [None if code is None else words[code] for code in part.indices.to_pylist()]


def _lists(name: str, part: Any, bounds: Bounds) -> Array:  # noqa: ANN401 - Arrow
    try:
        values, shape = nested(part)
    except Ragged as ragged:
        message = f"`{name}` has a list of another length, an empty one or none in row {ragged.row}."
        hint = "Give every row a list of one length."
        raise InvalidRequest([Problem(pointer_to("columns", name), "wrong_shape", message, hint)]) from None
    how = scalar(values.type)
    if how is None or how.dtype is None or pt.is_null(values.type) or pt.is_dictionary(values.type):
        raise _unsupported(name, part.type)
    bounds.check(rows=len(part), numbers=len(values))
    return np.asarray(_with_gaps(values, how.convert), dtype=np.float64).reshape(len(part), *shape)


def _with_gaps(part: Any, convert: Callable[[Any], Any]) -> Array:  # noqa: ANN401 - Arrow
    if not part.null_count:
        return np.asarray(convert(part), dtype=np.float64)
    found = np.full(len(part), np.nan)
    found[part.is_valid().to_numpy(zero_copy_only=False)] = convert(part.drop_null())
    return found


def numbers_of(name: str, array: Array) -> PackedNumbers:
    """Take an array for a column of numbers; NaN is a missing one.

    Raises:
        InvalidRequest: One is infinite.
    """
    found = np.array(array, dtype=np.float64)
    infinite = np.flatnonzero(np.isinf(found))
    if len(infinite):
        row = int(infinite[0])
        message = f"`{name}` is infinite in row {row}."
        hint = "Send finite numbers; NaN is a missing one."
        raise InvalidRequest([Problem(pointer_to("columns", name, row), "not_finite", message, hint)])
    return PackedNumbers(found)


def from_npy(data: bytes, *, feature_names: Sequence[str], bounds: Bounds) -> Columns:
    """Read an npy array: a structured one by the names of its fields, any other by the order of the features.

    Args:
        data: The file.
        feature_names: What the model takes. A matrix has a column for each; the values of a single feature may be
            one number or one array in each row.
        bounds: How much it may hold.

    Returns:
        As `from_arrow`.

    Raises:
        InvalidRequest: It is no npy file, has another shape, or holds other things than numbers and texts.
    """
    with _translated("an npy file"):
        array = _npy(data, bounds)
    if array.dtype.names is not None:
        return {name: _field_values(name, array[name]) for name in array.dtype.names}
    if array.ndim == 2 and array.shape[1] == len(feature_names):  # noqa: PLR2004 - a matrix
        return {name: _field_values(name, array[:, place]) for place, name in enumerate(feature_names)}
    if array.ndim >= 1 and len(feature_names) == 1:
        return {feature_names[0]: _field_values(feature_names[0], array)}
    shown = ", ".join(f"`{name}`" for name in feature_names[:20])
    message = (
        f"The array has the shape {str(array.shape)[:80]}; the model takes {len(feature_names)} columns."
    )
    hint = f"Send a row for each prediction, and in it {shown}, in this order."
    raise InvalidRequest([Problem("", "wrong_shape", message, hint)])


def _npy(data: bytes, bounds: Bounds) -> Array:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise ValueError(f"version {version[0]}.{version[1]} is not read")
    shape, turned, dtype = _NPY_HEADERS[version](file)
    kinds = [dtype[name] for name in dtype.names] if dtype.names is not None else [dtype]
    if dtype.hasobject or not all(_is_read(kind) for kind in kinds):
        raise ValueError(f"it holds {str(dtype)[:80]}, not numbers or texts")
    if not shape or 0 in shape[1:]:
        raise ValueError(f"its shape is {str(shape)[:80]}")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError("it has fewer or more numbers than its header says")
    width = sum(math.prod(kind.shape) for kind in kinds)
    bounds.check(rows=shape[0], numbers=math.prod(shape) * width)
    found = np.frombuffer(data, dtype, offset=file.tell())
    return found.reshape(shape, order="F" if turned else "C")


def _is_read(kind: np.dtype[Any]) -> bool:
    base = kind.base
    is_number = base.kind in _NUMBERS and base.itemsize <= _NUMBER_BYTES
    return bool(base.itemsize and (is_number or (base.kind == "U" and not kind.shape)))


def _field_values(name: str, array: Array) -> Sequence[Any] | Array:
    if array.dtype.kind == "U":
        texts: list[Any] = array.tolist()
        return texts
    return numbers_of(name, array) if array.ndim == 1 else array.astype(np.float64)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Say in our words what the libraries say about bytes that they cannot read."""
    try:
        yield
    except (InvalidRequest, MemoryError):
        raise
    except _FOREIGN as error:
        reason = str(error)[:200].rstrip(".") or type(error).__name__
        message = f"The body cannot be read as {what}: {reason}."
        hint = f"Is it {what}, and whole?"
        raise InvalidRequest([Problem("", "unreadable_table", message, hint)]) from None


def _unsupported(name: str, kind: Any) -> InvalidRequest:  # noqa: ANN401 - Arrow
    message = f"Column `{name}` has the type {str(kind)[:80]}, which is not read."
    hint = "Send numbers, texts, or lists of numbers."
    return InvalidRequest([Problem(pointer_to("columns", name), "unsupported_type", message, hint)])


def tabled(found: Predicted) -> tuple[list[str], list[Any]]:
    """Give predictions as one table: the targets, then `probabilities.<class>` and `std.<target>` where there are any.

    Returns:
        The names, each only once, and the columns.
    """
    beside = {"probabilities": found.probabilities, "std": found.std}
    columns = [*found.columns.values(), *(values for some in beside.values() for values in some.values())]
    names = unique([*found.columns, *(f"{title}.{name}" for title, some in beside.items() for name in some)])
    return list(names), columns


def to_arrow(found: Predicted) -> bytes:
    """Write predictions as an Arrow stream, with the columns of `tabled`."""
    names, columns = tabled(found)
    batch = pa.record_batch([pa.array(values) for values in columns], names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def to_npy(found: Predicted) -> bytes:
    """Write predictions as an npy matrix of shape (rows, targets): numbers, or texts where classes are texts.

    Raises:
        NotAcceptable: The predictions are sequences of different lengths.
    """
    columns: Mapping[str, Any] = found.columns
    if any(
        isinstance(values, list) and values and isinstance(values[0], list) for values in columns.values()
    ):
        raise NotAcceptable(
            "Sequences of different lengths are no matrix.", hint="Send Accept: application/json."
        )
    file = io.BytesIO()
    matrix = np.column_stack([np.asarray(values) for values in columns.values()])
    np.lib.format.write_array(file, np.ascontiguousarray(matrix), allow_pickle=False)
    return file.getvalue()
