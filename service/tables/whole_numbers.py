"""Whole numbers that a float64 does not hold: beyond 2^53 it leaves gaps, and two values become one."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from service.tables.frame import Array
from service.tables.sources import Finding

__all__ = ["first_inexact", "first_inexact_text", "first_inexact_value", "inexact"]

EXACT = 2**53
"""Up to here every whole number is a float64."""
_DIGITS = len(str(EXACT))
_WIDE = 8
"""Bytes of the integers that have more digits than a float64."""
_LONG = rf"^[+-]?\d{{{_DIGITS},}}$"
_AS_MEASURE = "a quantity may be rounded: write it with an exponent, as in 1.5e18"
_CURES = {
    True: f"If the values are names, such as keys or serial numbers, send ?category=<column>; {_AS_MEASURE}.",
    False: "If the values are names, such as keys or serial numbers, save the column as text; "
    "a quantity may be rounded: save it as float64.",
}


def inexact(name: str, row: int, *, free_text: bool) -> Finding:
    """Say that a column has a whole number that would not be kept as it was sent.

    Args:
        name: The column.
        row: Where it is.
        free_text: Whether the file is text, whose columns can be read as categories.
    """
    message = (
        f"Column `{name}` has a whole number beyond {EXACT:,} (2^53) in {{place}}, "
        "which a 64-bit float does not hold: it would become another number."
    )
    return Finding(row, "inexact_integer", message, _CURES[free_text])


def first_inexact_text(texts: Any) -> int | None:  # noqa: ANN401 - pyarrow brings no types
    """Find the first text of digits alone whose nearest float64 is another number.

    Args:
        texts: An Arrow array of texts without blanks around them; null where there is none.

    Returns:
        Its place, or None.
    """
    if (pc.max(pc.binary_length(texts)).as_py() or 0) < _DIGITS:
        return None
    long = pc.fill_null(pc.match_substring_regex(texts, _LONG), fill_value=False)
    places = np.flatnonzero(long.to_numpy(zero_copy_only=False))
    candidates = texts.take(pa.array(places))
    floats = np.abs(pc.cast(candidates, pa.float64()).to_numpy(zero_copy_only=False))
    # What is infinite is told as such, not as inexact.
    beyond = np.flatnonzero(np.isfinite(floats) & (floats >= EXACT))
    return next((int(places[one]) for one in beyond if _is_rounded(candidates[int(one)].as_py())), None)


def _is_rounded(text: str) -> bool:
    return int(text) != float(text)


def first_inexact(values: Array) -> int | None:
    """Find the first whole number of an array that is no float64.

    Args:
        values: Numbers of any real dtype, of any shape.

    Returns:
        Its place in the flat array, or None.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < _WIDE or values.size == 0:
        return None
    if int(values.max()) <= EXACT and int(values.min()) >= -EXACT:
        return None
    flat = values.ravel()
    floats = flat.astype(np.float64)
    # The largest integers of the type are rounded to a number that the type does not have.
    beyond = floats >= float(np.iinfo(flat.dtype).max)
    wrong = np.flatnonzero(beyond | (np.where(beyond, 0.0, floats).astype(flat.dtype) != flat))
    return int(wrong[0]) if len(wrong) else None


def first_inexact_value(values: Any) -> int | None:  # noqa: ANN401 - pyarrow brings no types
    """Find the first whole number of an Arrow array that is no float64: of integers, and of decimals.

    Returns:
        Its place, or None.
    """
    if pt.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pt.is_integer(values.type):
        return first_inexact(values.fill_null(0).to_numpy(zero_copy_only=False))
    if not pt.is_decimal(values.type) or values.type.precision < _DIGITS:
        return None
    floats = np.abs(pc.cast(values, pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False))
    places = np.flatnonzero(np.isfinite(floats) & (floats >= EXACT))
    return next((int(place) for place in places if _is_inexact(values[int(place)].as_py())), None)


def _is_inexact(value: Decimal) -> bool:
    return value == value.to_integral_value() and math.isfinite(float(value)) and int(value) != float(value)
