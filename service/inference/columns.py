"""Columns of a stored table as a trained model takes them, and what keeps a table from being predicted at all.

A row that the model cannot take is noted and stands as zeros: its neighbours must not pay for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.exceptions import Problem
from service.inference.grouped import GroupedPredictor
from service.inference.predictor import Predictor
from service.spec.columns import did_you_mean
from service.spec.schema import SINCE_1970, Column, Schema
from service.tables.frame import Array
from service.training.encoding import Input

__all__ = [
    "Complaint",
    "Flags",
    "GroupColumn",
    "InputColumn",
    "KeptColumn",
    "Tally",
    "column_problems",
    "inputs_of",
]

Flags = npt.NDArray[np.bool_]
MISSING, UNKNOWN, UNTRAINED = -1, -2, -3
"""In place of the code of a category, or of the number of a group."""
_CALENDAR = (-62_135_596_800.0, 253_402_214_400.0)
"""Seconds since 1970 of the first and the last day that dates are written for: beyond them numbers stay numbers."""
_CURES = {
    "number": "Upload it with numbers alone in this column.",
    "category": "The model was trained on texts: upload it with ?category={name}, which reads the column as text.",
    "array": "Upload it with an array of the shape {shape} in each row.",
}
_NO_GROUPS = {
    "text": "Texts of more than 100,000 different values are not stored: no training had as many groups.",
    "array": "A group is named by a number or a text: upload the column so.",
}
_NOT_KEPT = {
    "text": "Texts of more than 100,000 different values are not stored: keep a number instead.",
    "array": "Keep columns of numbers or short texts, such as an id.",
}


@dataclass(slots=True)
class Complaint:
    """Rows that could not be predicted, all for one reason.

    Attributes:
        code: Stable name of the reason.
        column: Of the dataset.
        message: The reason, as it is for the first of them.
        rows: How many they are.
        first_row: Position of the first, from 0.
    """

    code: str
    column: str
    message: str
    rows: int
    first_row: int


class Tally:
    """Collects which rows cannot be predicted, and why, block by block.

    Attributes:
        complaints: By code and column.
        unpredicted: Rows of all blocks that have ended.
    """

    def __init__(self) -> None:
        self.complaints: dict[tuple[str, str], Complaint] = {}
        self.unpredicted = 0
        self._start = 0
        self._bad: Flags = np.zeros(0, bool)

    def begin(self, start: int, rows: int) -> None:
        """Begin a block of so many rows, the first of them at a position of the table."""
        self._start, self._bad = start, np.zeros(rows, bool)

    def end(self) -> Flags:
        """Tell which rows of the block cannot be predicted."""
        self.unpredicted += int(self._bad.sum())
        return self._bad

    def note(self, code: str, column: str, rows: Flags, message: str) -> None:
        """Note rows of the block that cannot be predicted for one reason."""
        if not rows.any():
            return
        self._bad |= rows
        known = self.complaints.get((code, column))
        if known is None:
            first = self._start + int(np.argmax(rows))
            known = self.complaints[code, column] = Complaint(code, column, message, 0, first)
        known.rows += int(rows.sum())


def inputs_of(predictor: Predictor) -> Iterator[tuple[Input, str]]:
    """Give how each column is encoded, and its name."""
    return zip(predictor.preparation.inputs, predictor.feature_names, strict=True)


def column_problems(
    predictor: Predictor | GroupedPredictor, separate: Predictor, schema: Schema, *, keep: Sequence[str]
) -> list[Problem]:
    """Tell what keeps a table from being predicted, without reading a row of it.

    Args:
        predictor: Of the model.
        separate: The same, or what predicts with one group's model.
        schema: Of the table.
        keep: Columns that the result is to repeat.
    """
    found = [
        _missing_problem(name, schema, predictor.feature_names)
        for name in dict.fromkeys(predictor.feature_names)
        if name not in schema.by_name
    ]
    found += _group_problems(predictor, schema) if isinstance(predictor, GroupedPredictor) else []
    found += [problem for one, name in inputs_of(separate) for problem in _kind_problems(one, name, schema)]
    return [*found, *(one for place, name in enumerate(keep) for one in _keep_problems(place, name, schema))]


def _missing_problem(name: str, schema: Schema, features: Sequence[str]) -> Problem:
    shown = ", ".join(f"`{one}`" for one in features[:20])
    near = did_you_mean(name, schema.by_name)
    hint = f"The model takes {shown}. {near}".strip()
    return Problem("/data/id", "missing", f"The dataset has no column `{name}`.", hint)


def _group_problems(predictor: GroupedPredictor, schema: Schema) -> list[Problem]:
    column = schema.by_name.get(predictor.column)
    if column is None or not schema.rows or column.kind not in _NO_GROUPS:
        return []
    message = f"The column `{column.name}` is {column.kind}: it cannot say by which group's model a row is predicted."
    return [Problem("/data/id", "wrong_type", message, _NO_GROUPS[column.kind])]


def _kind_problems(one: Input, name: str, schema: Schema) -> list[Problem]:
    column = schema.by_name.get(name)
    if column is None or _fits(one, column, schema):
        return []
    shown = f"array of shape {list(column.shape)}" if column.kind == "array" else column.kind
    wanted = f"array of shape {list(one.shape)}" if one.kind == "array" else one.kind
    message = f"The column `{name}` is {shown}; the model was trained on {wanted} there."
    hint = _CURES[one.kind].format(name=name, shape=list(one.shape))
    return [Problem("/data/id", "wrong_type", message, hint)]


def _fits(one: Input, column: Column, schema: Schema) -> bool:
    """Tell whether a column is of the kind that the model takes. Without a value, nobody can tell its kind."""
    if not schema.rows:
        return True
    if one.kind == "array":
        return column.kind == "array" and column.shape == one.shape
    is_empty = column.kind in {"number", "category"} and column.missing == schema.rows
    return is_empty or column.kind == one.kind


def _keep_problems(place: int, name: str, schema: Schema) -> list[Problem]:
    where, column = f"/keep/{place}", schema.by_name.get(name)
    if column is None:
        hint = did_you_mean(name, schema.by_name)
        return [Problem(where, "unknown_column", f"The dataset has no column `{name}`.", hint)]
    if column.kind not in _NOT_KEPT:
        return []
    message = f"The column `{name}` is {column.kind}, which a result does not repeat."
    return [Problem(where, "wrong_type", message, _NOT_KEPT[column.kind])]


class InputColumn:
    """One column as an input of the network.

    Attributes:
        is_stored: Whether it has values at all: otherwise each row is a gap.
    """

    def __init__(self, one: Input, name: str, schema: Schema, *, codes: int | None) -> None:
        """Make ready.

        Args:
            one: How the column is encoded.
            name: The column.
            schema: Of the table.
            codes: How many codes the network knows, where its inputs are codes.
        """
        column = schema.by_name[name]
        self._input, self._name = one, name
        self._codes = codes
        self._words = tuple(map(str, column.values or ()))
        self._places = _translation(self._words, one.categories or ())
        self.is_stored = bool(schema.rows) and column.kind == one.kind
        self._read = {"number": self._numbers, "category": self._categories, "array": self._arrays}[one.kind]

    def values(self, raw: Array | None, *, rows: int, tally: Tally) -> Array:
        """Give the values of some rows, as arrays of a frame of the training.

        Args:
            raw: As they are stored; None where no row has a value.
            rows: How many.
            tally: Is told of those that cannot be predicted.
        """
        return self._read(self._gaps(rows) if raw is None else raw, tally)

    def _gaps(self, rows: int) -> Array:
        if self._input.kind == "category":
            return np.full(rows, MISSING, np.int32)
        return np.full((rows, *self._input.shape), np.nan)

    def _numbers(self, raw: Array, tally: Tally) -> Array:
        found = raw.astype(np.float64)
        return self._of_codes(self._without_gaps(found, np.isnan(found), tally), tally)

    def _categories(self, raw: Array, tally: Tally) -> Array:
        found = self._places[raw]
        unknown = found == UNKNOWN
        if unknown.any():
            word = self._words[int(raw[int(np.argmax(unknown))])]
            message = f"`{self._name}` was never `{word[:80]}` in the training."
            tally.note("unknown_category", self._name, unknown, message)
            found[unknown] = 0
        return self._without_gaps(found, found == MISSING, tally)

    def _arrays(self, raw: Array, tally: Tally) -> Array:
        return self._of_codes(raw, tally)

    def _without_gaps(self, values: Array, gaps: Flags, tally: Tally) -> Array:
        """Note gaps that the model does not fill."""
        if self._input.fill is None and gaps.any():
            message = f"`{self._name}` has no value, and the model was trained without gaps there."
            tally.note("missing_values", self._name, gaps, message)
            values[gaps] = 0
        return values

    def _of_codes(self, values: Array, tally: Tally) -> Array:
        """Note numbers that are no code, where the network reads codes: torch would fail on them."""
        if self._codes is None or not len(values):
            return values
        table = values.reshape(len(values), -1)
        is_code = (table >= 0) & (table < self._codes) & (table == np.trunc(table))
        wrong = ~np.all(is_code | np.isnan(table), axis=1)
        if not wrong.any():
            return values
        message = f"`{self._name}` holds what is no code of the Embedding: whole numbers from 0 to {self._codes - 1}."
        tally.note("out_of_range", self._name, wrong, message)
        found = np.array(values)
        found[wrong] = 0
        return found


def _translation(words: Sequence[str], categories: Sequence[Any]) -> npt.NDArray[np.int32]:
    """Give the model's code by the table's, and last, where the table's -1 looks for it, what stands for a gap."""
    known = {category: code for code, category in enumerate(categories)}
    return np.array([*(known.get(word, UNKNOWN) for word in words), MISSING], np.int32)


