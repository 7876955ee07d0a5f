"""How the values of a column become numbers: looked over once, then converted block by block."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.exceptions import InvalidDataset, Problem
from service.spec.schema import SINCE_1970, Column, ColumnKind, Unit
from service.tables.arrow_values import Ragged, Scalar, is_list, nested, scalar
from service.tables.frame import Array
from service.tables.sources import Finding, Source
from service.tables.text_values import (
    Meaning,
    any_padded,
    are_digits,
    booleans,
    cleaned,
    dates,
    meanings,
    numbers,
)
from service.tables.whole_numbers import first_inexact_text, first_inexact_value, inexact

__all__ = ["ColumnReader", "Reading", "reader_of"]

MOSTLY = 0.95
"""Where so much of the values mean one thing, the others are taken for errors, not for categories."""
FLOAT = np.dtype(np.float64)
_CONVERT: dict[Meaning, Callable[..., npt.NDArray[np.float64]]] = {
    Meaning.NUMBER: numbers,
    Meaning.BOOLEAN: booleans,
    Meaning.DATE: dates,
}
_UNITS: dict[Meaning, Unit] = {Meaning.DATE: SINCE_1970}
_PLURALS = {Meaning.NUMBER: "numbers", Meaning.BOOLEAN: "true and false", Meaning.DATE: "dates"}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is kept.

    Attributes:
        column: Its name, kind and shape; figures come later.
        dtype: Of the file; None for text, which is kept as codes.
        convert: From a block of the source to numbers of that type, or to an Arrow array of text.
    """

    column: Column
    dtype: np.dtype[Any] | None
    convert: Callable[[Any], Any]


class ColumnReader(Protocol):
    """Looks a column over, and then says how to read it."""

    def survey(self, block: Any, first_row: int) -> None:  # noqa: ANN401 - numpy or Arrow
        """Look at the next rows."""

    def settle(self) -> Reading:
        """Decide, when all rows were seen."""

    def findings(self) -> list[Finding]:
        """Tell what is wrong with the values, when all rows were seen."""


