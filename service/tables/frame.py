"""A table of named columns: arrays in memory or mapped from files, all of one length."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from service.spec.schema import Schema

__all__ = ["Array", "Frame"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns by name, with the schema that describes them.

    Attributes:
        schema: Kind, shape and figures of each column.
        arrays: By column name, all with `schema.rows` rows:
            numbers of any real dtype, shape (rows,), NaN where missing;
            categories as int32 codes into the column's `values`, shape (rows,), -1 where missing;
            arrays of any real dtype, shape (rows, *column.shape), without missing values.
            Text columns have no array.
        is_mapped: Whether the arrays are views of files, whose pages may be given back.
    """

    schema: Schema
    arrays: Mapping[str, Array]
    is_mapped: bool = False

    def __len__(self) -> int:
        return self.schema.rows
