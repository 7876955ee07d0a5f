"""Small trained models of every kind, built once for all tests that predict with them in process."""

import functools
from typing import Any

from service.inference.grouped import GroupedPredictor, predictor_of
from service.inference.predictor import Predictor
from service.training.weights import to_bytes
from tests.training.jobs import inline, job, trainer

__all__ = ["CLASSES_JOB", "MODELS", "predictor"]

A = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5, 3.0, 1.0]
B = [10.0, 20.0, 15.0, 30.0, 12.0, 18.0, 22.0, 11.0]
Y = [1.0, 2.0, 0.5, 4.0, 1.5, 2.5, 3.0, 0.0]
NUMBERS = {"a": A, "b": B, "y": Y}
MLP = {"type": "mlp", "hidden": [5, 4], "activation": "Tanh"}
COLOURS = ["red", "blue", "red", "green", "blue", "red", "green", "blue"]
CLASSES = {"model": {"type": "softmax"}, "loss": {"type": "CrossEntropyLoss"}}

CLASSES_JOB: dict[str, Any] = {
    "data": {
        "type": "inline",
        "columns": {
            "x": [0.0, 0.1, 0.9, 1.0] * 8,
            "color": ["red", "blue", None, "red"] * 8,
            "big": [0, 0, 1, 1] * 8,
        },
        "target": "big",
    },
    "preprocessing": {"missing": "most_frequent"},
    "model": {"type": "logistic"},
    "loss": {"type": "BCEWithLogitsLoss"},
    "optimizer": {"type": "Adam", "lr": 0.1},
    "training": {"epochs": 20, "seed": 0},
}
"""A spec of two classes, with a category that has gaps."""

MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": (inline(NUMBERS), {}),
    "linear float64": (inline(NUMBERS), {"training": {"dtype": "float64"}}),
    "scaled": (inline(NUMBERS), {"preprocessing": {"target_scaling": "standardize"}}),
    "mlp": (inline(NUMBERS), {"model": MLP, "preprocessing": {"target_scaling": "standardize"}}),
    "mlp float64": (inline(NUMBERS), {"model": MLP, "training": {"dtype": "float64"}}),
    "two targets": (inline(NUMBERS, target=["y", "b"]), {}),
    "gaussian": (inline(NUMBERS), {"loss": {"type": "GaussianNLLLoss"}}),
    "counts": (inline(NUMBERS), {"loss": {"type": "PoissonNLLLoss"}}),
    "texts": (inline({"a": A, "b": B, "y": COLOURS}), CLASSES),
    "numbers as classes": (inline({"a": A, "b": B, "y": [0, 1, 2.5, 0, 1, 2.5, 0, 1]}), CLASSES),
    "categories": (inline({"a": A, "colour": COLOURS, "y": Y}), {}),
    "gaps": (
        inline({"a": [None, *A[1:]], "colour": [None, *COLOURS[1:]], "y": Y}),
        {"preprocessing": {"missing": "most_frequent"}},
    ),
    "vectors": (inline({"v": [[a, b] for a, b in zip(A, B, strict=True)], "y": Y}), {}),
    "polynomial": (inline({"a": A, "y": Y}), {"model": {"type": "polynomial", "degree": 2}}),
}
"""By name: data and the sections of a spec."""


@functools.cache
def predictor(name: str) -> Predictor | GroupedPredictor:
    """Train one of the models for a few epochs, and load it."""
    data, sections = MODELS[name]
    plan = job(data, **sections)
    fit = trainer(plan).fit()
    return predictor_of(plan.spec, to_bytes(fit.state_dict, fit.preparation))
