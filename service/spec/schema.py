"""What is known of a table without reading its rows: the columns, their kinds and their figures."""

from collections.abc import Mapping
from functools import cached_property
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["MAX_CATEGORIES", "MAX_VALUES", "SINCE_1970", "Column", "ColumnKind", "Schema", "Unit"]

MAX_VALUES = 1000
"""A column's distinct values are listed up to this many: more classes than that are no classes."""
MAX_CATEGORIES = 100_000
"""A column of more distinct texts than this is free text, which is not trained on."""

ColumnKind = Literal["number", "category", "array", "text"]
Unit = Literal["seconds since 1970"]
SINCE_1970: Final = "seconds since 1970"
"""The unit of what were dates and times of day: UTC, where no zone was given."""


class Column(BaseModel):
    """One column of a table.

    Figures leave missing values out; they are None where there is nothing to say them of.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    kind: ColumnKind
    """`number`, `category` (text of few values), `array` (an image or a vector in each row) or `text`."""
    dtype: str
    """Number format of the values, such as `float64` or `uint8`; `str` for categories and text."""
    shape: tuple[int, ...] = ()
    """Shape of one row's value: empty but for arrays."""
    unit: Unit | None = None
    """What the numbers are, where the upload said it: those of dates are seconds since 1970."""
    missing: int = 0
    """Rows without a value."""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    """Standard deviation over the rows, with n in the denominator."""
    values: tuple[str | float, ...] | None = None
    """The distinct values in ascending order, where they are at most 1,000; for categories always, in the
    order of their codes. None otherwise."""


class Schema(BaseModel):
    """The columns of a table, in its order, and how many rows it has."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    rows: int
    columns: tuple[Column, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns by their names."""
        return {column.name: column for column in self.columns}
