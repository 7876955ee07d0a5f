"""Tensors as the Open Inference Protocol (version 2) sends them: named, typed, row-major; as JSON or as bytes.

Bytes come from anybody: no size and no shape is believed before it is held against what is there.
"""

import math
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.exceptions import InvalidRequest, Problem
from service.spec.packed import PackedNumbers
from service.tables.frame import Array

__all__ = ["BYTES", "DATATYPES", "Tensor", "from_bytes", "from_values", "take", "to_bytes"]

BYTES = "BYTES"
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    "BF16": np.dtype("<u2"),  # The upper half of a float32: numpy has no such type.
}
DATATYPES = (*_DTYPES, BYTES)
_LENGTH = struct.Struct("<I")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Tensor:
    """Values of some rows.

    Attributes:
        name: Of the tensor.
        datatype: One of `DATATYPES`.
        shape: Rows first.
        values: Numbers as float64 of that shape, NaN where one is missing; texts in a flat list, None for a gap.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Array | list[str | None]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.shape[0]


def take(shape: Sequence[int], *, where: str, rows: int, numbers: int) -> int:
    """Count the values of a shape.

    Args:
        shape: As it was sent.
        where: JSON Pointer to the tensor.
        rows: How many rows there may be.
        numbers: How many values there may be.

    Raises:
        InvalidRequest: It has no axis, a negative one, or too many rows or values; where it has none, too many in
            the axes that are not 0.
    """
    if not shape or any(size < 0 for size in shape):
        message = f"The shape {_listed(shape)} is none of a tensor with rows."
        hint = "The first number says how many rows there are; none is negative."
        raise _refused(f"{where}/shape", "wrong_shape", message, hint)
    # An array without a value has strides all the same: numpy multiplies the other axes.
    held = math.prod(filter(None, shape))
    for what, number, limit in (("rows", shape[0], rows), ("values", held, numbers)):
        if number > limit:
            message = f"The shape {_listed(shape)} is one of more than {limit:,} {what}, which is the limit."
            raise _refused(f"{where}/shape", "limit_exceeded", message, "Predict it in several requests.")
    return math.prod(shape)


def from_bytes(
    datatype: str, shape: tuple[int, ...], raw: memoryview, *, where: str
) -> Array | list[str | None]:
    """Read the values of a tensor from its part of a body; `shape` has been through `take`.

    Args:
        datatype: One of `DATATYPES`.
        shape: Of the tensor.
        raw: All of its bytes.
        where: JSON Pointer to the tensor.

    Returns:
        As `Tensor.values`.

    Raises:
        InvalidRequest: They are more or fewer than the shape says, are no texts, or a number is infinite.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return _texts(raw, count, where)
    dtype = _DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        message = f"{datatype} of the shape {_listed(shape)} takes {count * dtype.itemsize:,} bytes; sent are {len(raw):,}."
        hint = "Say in binary_data_size how many bytes follow, in the order of the inputs."
        raise _refused(f"{where}/parameters/binary_data_size", "wrong_size", message, hint)
    found = np.frombuffer(raw, dtype)
    if datatype == "BF16":
        found = (found.astype(np.uint32) << 16).view(np.float32)
    if datatype == "BOOL":
        found = found.view(np.uint8) != 0
    return _finite(found.astype(np.float64), where).reshape(shape)


def _texts(raw: memoryview, count: int, where: str) -> list[str | None]:
    """Read texts, each behind its length."""
    try:
        found, rest = _read_texts(raw, count)
    except (struct.error, UnicodeDecodeError) as error:
        raise _no_texts(count, str(error)[:_SHOWN].rstrip("."), where) from None
    if rest:
        what = "left over" if rest > 0 else "missing"
        raise _no_texts(count, f"{abs(rest):,} bytes are {what}", where)
    return found


def _read_texts(raw: memoryview, count: int) -> tuple[list[str | None], int]:
    """Read so many texts, and count the bytes that are left."""
    found: list[str | None] = []
    place = 0
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size
        # One that is longer than the rest is cut off here, and the next length is then missed; or too few are left.
        found.append(str(raw[place : place + length], "utf-8"))
        place += length
    return found, len(raw) - place


def _no_texts(count: int, reason: str, where: str) -> InvalidRequest:
    message = f"The bytes are not {count:,} texts: {reason}."
    hint = "Each text is UTF-8, behind its number of bytes as a little-endian number of four bytes."
    return InvalidRequest([Problem(where, "unreadable_tensor", message, hint)])