class TextReader:
    """A column of CSV or JSON Lines: its texts decide together what they mean.

    All numbers, all booleans or all dates make numbers. Anything else makes categories, unless 95 % of
    the values mean one thing: then the others are errors, told with their place. Digits with a superfluous
    0 in front, such as postal codes, are names: a number would lose the 0.
    """

    def __init__(self, name: str, *, decimal_comma: bool, category: bool) -> None:
        self._name = name
        self._decimal_comma = decimal_comma
        self._category = category
        self._counts: Counter[Meaning] = Counter()
        self._first: dict[Meaning, tuple[int, str]] = {}
        self._marks: dict[str, int] = {}
        self._padded = self._measured = False
        self._inexact: int | None = None

    def survey(self, block: Any, first_row: int) -> None:  # noqa: ANN401 - Arrow
        """Count what the texts mean, and remember the first of each meaning."""
        if self._category:
            return
        texts = cleaned(block)
        found = meanings(texts, decimal_comma=self._decimal_comma)
        for value, at, count in zip(*np.unique(found, return_index=True, return_counts=True), strict=True):
            meaning = Meaning(int(value))
            self._counts[meaning] += int(count)
            if meaning is not Meaning.MISSING:
                self._first.setdefault(meaning, (first_row + int(at), texts[int(at)].as_py()))
        places = np.flatnonzero(found == Meaning.NUMBER)
        if len(places):
            self._look_at_numbers(texts.take(pa.array(places)), first_row + places)
        if self._decimal_comma and len(self._marks) < 2:  # noqa: PLR2004 - point and comma
            self._look_for_marks(texts, found, first_row)

    def _look_at_numbers(self, texts: Any, rows: npt.NDArray[np.int64]) -> None:  # noqa: ANN401 - Arrow
        """Look for numbers that would lose something: a 0 in front, or their last digits."""
        if not self._measured:
            self._measured = not are_digits(texts)
            self._padded = self._padded or any_padded(texts)
        if self._inexact is None and (at := first_inexact_text(texts)) is not None:
            self._inexact = int(rows[at])

    def _look_for_marks(self, texts: Any, found: npt.NDArray[np.uint8], first_row: int) -> None:  # noqa: ANN401 - Arrow
        places = np.flatnonzero(found == Meaning.NUMBER)
        for mark in ",.":
            has = pc.match_substring(texts.take(pa.array(places)), mark).to_numpy(zero_copy_only=False)
            if mark not in self._marks and has.any():
                self._marks[mark] = first_row + int(places[int(has.argmax())])

    @property
    def _present(self) -> int:
        return sum(self._counts.values()) - self._counts[Meaning.MISSING]

    def _main(self) -> Meaning | None:
        """Tell what nearly all values mean; None for categories. A column without values counts as numbers."""
        if self._category:
            return None
        main = next((one for one in _CONVERT if self._counts[one] >= MOSTLY * self._present), None)
        are_names = main is Meaning.NUMBER and self._padded and not self._measured
        return None if are_names else main

    def findings(self) -> list[Finding]:
        """Tell the first value that does not mean what nearly all others do."""
        main = self._main()
        if main is None:
            return []
        strays = [self._first[one] for one in self._first if one is not main]
        found = [self._stray(main, *min(strays))] if strays else []
        if len(self._marks) > 1 and main is Meaning.NUMBER:
            found.append(self._mixed_marks())
        if self._inexact is not None and main is Meaning.NUMBER:
            found.append(inexact(self._name, self._inexact, free_text=True))
        return found

    def _stray(self, main: Meaning, row: int, text: str) -> Finding:
        message = (
            f"Column `{self._name}` has {_PLURALS[main]} in {self._counts[main]:,} of {self._present:,} "
            f"values, but {_quoted(text)} in {{place}}."
        )
        hint = "Correct it, or leave it empty if unknown; send category=<column> if the column is text."
        if row == 0:
            hint += " If the first line holds the names of the columns, send header=true."
        return Finding(row, "mixed_column", message, hint)

    def _mixed_marks(self) -> Finding:
        message = f"Column `{self._name}` writes some numbers with a decimal comma and some with a point ({{place}})."
        hint = "Write all with one of them, and no mark between thousands."
        return Finding(max(self._marks.values()), "mixed_decimals", message, hint)

    def settle(self) -> Reading:
        """Numbers where all values mean the same, else categories."""
        main = self._main()
        if main is None:
            return Reading(Column(name=self._name, kind="category", dtype="str"), None, cleaned)
        convert = _CONVERT[main]
        return Reading(
            Column(name=self._name, kind="number", dtype="float64", unit=_UNITS.get(main)),
            FLOAT,
            lambda block: convert(cleaned(block), decimal_comma=self._decimal_comma),
        )


def _quoted(text: str) -> str:
    """Show the beginning of a text, on one line."""
    short = text if len(text) <= 40 else text[:40] + "…"  # noqa: PLR2004 - enough to find it by
    return f"`{' '.join(short.split())}`"


class TypedReader:
    """A column of Parquet or Arrow whose values are numbers or text: its type decides."""

    def __init__(self, name: str, kind: Scalar) -> None:
        self._name = name
        self._kind = kind
        self._missing = 0
        self._inexact: int | None = None

    def survey(self, block: Any, first_row: int) -> None:  # noqa: ANN401 - Arrow
        """Count what is missing: whole numbers have no way to say so and become fractions then."""
        self._missing += block.null_count
        if self._inexact is None:
            at = first_inexact_value(block)
            self._inexact = None if at is None else first_row + at

    def findings(self) -> list[Finding]:
        """Tell the first whole number that a float64 does not hold; all else of a type that is read is good."""
        if self._inexact is None:
            return []
        return [inexact(self._name, self._inexact, free_text=False)]

    def settle(self) -> Reading:
        """Keep the type where nothing is missing."""
        if self._kind.dtype is None:
            column = Column(name=self._name, kind="category", dtype="str")
            return Reading(column, None, self._kind.convert)
        gaps = self._missing and self._kind.dtype.kind != "f"
        dtype = FLOAT if gaps else self._kind.dtype
        column = Column(name=self._name, kind="number", dtype=dtype.name, unit=self._kind.unit)
        return Reading(column, dtype, self._with_gaps)

    def _with_gaps(self, block: Any) -> Array:  # noqa: ANN401 - Arrow
        if not block.null_count:
            values: Array = self._kind.convert(block)
            return values
        filled = np.full(len(block), np.nan)
        filled[block.is_valid().to_numpy(zero_copy_only=False)] = self._kind.convert(block.drop_null())
        return filled


