"""What target columns are by their nature: numbers, classes or labels; and the loss that is right for them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from service.spec.schema import MAX_VALUES, Column, ColumnKind

__all__ = [
    "CHOOSE_ANOTHER",
    "Nature",
    "classes_of",
    "is_yes_or_no",
    "listed",
    "nature_of",
    "not_classes",
    "right_loss",
]

Nature = Literal[
    "numbers", "two_classes", "classes", "labels", "arrays", "single", "text", "mixed", "nothing"
]

CHOOSE_ANOTHER: frozenset[Nature] = frozenset({"single", "text", "mixed"})
"""Natures for which there is no right loss: another target is needed."""
MANY_CLASSES = 20
"""With more distinct values than this, fractions are taken for measurements, and values that hardly repeat
for names of rows."""
LISTED = 5


def classes_of(column: Column) -> tuple[str | float, ...]:
    """Give the distinct values of a column in ascending order: a class's code is its place among them.

    Returns:
        The values; empty where they are not known or too many to be classes.
    """
    return column.values or ()


def is_yes_or_no(column: Column) -> bool:
    """Tell whether a column holds nothing but the numbers 0 and 1."""
    return column.kind == "number" and bool(column.values) and set(column.values or ()) <= {0.0, 1.0}


def not_classes(column: Column, *, rows: int | None = None) -> str | None:
    """Say why the values of a column are no classes; None where they may be."""
    if column.kind in _NO_CLASSES:
        return f"`{column.name}` {_NO_CLASSES[column.kind]}"
    values = classes_of(column)
    if not values:
        computed = column.minimum is None and column.missing == 0
        what = "computed numbers" if computed else f"more than {MAX_VALUES:,} different numbers"
        return f"`{column.name}` holds {what}"
    if len(values) == 1:
        return f"`{column.name}` holds a single class, {listed(values)}"
    return _too_many(column.name, values, rows=rows) if len(values) > MANY_CLASSES else None


_NO_CLASSES: Mapping[ColumnKind, str] = {"array": "holds an array in each row", "text": "is free text"}


def _too_many(name: str, values: Sequence[str | float], *, rows: int | None) -> str | None:
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        return f"`{name}` holds {len(values):,} distinct fractions"
    if rows is not None and 2 * len(values) > rows:
        return f"`{name}` holds {len(values):,} distinct values in {rows:,} rows, so that most stand alone"
    return None


def nature_of(targets: Sequence[Column], *, rows: int | None = None) -> Nature:
    """Tell what the targets are by their nature, whatever the loss makes of them."""
    kinds = {column.kind for column in targets}
    if not targets or "text" in kinds:
        return "text" if targets else "nothing"
    if "array" in kinds:
        return "arrays" if len(targets) == 1 else "mixed"
    if len(targets) == 1:
        return _nature_of_one(targets[0], rows=rows)
    if all(is_yes_or_no(column) for column in targets):
        return "labels"
    return "numbers" if kinds == {"number"} else "mixed"


def _nature_of_one(column: Column, *, rows: int | None) -> Nature:
    values = classes_of(column)
    few: Mapping[int, Nature] = {1: "single", 2: "two_classes"}
    if len(values) in few:
        return few[len(values)]
    if not_classes(column, rows=rows) is None and (column.kind == "category" or len(values) <= MANY_CLASSES):
        return "classes"
    return "numbers" if column.kind == "number" else "text"


_RIGHT_LOSS: Mapping[Nature, str] = {
    "numbers": "Take MSELoss, which fits numbers",
    "two_classes": "Take BCEWithLogitsLoss, which is for two classes",
    "classes": "Take CrossEntropyLoss, which is for three or more classes",
    "labels": "Take BCEWithLogitsLoss, which answers yes or no for each column",
    "arrays": "Take MSELoss, which fits arrays of numbers",
    "single": "Choose a target that varies",
    "text": "Choose a target of numbers, or one whose values repeat often enough to be classes",
    "mixed": "Train one job for each target column",
    "nothing": "Name the column to predict",
}
_RIGHT_MODEL: Mapping[tuple[str, Nature], str] = {
    ("logistic", "classes"): "softmax",
    ("logistic", "numbers"): "linear",
    ("softmax", "two_classes"): "logistic",
    ("softmax", "labels"): "logistic",
    ("softmax", "numbers"): "linear",
}


def right_loss(nature: Nature, *, model: str) -> str:
    """Name the loss for targets of this nature, and the model where another kind goes with it."""
    other = _RIGHT_MODEL.get((model, nature))
    return _RIGHT_LOSS[nature] + (f", and the model `{other}`." if other else ".")


def listed(values: Sequence[str | float]) -> str:
    """List values in a line, the first ones where they are many."""
    shown = [f"{value:g}" if isinstance(value, float) else f"{value!s:.40}" for value in values[:LISTED]]
    return ", ".join(shown) + (", …" if len(values) > LISTED else "")
