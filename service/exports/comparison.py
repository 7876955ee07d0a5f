"""Predictions of an exported model beside those of the service."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.exceptions import ExportFailed
from service.exports.whole import Output
from service.inference.predictor import Predicted, Predictor
from service.tables.frame import Array

__all__ = ["TOLERANCES", "Comparison", "compare"]

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
"""Largest difference of a column that is no fault, as a share of the largest number in that column."""
Floats = npt.NDArray[np.float64]
Run = Callable[[Mapping[str, Array]], Sequence[Any]]
"""Gives the outputs of an exported model, in order, for rows as arrays of a frame."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How near an exported model is.

    Attributes:
        rows: Rows that were compared.
        largest: The largest difference of two numbers, in the units of their column.
        relative: The largest of these differences, each as a share of the largest number in its column.
        tolerance: What `relative` may be.
    """

    rows: int
    largest: float
    relative: float
    tolerance: float


def compare(
    run: Run, outputs: Sequence[Output], predictor: Predictor, arrays: Mapping[str, Array]
) -> Comparison:
    """Hold an exported model against the service's own predictions: many rows at once, and one alone.

    Raises:
        ExportFailed: They differ by more than rounding explains, or the classes do.
    """
    tolerance = TOLERANCES[predictor.preparation.dtype]
    one = {name: values[:1] for name, values in arrays.items()}
    found = [_differences(run(some), outputs, predictor, some, tolerance) for some in (arrays, one)]
    rows = len(next(iter(arrays.values())))
    worst = [max(pair[side] for pair in found) for side in (0, 1)]
    if not worst[1] <= tolerance:
        raise ExportFailed(
            f"The exported model differs from the service's own by {worst[0]:g}, which is {worst[1]:.3g} of the largest "
            f"prediction; {tolerance:g} would be rounding. It is not handed out."
        )
    return Comparison(rows, worst[0], worst[1], tolerance)


def _differences(
    given: Sequence[Any],
    outputs: Sequence[Output],
    predictor: Predictor,
    arrays: Mapping[str, Array],
    tolerance: float,
) -> tuple[float, float]:
    own = predictor.predict_arrays(arrays)
    largest, relative = 0.0, 0.0
    for output, values in zip(outputs, given, strict=True):
        if output.kind in {"class", "label"}:
            _require_same(output, values, own, tolerance)
            continue
        expected = _expected(output, own)
        shown = np.asarray(values, dtype=np.float64).reshape(expected.shape)
        difference = _largest(shown, expected)
        # An infinite prediction says nothing of how large the others are.
        scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
        largest = max(largest, difference)
        relative = max(relative, difference / scale if scale else difference)
    return largest, relative


def _largest(shown: Floats, expected: Floats) -> float:
    """Give the largest difference; infinite where one is no finite number, and the other is not the same."""
    finite = np.isfinite(shown) & np.isfinite(expected)
    same = (shown == expected) | (np.isnan(shown) & np.isnan(expected))
    if not (finite | same).all():
        return math.inf
    return float(np.abs(shown[finite] - expected[finite]).max(initial=0.0))


def _expected(output: Output, own: Predicted) -> Floats:
    """Give what the service predicts for an output: shape (rows, numbers)."""
    columns = {"probabilities": own.probabilities, "std": own.std}.get(output.kind, own.columns)
    names = output.columns or (output.name,)
    # Names that the service has told apart are in the same order here.
    known = list(columns) if output.kind in {"probabilities", "std"} else [n for n in columns if n in names]
    chosen = known or list(columns)
    return np.stack([np.asarray(columns[name], dtype=np.float64) for name in chosen], axis=1)


def _require_same(output: Output, values: Any, own: Predicted, tolerance: float) -> None:  # noqa: ANN401 - texts or numbers
    """Make sure that the classes are the same, but in rows that are on the border between two."""
    names = [name for name in (output.columns or (output.name,)) if name in own.columns] or list(own.columns)
    given = np.asarray(values).reshape(len(own.columns[names[0]]), -1)
    expected = np.stack([np.asarray(own.columns[name]) for name in names], axis=1)
    differs = np.any(given != expected, axis=1)
    if not differs.any():
        return
    if not own.probabilities or np.any(_margins(own, names)[differs] > tolerance):
        row = int(np.flatnonzero(differs)[0])
        raise ExportFailed(
            f"The exported model gives {given[row].tolist()} where the service gives {expected[row].tolist()}. "
            "It is not handed out."
        )


def _margins(own: Predicted, names: Sequence[str]) -> Floats:
    """Tell how clear each row's class is: the distance of the two likeliest, or of yes from even odds."""
    table = np.stack(list(own.probabilities.values()), axis=1)
    if set(own.probabilities) >= set(names):
        return np.asarray(np.abs(table - 0.5).min(axis=1), dtype=np.float64)
    top = np.sort(table, axis=1)
    return np.asarray(top[:, -1] - top[:, -2], dtype=np.float64)
