"""Rows in the forms of MLflow's scoring protocol, as the columns that a predictor takes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.exceptions import ColumnMismatch, InvalidRequest, Problem
from service.inference import delimited
from service.inference.exchange import Bounds
from service.inference.grouped import GroupedPredictor
from service.inference.predictor import Predicted, Predictor
from service.inference.signature import inputs_of
from service.spec.pointers import pointer_to

__all__ = ["Table", "by_column", "from_csv", "from_rows", "predicted", "told"]

AnyPredictor = Predictor | GroupedPredictor
Place = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to predict.

    Attributes:
        columns: Values by name.
        place: Gives the pointer to a value of the body, by its column and row.
    """

    columns: Mapping[str, Any]
    place: Place


def by_column(columns: Mapping[str, Sequence[Any]], *, where: str) -> Table:
    """Take columns that came by name, at a place of the body."""
    return Table(columns, lambda name, row: where + pointer_to(name, row))


def from_rows(
    rows: Sequence[Any], names: Sequence[str] | None, predictor: AnyPredictor, *, where: str
) -> Table:
    """Take rows: objects, lists of values, or the values of the only feature.

    Args:
        rows: As they were sent.
        names: Of the columns of lists; the order of the features when left out.
        predictor: Tells the features.
        where: Pointer to the rows.

    Raises:
        InvalidRequest: The rows differ in form, or lists have more or fewer values than there are columns.
    """
    if rows and all(isinstance(row, dict) for row in rows):
        return _from_objects(rows, where)
    given = predictor.feature_names if names is None else names
    if len(set(given)) != len(given):
        raise _refused(where, "duplicate_column", "Two columns have the same name.", "Give each its own.")
    # The only feature may be an array, which is a list itself.
    one = len(given) == 1 and names is None
    if one and (_holds_arrays(predictor) or all(isinstance(row, int | float | str | None) for row in rows)):
        return Table({given[0]: rows}, lambda _, row: f"{where}/{row}")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(given):
            shown = ", ".join(f"`{name}`" for name in given[:20])
            hint = f"Send a list of {len(given)} values in each row: {shown}. Or an object for each row."
            raise _refused(f"{where}/{number}", "wrong_shape", "The row has another form.", hint)
    columns = {name: [row[place] for row in rows] for place, name in enumerate(given)}
    places = {name: place for place, name in enumerate(given)}
    return Table(columns, lambda name, row: f"{where}/{row}/{places[name]}")


def _from_objects(rows: Sequence[Mapping[str, Any]], where: str) -> Table:
    names = rows[0].keys()
    for number, row in enumerate(rows):
        if row.keys() != names:
            message = f"Row {number} does not have the same columns as row 0."
            raise _refused(f"{where}/{number}", "ragged_rows", message, "Give every row every feature.")
    columns = {name: [row[name] for row in rows] for name in names}
    return Table(columns, lambda name, row: where + pointer_to(row, name))


def _holds_arrays(predictor: AnyPredictor) -> bool:
    return isinstance(predictor, Predictor) and predictor.preparation.inputs[0].kind == "array"


def from_csv(data: bytes, predictor: AnyPredictor, bounds: Bounds) -> Table:
    """Read a CSV file with a line of names; raises as `delimited.from_csv`."""
    columns = delimited.from_csv(data, inputs=inputs_of(predictor), bounds=bounds)
    return Table(columns, lambda name, row: pointer_to("columns", name, row))


def predicted(predictor: AnyPredictor, table: Table) -> Predicted:
    """Predict the rows of a table.

    Raises:
        ColumnMismatch: They are not what the model was trained on; pointers lead to where the values were sent.
    """
    # No rows name no columns, and none are missing.
    columns = table.columns or dict.fromkeys(predictor.feature_names, ())
    try:
        return predictor.predict(columns)
    except ColumnMismatch as error:
        raise ColumnMismatch([_moved(problem, table) for problem in error.problems]) from None


def _moved(problem: Problem, table: Table) -> Problem:
    tokens = (problem.pointer or "").split("/")[2:]
    name = tokens[0].replace("~1", "/").replace("~0", "~") if tokens else ""
    pointer = table.place(name, tokens[1]) if len(tokens) > 1 and name in table.columns else ""
    return dataclasses.replace(problem, pointer=pointer)


def told(found: Predicted) -> list[Any]:
    """Give the predictions as the protocol has them: a value for each row, or an object where there are several targets."""
    columns = {name: _listed(values) for name, values in found.columns.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _listed(values: Any) -> list[Any]:  # noqa: ANN401 - a list, or an array
    found: list[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    return found


def _refused(pointer: str, code: str, message: str, hint: str) -> InvalidRequest:
    return InvalidRequest([Problem(pointer, code, message, hint)])
