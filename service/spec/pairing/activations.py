"""Whether the loss can take what the network gives after its last activation."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from service.exceptions import Problem
from service.spec.losses import Output
from service.spec.pairing.case import Case, wrong
from service.spec.pairing.natures import classes_of
from service.spec.pairing.targets import number_of_targets

__all__ = ["activation_problems", "output_kind"]

_KINDS: Mapping[str, Output] = {
    "Sigmoid": "probability",
    "Hardsigmoid": "probability",
    "Softmax": "probabilities",
    "Softmin": "probabilities",
    "LogSoftmax": "log_probabilities",
    "Softplus": "positive",
    "ReLU": "positive",
    "ReLU6": "positive",
    "Tanh": "bounded",
    "Hardtanh": "bounded",
    "Softsign": "bounded",
    "LogSigmoid": "bounded",
    "ELU": "bounded",
    "CELU": "bounded",
    "SELU": "bounded",
    "GELU": "bounded",
    "SiLU": "bounded",
    "Mish": "bounded",
    "Hardswish": "bounded",
}
_RANGES: Mapping[str, tuple[float, float]] = {
    "Sigmoid": (0, 1),
    "Hardsigmoid": (0, 1),
    "Softmax": (0, 1),
    "Softmin": (0, 1),
    "LogSoftmax": (-math.inf, 0),
    "LogSigmoid": (-math.inf, 0),
    "Softplus": (0, math.inf),
    "ReLU": (0, math.inf),
    "ReLU6": (0, 6),
    "Tanh": (-1, 1),
    "Softsign": (-1, 1),
}
_SHARED = frozenset({"Softmax", "Softmin", "LogSoftmax"})
"""Activations that share 1 among the outputs: a single output is the same whatever the input."""

_GIVES: Mapping[Output, str] = {
    "raw": "numbers of any sign",
    "probability": "probabilities, each for itself",
    "probabilities": "probabilities that sum to 1",
    "log_probabilities": "logarithms of probabilities",
    "positive": "numbers that are never negative",
    "bounded": "numbers of a limited range",
}


def output_kind(activation: str | None) -> Output:
    """Tell what a network gives whose last activation is the one that torch calls so."""
    return _KINDS.get(activation or "", "raw")


class _Cure(NamedTuple):
    hint: str
    """What to do; `{off}` and `{on:…}` become the way to take an activation away or put one there."""
    place: str | None = "/loss/type"
    """What to change where the network gives raw numbers; None for the model."""


_CURES: Mapping[str, _Cure] = {
    "CrossEntropyLoss": _Cure("{off}: CrossEntropyLoss applies log-softmax itself."),
    "NLLLoss": _Cure(
        "Take CrossEntropyLoss on raw scores, which applies log-softmax itself, or {LogSoftmax}."
    ),
    "MultiMarginLoss": _Cure("{off}: MultiMarginLoss compares raw scores."),
    "KLDivLoss": _Cure("For KLDivLoss {LogSoftmax}.", place=None),
    "BCELoss": _Cure("Take BCEWithLogitsLoss on raw scores, which applies the sigmoid itself, or {Sigmoid}."),
    "BCEWithLogitsLoss": _Cure(
        "{off}: BCEWithLogitsLoss applies the sigmoid itself. BCELoss is for outputs of Sigmoid."
    ),
    "MultiLabelSoftMarginLoss": _Cure("{off}: MultiLabelSoftMarginLoss applies the sigmoid itself."),
    "SoftMarginLoss": _Cure("{off}: the sign of SoftMarginLoss's scores is the answer."),
    "MultiLabelMarginLoss": _Cure("{off}: MultiLabelMarginLoss compares raw scores."),
    "HingeEmbeddingLoss": _Cure(
        "Take SoftMarginLoss on raw scores; if the outputs are distances, {Softplus}."
    ),
    "PoissonNLLLoss": _Cure("{poisson}", place="/loss/log_input"),
    "GaussianNLLLoss": _Cure("{off}: means and logarithms of variances may be any numbers."),
    "CTCLoss": _Cure("For CTCLoss {LogSoftmax}.", place=None),
}


def activation_problems(case: Case) -> list[Problem]:
    """Tell why the network's outputs are not what the loss takes, or cannot come near the targets."""
    return _wrong_kind(case) or _constant(case) or _out_of_reach(case)


def _wrong_kind(case: Case) -> list[Problem]:
    activation = case.model.last_activation
    kind = output_kind(activation)
    if kind in case.loss.accepts:
        return []
    given = f"after {activation} the network gives" if activation else "the network gives"
    message = f"{case.loss.type} takes {_GIVES[case.loss.accepts[0]]}, and {given} {_GIVES[kind]}."
    cure = _CURES[case.loss.type]
    place = cure.place if activation is None else None
    return [wrong(place or _place_of_activation(case), message, _hint(case, cure.hint))]


def _hint(case: Case, pattern: str) -> str:
    off = f"{_without(case)}, or set log_input to false for counts themselves."
    if not getattr(case.loss, "log_input", True):
        off = f"Set log_input to true, which is the default, or {_with(case, 'Softplus')}."
    named = {name: _with(case, name) for name in ("LogSoftmax", "Sigmoid", "Softplus")}
    return pattern.format(off=_without(case), poisson=off, **named)


def _place_of_activation(case: Case) -> str:
    return "/model/layers" if case.model.type == "sequential" else "/model/output_activation"


def _with(case: Case, activation: str) -> str:
    if case.model.type == "sequential":
        return f'let {{"type": "{activation}"}} be the last layer'
    return f'set output_activation to "{activation}"'


def _without(case: Case) -> str:
    if case.model.type == "sequential":
        return f"Leave the last layer, {case.model.last_activation}, out"
    return "Leave output_activation out"


def _constant(case: Case) -> list[Problem]:
    activation = case.model.last_activation
    classes = len(classes_of(case.targets[0])) if len(case.targets) == 1 else 0
    outputs = case.loss.outputs(targets=number_of_targets(case), classes=classes)
    if activation not in _SHARED or outputs != 1:
        return []
    message = f"{activation} shares 1 among the outputs, and there is one: it would never change."
    return [
        wrong(_place_of_activation(case), message, f"{_without(case)}; for a probability, Sigmoid is right.")
    ]


def _out_of_reach(case: Case) -> list[Problem]:
    """Refuse an activation whose range leaves out the mean of a target: not even a constant would fit."""
    activation = case.model.last_activation or ""
    low, high = _RANGES.get(activation, (-math.inf, math.inf))
    if case.target_scaling != "none" or case.loss.target != "values":
        return []
    for column in case.targets:
        if column.mean is not None and not low <= column.mean <= high:
            message = (
                f"{activation} gives numbers from {low:g} to {high:g}, and the mean of "
                f"`{column.name}` is {column.mean:.4g}."
            )
            return [
                wrong(_place_of_activation(case), message, f"{_without(case)}: raw numbers reach everything.")
            ]
    return []