class ListReader:
    """A column of Parquet or Arrow whose values are lists of numbers, all of one shape."""

    def __init__(self, name: str, element: Scalar) -> None:
        self._name = name
        self._element = element
        self._shape: tuple[int, ...] | None = None
        self._odd: int | None = None
        self._inexact: int | None = None

    def survey(self, block: Any, first_row: int) -> None:  # noqa: ANN401 - Arrow
        """Look whether all lists have one shape, and none a gap."""
        if self._odd is not None or len(block) == 0:
            return
        try:
            values, shape = nested(block)
        except Ragged as ragged:
            self._odd = first_row + ragged.row
            return
        self._shape = self._shape or shape
        if shape != self._shape or 0 in shape:
            self._odd = first_row
        elif values.null_count:
            gap = int(np.argmin(values.is_valid().to_numpy(zero_copy_only=False)))
            self._odd = first_row + gap // math.prod(shape)
        elif self._inexact is None and (at := first_inexact_value(values)) is not None:
            self._inexact = first_row + at // math.prod(shape)

    def findings(self) -> list[Finding]:
        """Tell the first list that differs, and the first with a whole number that a float64 does not hold."""
        found = [] if self._inexact is None else [inexact(self._name, self._inexact, free_text=False)]
        if self._odd is None:
            return found
        message = (
            f"Column `{self._name}` has a list of another length, an empty one or a gap in it, in {{place}}."
        )
        hint = "Give every row a list of one length, without missing values."
        return [Finding(self._odd, "ragged_arrays", message, hint), *found]

    def settle(self) -> Reading:
        """Keep the type of the numbers."""
        shape, dtype = self._shape or (), self._element.dtype or FLOAT
        column = Column(name=self._name, kind="array", dtype=dtype.name, shape=shape, unit=self._element.unit)
        return Reading(
            column, dtype, lambda block: self._element.convert(nested(block)[0]).reshape(-1, *shape)
        )


class ArrayReader:
    """A column that is a numpy array already."""

    def __init__(self, name: str, *, dtype: np.dtype[Any], shape: tuple[int, ...], unit: Unit | None) -> None:
        kind: ColumnKind = "array" if shape else "number"
        self._column = Column(name=name, kind=kind, dtype=dtype.name, shape=shape, unit=unit)
        self._dtype = dtype

    def survey(self, block: Array, first_row: int) -> None:
        """The type says all."""

    def findings(self) -> list[Finding]:
        """Every number is good."""
        return []

    def settle(self) -> Reading:
        """Keep type and shape."""
        return Reading(self._column, self._dtype, lambda block: block)


def reader_of(name: str, values: Any, *, source: Source, category: bool) -> ColumnReader:  # noqa: ANN401 - numpy or Arrow
    """Choose how a column is read, by its first block.

    Raises:
        InvalidDataset: Its type is not read.
    """
    if source.free_text:
        return TextReader(name, decimal_comma=source.decimal_comma, category=category)
    if isinstance(values, np.ndarray):
        unit: Unit | None = SINCE_1970 if name in source.moments else None
        return ArrayReader(name, dtype=values.dtype, shape=values.shape[1:], unit=unit)
    if is_list(values.type):
        element = scalar(_innermost(values.type))
        if element is not None and element.dtype is not None:
            return ListReader(name, element)
    kind = scalar(values.type)
    if kind is None:
        message = f"Column `{name}` has the type {str(values.type)[:80]}, which is not read."
        hint = "Leave the column out, or turn it into numbers, text or lists of numbers first."
        raise InvalidDataset([Problem(None, "unsupported_type", message, hint)])
    return TypedReader(name, kind)


def _innermost(kind: Any) -> Any:  # noqa: ANN401 - pyarrow brings no types
    while is_list(kind):
        kind = kind.value_type
    return kind
