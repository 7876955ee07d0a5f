"""Values that callers send for a prediction, as the arrays that the training had."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.spec.columns import did_you_mean
from service.spec.packed import PackedNumbers
from service.spec.values import as_array
from service.tables.frame import Array
from service.training.encoding import Input

__all__ = ["ValueProblem", "as_column", "value_problem"]


@dataclass(frozen=True, slots=True)
class ValueProblem:
    """Why a column of values cannot be used.

    Attributes:
        place: Where in the column: the row, or nothing for all of it.
        what: Code, message and hint of the problem.
    """

    place: tuple[int, ...]
    what: tuple[str, str, str]


def value_problem(
    one: Input, values: Sequence[Any] | Array, *, codes: int | None = None
) -> ValueProblem | None:
    """Find the first value that the model was not trained to take.

    Args:
        one: How the column is encoded.
        values: As they were sent: a sequence, `PackedNumbers`, or an array of one shape in each row.
        codes: How many codes the network knows, where its inputs are codes.
    """
    found = {"number": _number_problem, "category": _category_problem, "array": _array_problem}[one.kind](
        one, values
    )
    if found is not None or codes is None or one.kind == "category" or len(values) == 0:
        return found
    return _code_problem(one, values, codes)


def _number_problem(one: Input, values: Sequence[Any] | Array) -> ValueProblem | None:
    if isinstance(values, PackedNumbers):
        gaps = np.flatnonzero(np.isnan(values.array))
        return _gap(one, int(gaps[0])) if one.fill is None and len(gaps) else None
    for row, value in enumerate(values):
        if value is None and one.fill is None:
            return _gap(one, row)
        if isinstance(value, str | list | tuple | np.ndarray):
            what = "wrong_type", f"`{one.name}` is a number.", "Send numbers, without quotes."
            return ValueProblem((row,), what)
    return None


def _category_problem(one: Input, values: Sequence[Any] | Array) -> ValueProblem | None:
    known = set(one.categories or ())
    for row, value in enumerate(values):
        if value is None and one.fill is None:
            return _gap(one, row)
        if value is not None and not (isinstance(value, str) and value in known):
            message = f"`{one.name}` was never `{str(value)[:80]}` in the training."
            what = "unknown_category", message, did_you_mean(str(value)[:80], map(str, one.categories or ()))
            return ValueProblem((row,), what)
    return None


def _array_problem(one: Input, values: Sequence[Any] | Array) -> ValueProblem | None:
    whole = _problem_of_arrays(one, values) if len(values) else None
    if whole is None:
        return None
    # All rows are looked at at once, which is fast; only where that fails are they looked at one by one.
    for row, value in enumerate(values):
        what = _problem_of_arrays(one, [value])
        if what is not None:
            return ValueProblem((row,), what)
    return ValueProblem((), whole)


def _problem_of_arrays(one: Input, values: Sequence[Any] | Array) -> tuple[str, str, str] | None:
    hint = f"Send nested arrays of numbers, of the shape {one.shape} in each row."
    if values[0] is None:
        return "missing_values", f"`{one.name}` has no value here.", hint
    try:
        shape = as_array(values).shape[1:]
    except ValueError as error:
        return "wrong_type", f"`{one.name}`: {error}", hint
    if shape == one.shape:
        return None
    message = f"`{one.name}` has the shape {shape} here; the model was trained on {one.shape}."
    return "wrong_shape", message, hint


def _code_problem(one: Input, values: Sequence[Any] | Array, codes: int) -> ValueProblem | None:
    """Find the first number that is no code: torch would fail on it, or cut its fraction off."""
    table = as_column(one, values).reshape(len(values), -1)
    known = (table >= 0) & (table < codes) & (table == np.trunc(table))
    rows, places = np.nonzero(~(known | np.isnan(table)))
    if not len(rows):
        return None
    message = f"`{one.name}` holds {table[rows[0], places[0]]:.15g} here, which is no code of the Embedding."
    hint = f"Send whole numbers from 0 to {codes - 1}."
    return ValueProblem((int(rows[0]),), ("out_of_range", message, hint))


def _gap(one: Input, row: int) -> ValueProblem:
    hint = "A model trained with missing values filled in (preprocessing.missing) predicts without them."
    return ValueProblem((row,), ("missing_values", f"`{one.name}` has no value here.", hint))


def as_column(one: Input, values: Sequence[Any] | Array) -> Array:
    """Turn values without problems into an array as in a frame: NaN, or the code -1, where one is missing."""
    if one.kind == "array":
        return as_array(values) if len(values) else np.empty((0, *one.shape))
    if one.kind == "category":
        codes = {category: code for code, category in enumerate(one.categories or ())}
        return np.array([-1 if value is None else codes[value] for value in values], dtype=np.int32)
    if isinstance(values, PackedNumbers):
        return values.array
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
