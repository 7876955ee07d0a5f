"""The formats: which there are, and which can carry a model."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.exports.subject import Subject
from service.spec.job import JobSpec
from service.spec.models import PluginModel

__all__ = ["FORMATS", "ExportFormat", "Form", "reason_against"]

LINEAR = {"linear", "polynomial", "logistic", "softmax"}
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MOST_INPUTS = 500
"""Columns that are each an input of a program: more take minutes to trace."""


class ExportFormat(StrEnum):
    """A form in which a trained model can be had."""

    SAFETENSORS = "safetensors"
    COEFFICIENTS = "coefficients"
    ONNX = "onnx"
    PT2 = "pt2"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Form:
    """What is said of a format.

    Attributes:
        media_type: Of its file.
        suffix: Of its file's name.
        in_child: Whether it is made by a process of its own: it takes seconds and much memory.
        about: What it is good for, as a sentence.
    """

    media_type: str
    suffix: str
    in_child: bool
    about: str


FORMATS: Mapping[ExportFormat, Form] = {
    ExportFormat.SAFETENSORS: Form(
        "application/vnd.safetensors",
        "safetensors",
        in_child=False,
        about="The trained tensors, with the spec and the preparation of the columns as metadata.",
    ),
    ExportFormat.COEFFICIENTS: Form(
        "application/json",
        "json",
        in_child=False,
        about="A linear model's coefficients in raw units, by feature.",
    ),
    ExportFormat.ONNX: Form(
        "application/onnx",
        "onnx",
        in_child=True,
        about="The whole prediction for onnxruntime: raw columns in by name, predictions in raw units out.",
    ),
    ExportFormat.PT2: Form(
        "application/vnd.pytorch.pt2",
        "pt2",
        in_child=True,
        about="The whole prediction for torch.export.load: raw columns in by name, predictions in raw units out.",
    ),
    ExportFormat.SCRIPT: Form(
        "text/x-python",
        "py",
        in_child=False,
        about="A plain PyTorch script that repeats the training and compares its parameters.",
    ),
}


def reason_against(format: ExportFormat, subject: Subject, spec: JobSpec) -> str | None:  # noqa: A002 - its name
    """Say why a format cannot carry a model, as far as the spec tells; None where it can."""
    check = _AGAINST.get(format)
    return None if check is None else check(subject, spec)


def _against_coefficients(_: Subject, spec: JobSpec) -> str | None:
    if spec.data.group_by is not None:
        return "Each group has coefficients of its own: GET …/groups lists them."
    if spec.model.type not in LINEAR:
        return f"A `{spec.model.type}` is not linear in its features: it has no coefficients."
    return None


def _against_programs(_: Subject, spec: JobSpec) -> str | None:
    if isinstance(spec.model, PluginModel):
        return "A plugin's network may do what no other runtime can."
    if spec.data.group_by is not None:
        return "Each group has a model of its own; one program would have to hold them all."
    if spec.loss.target == "sequence":
        return "Predictions of CTCLoss are sequences of different lengths."
    if len(spec.data.feature_names()) > MOST_INPUTS:
        return f"It has {len(spec.data.feature_names()):,} features; up to {MOST_INPUTS} become inputs of a program."
    return None


def _against_onnx(subject: Subject, spec: JobSpec) -> str | None:
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"This service lacks {', '.join(missing)}: the operator installs them with `pip install 'fitd[onnx]'`."
    return _against_programs(subject, spec)


def _against_script(subject: Subject, spec: JobSpec) -> str | None:
    # Imported here: it needs torch, which a list of formats does not wait for.
    from service.exports.script.obstacles import obstacles

    found = obstacles(subject, spec)
    return f"It cannot be written as plain torch: {'; '.join(found)}." if found else None


_AGAINST: Mapping[ExportFormat, Callable[[Subject, JobSpec], str | None]] = {
    ExportFormat.COEFFICIENTS: _against_coefficients,
    ExportFormat.ONNX: _against_onnx,
    ExportFormat.PT2: _against_programs,
    ExportFormat.SCRIPT: _against_script,
}
