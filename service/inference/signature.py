"""What a predictor takes and what it gives, in words for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.inference.grouped import GroupedPredictor
from service.inference.predictor import Predictor
from service.training.encoding import Input

__all__ = ["Signature", "inputs_of", "signature_of"]


@dataclass(frozen=True, slots=True)
class Signature:
    """The columns of a prediction.

    Attributes:
        inputs: What it needs: of each column its `name`, its `kind` (`number`, `category` or `array`), whether a
            value may be `missing`, and the `categories` or the `shape` of an array.
        outputs: What it gives: of each column its `name`, its `kind` (`number`, `class` or `sequence`), and the
            `classes`.
    """

    inputs: Sequence[dict[str, Any]]
    outputs: Sequence[dict[str, Any]]


def signature_of(predictor: Predictor | GroupedPredictor) -> Signature:
    """Describe the columns of a predictor."""
    one = predictor if isinstance(predictor, Predictor) else predictor.predictor
    return Signature(inputs_of(predictor), [] if one is None else _outputs(one))


def inputs_of(predictor: Predictor | GroupedPredictor) -> list[dict[str, Any]]:
    """Describe the columns that a prediction needs, as `Signature.inputs`."""
    if isinstance(predictor, Predictor):
        return _inputs(predictor)
    group = {"name": predictor.column, **_labels(predictor.labels), "missing": False}
    return [group, *([] if predictor.predictor is None else _inputs(predictor.predictor))]


def _labels(labels: Sequence[str | int]) -> dict[str, Any]:
    """Describe the column of the groups: whole numbers, or texts of which only these have a model."""
    if labels and not isinstance(labels[0], str):
        return {"kind": "number"}
    return {"kind": "category", "categories": list(labels)}


def _inputs(predictor: Predictor) -> list[dict[str, Any]]:
    pairs = zip(predictor.feature_names, predictor.preparation.inputs, strict=True)
    return [{"name": name, **_input(one), "missing": one.fill is not None} for name, one in pairs]


def _input(one: Input) -> dict[str, Any]:
    beside: dict[str, dict[str, Any]] = {
        "category": {"categories": list(one.categories or ())},
        "array": {"shape": list(one.shape)},
    }
    return {"kind": one.kind, **beside.get(one.kind, {})}


def _outputs(predictor: Predictor) -> list[dict[str, Any]]:
    """Ask the network itself, with no rows: only it knows how many numbers some models give."""
    names = predictor.predict(dict.fromkeys(predictor.feature_names, ())).columns
    if predictor.classes:
        return [{"name": name, "kind": "class", "classes": list(predictor.classes)} for name in names]
    kind = "sequence" if predictor.preparation.target.kind == "sequence" else "number"
    return [{"name": name, "kind": kind} for name in names]