class GroupColumn:
    """The column that tells by which group's model a row is predicted."""

    def __init__(self, predictor: GroupedPredictor, schema: Schema) -> None:
        self.name = predictor.column
        self._predictor = predictor
        column = schema.by_name[self.name]
        self._words = column.values if column.kind == "category" else None
        self._some = max(0, self._group(predictor.labels[0])) if predictor.labels else 0

    def values(self, raw: Array, tally: Tally) -> npt.NDArray[np.int64]:
        """Give the number of each row's group; for rows without a model, that of any group with one."""
        distinct, places = np.unique(raw, return_inverse=True)
        labels = [self._label(value) for value in distinct.tolist()]
        found = np.array([*map(self._group, labels), UNKNOWN], np.int64)[places]
        for code, number, message in (
            ("unknown_group", UNKNOWN, "There was no group {} in the training."),
            ("group_without_model", UNTRAINED, "The group {} has no model."),
        ):
            rows = found == number
            if rows.any():
                tally.note(code, self.name, rows, message.format(self._shown(raw[int(np.argmax(rows))])))
        return np.where(found < 0, self._some, found)

    def _group(self, label: str | float | None) -> int:
        group = None if label is None else self._predictor.group_of(label)
        if group is None:
            return UNKNOWN
        return group if self._predictor.is_trained(group) else UNTRAINED

    def _label(self, value: float) -> str | float | None:
        if self._words is None:
            return value
        return self._words[int(value)] if value >= 0 else None

    def _shown(self, value: Any) -> str:  # noqa: ANN401 - a number of numpy
        label = self._label(value.item())
        return "without a name" if label is None or label != label else f"`{str(label)[:80]}`"  # noqa: PLR0124 - NaN


