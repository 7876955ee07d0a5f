"""Between tensors and a predictor: a tensor for each column, or one for all; and a tensor for each prediction."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.exceptions import ColumnMismatch, InvalidRequest, Problem
from service.inference.exchange import tabled
from service.inference.grouped import GroupedPredictor
from service.inference.predictor import Predicted, Predictor
from service.inference.signature import inputs_of
from service.inference.tensors import BYTES, Tensor
from service.spec.packed import PackedNumbers
from service.tables.frame import Array

__all__ = ["ALL", "Form", "Output", "input_forms", "predicted", "tensors_of"]

ALL = "input"
"""Name of the tensor that holds all features, (rows, features), where all of them are numbers."""
_PADDING = -1
"""Stands behind the codes of a sequence that is shorter than the longest."""
Columns = dict[str, Sequence[Any] | Array]


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of predictions.

    Attributes:
        name: A target, `probabilities.<class>` or `std.<target>`.
        datatype: `FP64`, `INT64` or `BYTES`.
        shape: Rows first.
        values: Numbers in an array of that shape, or texts.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Any


@dataclass(frozen=True, slots=True)
class Form:
    """What a tensor looks like; -1 for a number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def input_forms(predictor: Predictor | GroupedPredictor) -> list[Form]:
    """Tell which tensors a predictor takes, one for each column."""
    return [
        Form(one["name"], BYTES if one["kind"] == "category" else "FP64", (-1, *one.get("shape", ())))
        for one in inputs_of(predictor)
    ]


def predicted(predictor: Predictor | GroupedPredictor, tensors: Sequence[Tensor]) -> Predicted:
    """Predict the rows that tensors hold.

    Raises:
        ColumnMismatch: They are not what the model was trained on; pointers lead into `/inputs`.
    """
    whole = _whole(predictor, tensors)
    columns = _columns(predictor, tensors) if whole is None else _split(whole, predictor.feature_names)
    try:
        return predictor.predict(columns)
    except ColumnMismatch as error:
        places = {tensor.name: place for place, tensor in enumerate(tensors)}
        names = predictor.feature_names if whole is not None else ()
        raise ColumnMismatch([_moved(problem, places, names) for problem in error.problems]) from None


def _whole(predictor: Predictor | GroupedPredictor, tensors: Sequence[Tensor]) -> Tensor | None:
    """Give the tensor that holds all features, if they come so.

    Raises:
        ColumnMismatch: It does not have a number for each of them.
    """
    names = predictor.feature_names
    if len(tensors) != 1 or tensors[0].name != ALL or ALL in names:
        return None
    (tensor,) = tensors
    if isinstance(tensor.values, list) or tensor.shape[1:] != (len(names),):
        shown = ", ".join(f"`{name}`" for name in names[:20])
        message = f"`{ALL}` has the shape {list(tensor.shape)}; the model takes {len(names)} columns."
        hint = f"Send numbers of the shape [rows, {len(names)}]: in each row {shown}. Or a tensor for each column."
        raise ColumnMismatch([Problem("/inputs/0/shape", "wrong_shape", message, hint)])
    return tensor


def _split(whole: Tensor, names: Sequence[str]) -> Columns:
    table = np.asarray(whole.values)
    return {name: PackedNumbers(np.ascontiguousarray(table[:, place])) for place, name in enumerate(names)}


def _columns(predictor: Predictor | GroupedPredictor, tensors: Sequence[Tensor]) -> Columns:
    _check_names(tensors)
    inner = _inner(predictor)
    arrays = () if inner is None else [one.name for one in inner.preparation.inputs if one.kind == "array"]
    return {
        tensor.name: _column(tensor, place, is_array=tensor.name in arrays)
        for place, tensor in enumerate(tensors)
    }


def _check_names(tensors: Sequence[Tensor]) -> None:
    seen: set[str] = set()
    for place, one in enumerate(tensors):
        if one.name in seen:
            message = f"The input `{one.name[:80]}` comes twice."
            problem = Problem(f"/inputs/{place}/name", "duplicate_column", message, "Give each its own name.")
            raise InvalidRequest([problem])
        seen.add(one.name)


def _column(tensor: Tensor, place: int, *, is_array: bool) -> Sequence[Any] | Array:
    if is_array and not isinstance(tensor.values, list):
        return tensor.values
    if tensor.shape[1:] not in {(), (1,)}:
        message = f"`{tensor.name}` has the shape {list(tensor.shape)}; there is one value in each row."
        hint = f"Send the shape [{tensor.rows}] or [{tensor.rows}, 1]."
        raise ColumnMismatch([Problem(f"/inputs/{place}/shape", "wrong_shape", message, hint)])
    return tensor.values if isinstance(tensor.values, list) else PackedNumbers(tensor.values.reshape(-1))


def _inner(predictor: Predictor | GroupedPredictor) -> Predictor | None:
    return predictor.predictor if isinstance(predictor, GroupedPredictor) else predictor


def _moved(problem: Problem, places: Mapping[str, int], names: Sequence[str]) -> Problem:
    """Turn a pointer into columns, `/columns/x/3`, into one into the tensors: `/inputs/0/data/3`."""
    tokens = (problem.pointer or "").split("/")[2:]
    name = tokens[0].replace("~1", "/").replace("~0", "~") if tokens else ""
    row = tokens[1] if len(tokens) > 1 else ""
    if name in places:
        pointer = f"/inputs/{places[name]}" + (f"/data/{row}" if row else "")
    elif name in names and row:
        pointer = f"/inputs/0/data/{int(row) * len(names) + names.index(name)}"
    else:
        pointer = "/inputs"
    return dataclasses.replace(problem, pointer=pointer)


def tensors_of(predictor: Predictor | GroupedPredictor, found: Predicted) -> list[Output]:
    """Give the predictions as tensors, each with a value for each row; sequences end with -1 up to the longest."""
    inner = _inner(predictor)
    classes = () if inner is None else inner.classes
    return [_output(name, values, classes) for name, values in zip(*tabled(found), strict=True)]


def _output(name: str, values: Any, classes: Sequence[str | float]) -> Output:  # noqa: ANN401 - lists, or arrays
    if isinstance(values, np.ndarray):
        whole = values.dtype.kind in "iub"
        return Output(name, "INT64" if whole else "FP64", values.shape, values)
    if classes and isinstance(classes[0], str):
        return Output(name, BYTES, (len(values),), values)
    if classes:
        whole = all(isinstance(one, int) for one in classes)
        array = np.array(values, dtype=np.int64 if whole else np.float64)
        return Output(name, "INT64" if whole else "FP64", array.shape, array)
    padded = _padded(values)
    return Output(name, "INT64", padded.shape, padded)


def _padded(sequences: Sequence[Sequence[int]]) -> Array:
    longest = max(map(len, sequences), default=0)
    table = np.full((len(sequences), longest), _PADDING, dtype=np.int64)
    for row, one in enumerate(sequences):
        table[row, : len(one)] = one
    return table
