"""From Arrow's types to numbers and text: which types are read, and how."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from service.spec.schema import SINCE_1970, Unit
from service.tables.frame import Array

__all__ = ["Ragged", "Scalar", "is_list", "nested", "scalar"]

Floats = npt.NDArray[np.float64]
SECOND = 1e6
"""Microseconds."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """How values of a type are kept.

    Attributes:
        dtype: Of the numbers where nothing is missing; None for text.
        convert: From an Arrow array without nulls to numpy, or to an Arrow array of text.
        unit: What the numbers are, where the type says it.
    """

    dtype: np.dtype[Any] | None
    convert: Callable[[Any], Any]
    unit: Unit | None = None


class Ragged(Exception):
    """A row of lists differs from the one before, or has a gap."""

    def __init__(self, row: int) -> None:
        self.row = row


def _plain(values: Any) -> Array:  # noqa: ANN401 - pyarrow brings no types
    found: Array = values.to_numpy(zero_copy_only=False)
    return found


def _float(values: Any) -> Floats:  # noqa: ANN401 - pyarrow brings no types
    return np.asarray(_plain(pc.cast(values, pa.float64())), np.float64)


def _moment(values: Any) -> Floats:  # noqa: ANN401 - pyarrow brings no types
    """Seconds since 1970; UTC where no zone is given."""
    zone = getattr(values.type, "tz", None)
    micro = pc.cast(values, pa.timestamp("us", zone), safe=False)
    return _float(pc.cast(micro, pa.int64())) / SECOND


def _duration(values: Any) -> Floats:  # noqa: ANN401 - pyarrow brings no types
    """Seconds."""
    return _float(pc.cast(pc.cast(values, pa.duration("us"), safe=False), pa.int64())) / SECOND


def _time(values: Any) -> Floats:  # noqa: ANN401 - pyarrow brings no types
    """Seconds since midnight."""
    return _float(pc.cast(pc.cast(values, pa.time64("us"), safe=False), pa.int64())) / SECOND


def _text(values: Any) -> Any:  # noqa: ANN401 - pyarrow brings no types
    return pc.cast(values, pa.string())


def _bits(values: Any) -> Array:  # noqa: ANN401 - pyarrow brings no types
    return _plain(values).astype(np.uint8)


_FLOAT = np.dtype(np.float64)
_KINDS: tuple[tuple[Callable[[Any], bool], Scalar], ...] = (
    (pt.is_boolean, Scalar(np.dtype(np.uint8), _bits)),
    (pt.is_decimal, Scalar(_FLOAT, _float)),
    (pt.is_null, Scalar(_FLOAT, _float)),
    (pt.is_date, Scalar(_FLOAT, _moment, SINCE_1970)),
    (pt.is_timestamp, Scalar(_FLOAT, _moment, SINCE_1970)),
    (pt.is_duration, Scalar(_FLOAT, _duration)),
    (pt.is_time, Scalar(_FLOAT, _time)),
    (pt.is_string, Scalar(None, _text)),
    (pt.is_large_string, Scalar(None, _text)),
    (pt.is_string_view, Scalar(None, _text)),
)


def scalar(kind: Any) -> Scalar | None:  # noqa: ANN401 - pyarrow brings no types
    """Tell how values of an Arrow type are kept; None for a type that is not read."""
    if pt.is_dictionary(kind):
        inner = scalar(kind.value_type)
        return inner and replace(inner, convert=lambda values: inner.convert(values.dictionary_decode()))
    if pt.is_integer(kind) or pt.is_floating(kind):
        return Scalar(np.dtype(kind.to_pandas_dtype()), _plain)
    return next((made for is_kind, made in _KINDS if is_kind(kind)), None)


def is_list(kind: Any) -> bool:  # noqa: ANN401 - pyarrow brings no types
    """Tell whether values of a type are lists, which are kept as arrays."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return True
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def nested(values: Any) -> tuple[Any, tuple[int, ...]]:  # noqa: ANN401 - pyarrow brings no types
    """Take lists of lists apart.

    Returns:
        The innermost values in one Arrow array, and the shape of one row.

    Raises:
        Ragged: Some lists are missing or not of one length; with the first such row.
    """
    if isinstance(values.type, pa.FixedShapeTensorType):
        # Tensors may be stored in another order of their dimensions; numpy gives the logical one.
        tensors = values.to_numpy_ndarray()
        return pa.array(np.ascontiguousarray(tensors).ravel()), tensors.shape[1:]
    shape: tuple[int, ...] = ()
    rows = len(values)
    while is_list(values.type):
        lengths = _float(pc.fill_null(pc.list_value_length(values), -1))
        odd = np.flatnonzero((lengths != lengths[0]) | (lengths < 0))
        if len(odd):
            raise Ragged(int(odd[0]) // max(1, len(values) // rows))
        shape += (int(lengths[0]),)
        if shape[-1] == 0:
            break
        values = values.flatten()
    return values, shape