def from_values(
    datatype: str, shape: tuple[int, ...], data: Sequence[Any], *, where: str
) -> Array | list[str | None]:
    """Take the values of a tensor as they stood in JSON, flat or nested; `shape` has been through `take`.

    They become what their datatype can hold, so that JSON and bytes give the same predictions.

    Raises:
        InvalidRequest: They are more or fewer than the shape says, or are not of the datatype.
    """
    count = math.prod(shape)
    flat = _flat(data, shape, where)
    if len(flat) != count:
        message = f"The shape {_listed(shape)} has {count:,} values; sent are {len(flat):,}."
        raise _refused(f"{where}/data", "wrong_size", message, "Send all of them, row by row.")
    if datatype == BYTES:
        return _as_texts(flat, where)
    return _as_numbers(datatype, flat, where).reshape(shape)


def _flat(data: Sequence[Any], shape: tuple[int, ...], where: str) -> Sequence[Any]:
    """Take nested lists apart, which may be as deep as the shape has axes."""
    flat: Sequence[Any] = data
    for size in shape[1:]:
        if isinstance(flat, PackedNumbers) or not flat or not isinstance(flat[0], list):
            break
        if any(not isinstance(one, list) or len(one) != size for one in flat):
            message = f"The nested lists do not have the shape {_listed(shape)}."
            raise _refused(
                f"{where}/data", "wrong_shape", message, "Send them so, or all values in one list."
            )
        flat = [value for one in flat for value in one]
    return flat


def _as_texts(flat: Sequence[Any], where: str) -> list[str | None]:
    for place, value in enumerate(flat):
        if value is not None and not isinstance(value, str):
            message = f"BYTES holds texts, not {str(value)[:_SHOWN]}."
            raise _refused(f"{where}/data/{place}", "wrong_type", message, "Send texts in double quotes.")
    return list(flat)


def _as_numbers(datatype: str, flat: Sequence[Any], where: str) -> Array:
    if isinstance(flat, PackedNumbers):
        numbers = flat.array
    else:
        for place, value in enumerate(flat):
            if value is not None and not isinstance(value, int | float):
                message = f"{datatype} holds numbers, not {str(value)[:_SHOWN]}."
                raise _refused(
                    f"{where}/data/{place}", "wrong_type", message, "Send numbers, without quotes."
                )
        numbers = _as_floats(flat, where)
    return _FITTED.get(_DTYPES[datatype].kind, _as_whole)(datatype, numbers, where)


def _as_floats(flat: Sequence[float | None], where: str) -> Array:
    try:
        return np.array([math.nan if value is None else value for value in flat], dtype=np.float64)
    except OverflowError:
        most = sys.float_info.max
        place = next(place for place, value in enumerate(flat) if value is not None and abs(value) > most)
        message = f"Value {place} of the tensor is a whole number that no float64 is as large as."
        hint = f"Send numbers up to {most:.4g}."
        raise _refused(f"{where}/data/{place}", "out_of_range", message, hint) from None


def _as_float(datatype: str, numbers: Array, where: str) -> Array:
    with np.errstate(over="ignore"):
        held = numbers.astype(_DTYPES[datatype]).astype(np.float64)
    return _finite(held, where)


def _as_whole(datatype: str, numbers: Array, where: str) -> Array:
    if datatype == "BF16":
        message = "BF16 has no form in JSON."
        raise _refused(f"{where}/datatype", "wrong_type", message, "Send it as binary data, or say FP32.")
    dtype = _DTYPES[datatype]
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    wrong = np.flatnonzero(~((numbers >= least) & (numbers <= most) & (numbers == np.trunc(numbers))))
    if len(wrong):
        message = f"{datatype} cannot hold {numbers[wrong[0]]:.15g}."
        hint = f"Send whole numbers from {least} to {most}, or say FP64, which also knows gaps."
        raise _refused(f"{where}/data/{int(wrong[0])}", "out_of_range", message, hint)
    return numbers


_FITTED = {"f": _as_float}


def _finite(numbers: Array, where: str) -> Array:
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        message = f"Value {int(infinite[0])} of the tensor is infinite."
        raise _refused(f"{where}/data", "not_finite", message, "Send finite numbers; NaN is a missing one.")
    return numbers


def to_bytes(datatype: str, values: Sequence[Any] | npt.NDArray[Any]) -> bytes:
    """Write values of `BYTES`, `INT64` or `FP64` as the protocol wants its bytes."""
    if datatype != BYTES:
        return np.ascontiguousarray(values, dtype=_DTYPES[datatype]).tobytes()
    texts = [text.encode() for text in values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def _listed(shape: Sequence[int]) -> str:
    return str(list(shape))[:_SHOWN]


def _refused(where: str, code: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest([Problem(where, code, message, hint)])