class KeptColumn:
    """A column of the table that the result repeats.

    Attributes:
        name: The column.
        type: Arrow's type of its values in the result.
    """

    def __init__(self, column: Column, *, dtype: np.dtype[Any] | None) -> None:
        """Choose the type.

        Args:
            column: The column.
            dtype: Of its stored numbers.
        """
        self.name = column.name
        low, high = column.minimum or 0.0, column.maximum or 0.0
        self._is_moment = column.unit == SINCE_1970 and _CALENDAR[0] <= low <= high <= _CALENDAR[1]
        self._words = pa.array(map(str, column.values or ()), pa.string())
        self.type = self._type(column, dtype)

    def _type(self, column: Column, dtype: np.dtype[Any] | None) -> Any:  # noqa: ANN401 - pyarrow brings no types
        if column.kind == "category":
            return pa.string()
        if self._is_moment:
            return pa.timestamp("us", "UTC")
        # CSV has no numbers of 16 bits.
        return pa.float32() if dtype == np.float16 else pa.from_numpy_dtype(dtype or np.dtype(np.float64))

    def values(self, raw: Array) -> Any:  # noqa: ANN401 - Arrow
        """Give the values of some rows; null where one is missing."""
        if self.type == pa.string():
            return self._words.take(pa.array(raw, mask=raw < 0))
        gaps = np.isnan(raw)
        if self._is_moment:
            return pa.array(
                np.round(np.where(gaps, 0, raw) * 1e6).astype(np.int64), pa.int64(), mask=gaps
            ).cast(self.type)
        return pa.array(raw.astype(self.type.to_pandas_dtype(), copy=False), self.type, mask=gaps)
