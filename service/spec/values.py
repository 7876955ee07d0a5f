"""The values of one column as they come in a JSON body: numbers, numbers with gaps, texts, or arrays."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag

from service.exceptions import Problem
from service.spec.base import Numbers
from service.spec.packed import Packed, PackedNumbers, is_packed
from service.spec.schema import MAX_VALUES, Column

__all__ = ["Cell", "Values", "as_array", "described", "encoded"]

MAX_RANK = 4
"""Axes of the array in one row: channels, depth, height and width."""


def _truth_as_number(value: object) -> object:
    return float(value) if isinstance(value, bool) else value


# Turned before it is looked at: a union of numbers and truth values would tell two problems of each wrong value.
_Gap = Annotated[float | None, BeforeValidator(_truth_as_number, json_schema_input_type=float | bool | None)]
Gaps = Annotated[tuple[_Gap, ...], Field(fail_fast=True)]
Texts = Annotated[tuple[str | None, ...], Field(fail_fast=True)]
Arrays = Annotated[tuple[list[Any], ...], Field(fail_fast=True)]


def _kind_of_column(values: object) -> str:
    """Tell by the first value what a column holds; gaps and truth values cost a second look at each."""
    if not isinstance(values, list | tuple):
        return "packed" if is_packed(values) else "numbers"
    first = next((one for one in values if one is not None), None)
    if isinstance(first, str):
        return "texts"
    if isinstance(first, list | tuple):
        return "arrays"
    return "gaps" if any(one is None or one is True or one is False for one in values) else "numbers"


Values = Annotated[
    Annotated[Numbers, Tag("numbers")]
    | Annotated[Gaps, Tag("gaps")]
    | Annotated[Texts, Tag("texts")]
    | Annotated[Arrays, Tag("arrays")]
    | Annotated[Packed, Tag("packed")],
    Discriminator(_kind_of_column),
]
"""One column: numbers (truth values count as 0 and 1), texts, or nested arrays; null where a value is missing."""


def _kind_of_cell(value: object) -> str:
    kinds: dict[type, str] = {str: "text", bool: "truth", type(None): "nothing", list: "array"}
    return kinds.get(type(value), "number")


Cell = Annotated[
    Annotated[float, Tag("number")]
    | Annotated[str, Tag("text")]
    | Annotated[bool, Tag("truth")]
    | Annotated[None, Tag("nothing")]
    | Annotated[list[Any], Tag("array")],
    Discriminator(_kind_of_cell),
]
"""One value of a row."""


class _NotAnArray(ValueError):
    """The nested lists of a column are ragged, too deep, or hold something else than finite numbers."""


def described(name: str, values: Sequence[Any], pointer: str) -> Column | Problem:
    """Describe a column, or tell what is wrong with its values.

    Args:
        name: The column's name.
        values: Its values as `Values` has them; at least one.
        pointer: JSON Pointer of the values.
    """
    try:
        array, categories = encoded(values)
    except _NotAnArray as error:
        return Problem(
            pointer, "wrong_type", f"`{name}`: {error}", "Give numbers, texts, or arrays of one shape."
        )
    if categories is not None:
        return Column(
            name=name, kind="category", dtype="str", missing=int((array < 0).sum()), values=categories
        )
    if array.ndim > 1:
        figures = _figures(array)
        return Column(name=name, kind="array", dtype="float64", shape=array.shape[1:], **figures)
    present = array[~np.isnan(array)]
    return Column(
        name=name,
        kind="number",
        dtype="float64",
        missing=len(array) - len(present),
        values=_distinct(present),
        **_figures(present),
    )


def encoded(values: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Turn a column's values into an array, and its categories if they are texts.

    Returns:
        float64 with NaN where missing, or int32 codes into the categories with -1 where missing.

    Raises:
        ValueError: The nested lists are no array of finite numbers.
    """
    if isinstance(values, PackedNumbers):
        return values.array, None
    first = next((one for one in values if one is not None), None)
    if isinstance(first, str):
        categories = tuple(sorted({one for one in values if one is not None}))
        codes = {category: code for code, category in enumerate(categories)}
        return np.array([codes.get(one, -1) for one in values], dtype=np.int32), categories
    if isinstance(first, list | tuple):
        return as_array(values), None
    return np.array(values, dtype=np.float64), None


def as_array(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Turn nested lists, or an array, into a float64 array of shape (rows, …).

    Raises:
        ValueError: They are ragged, too deep, or hold something else than finite numbers.
    """
    try:
        array = np.array(values)
    except ValueError:
        raise _NotAnArray("the arrays of the rows differ in shape.") from None
    if array.dtype.kind not in "fiub":
        raise _NotAnArray("the arrays hold something else than numbers, or differ in shape.")
    if array.ndim not in range(2, MAX_RANK + 2):
        raise _NotAnArray(f"an array in a row has 1 to {MAX_RANK} axes.")
    if array.size == 0 or not np.isfinite(array).all():
        raise _NotAnArray("the arrays hold no numbers, or some that are not finite.")
    return array.astype(np.float64)


def _distinct(present: np.ndarray) -> tuple[float, ...] | None:
    """List the distinct values where they are few; a sample says early that they are not."""
    if len(np.unique(present[: 4 * MAX_VALUES])) > MAX_VALUES:
        return None
    found = np.unique(present)
    return tuple(found.tolist()) if len(found) <= MAX_VALUES else None


def _figures(present: np.ndarray) -> dict[str, float | None]:
    if present.size == 0:
        return {"minimum": None, "maximum": None, "mean": None, "std": None}
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(present.mean()), float(present.std())
    return {
        "minimum": float(present.min()),
        "maximum": float(present.max()),
        "mean": mean if np.isfinite(mean) else None,
        "std": std if np.isfinite(std) else None,
    }
