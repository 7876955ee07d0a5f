"""The trained tensors as a file that says all about them; and the coefficients of a linear model."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from service.exceptions import ExportFailed, ExportNotAvailable
from service.exports.comparison import TOLERANCES
from service.exports.formats import ExportFormat
from service.exports.programs import versions
from service.exports.report import Report
from service.exports.rows import rows_to_compare
from service.exports.subject import Subject
from service.inference.predictor import Predictor
from service.spec.job import JobSpec
from service.training import encoding, weights
from service.training.naming import class_of
from service.training.preparation import Preparation

__all__ = ["coefficients_of", "safetensors_of"]

ALIGNMENT = 8
"""The header of a safetensors file is filled up to a multiple of so many bytes."""


def safetensors_of(subject: Subject) -> tuple[bytes, Report]:
    """Add the spec, without rows that were sent along, and the versions to the metadata of the tensors."""
    length = int.from_bytes(subject.parameters[:8], "little")
    header = json.loads(subject.parameters[8 : 8 + length])
    spec = json.loads(subject.spec_text)
    for rows in ("rows", "columns") if spec["data"]["type"] == "inline" else ():
        spec["data"].pop(rows, None)
    header["__metadata__"] |= {
        "fitd.spec": orjson.dumps(spec).decode(),
        "fitd.title": subject.title,
        "fitd.versions": orjson.dumps(versions("torch", "safetensors")).decode(),
    }
    # By hand: the library writes several entries of the metadata in an order of chance.
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    data = len(text).to_bytes(8, "little") + text + subject.parameters[8 + length :]
    how = "The tensors are the very bytes that the training left."
    return data, _report(ExportFormat.SAFETENSORS, data, how, largest=0.0, verified=True)


def _report(  # noqa: PLR0913 - fields of a report
    name: ExportFormat,
    data: bytes,
    how: str,
    *,
    verified: bool,
    rows: int = 0,
    largest: float | None = None,
    relative: float | None = None,
    tolerance: float | None = None,
) -> Report:
    return Report(
        format=name,
        verified=verified,
        how=how,
        rows=rows,
        largest_difference=largest,
        largest_relative_difference=relative,
        tolerance=tolerance,
        bytes=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        versions=versions("torch"),
    )


def coefficients_of(subject: Subject, *, datasets: Path) -> tuple[bytes, Report]:
    """Write a linear model's coefficients in raw units, compared with the predictor's own outputs.

    Raises:
        ExportNotAvailable: The model is not linear in numbers.
        ExportFailed: They give something else than the predictor.
    """
    spec = subject.spec()
    tensors, preparation = weights.from_bytes(subject.parameters), weights.preparation_of(subject.parameters)
    linear = weights.coefficients(tensors, preparation, model=spec.model.type, loss=spec.loss)
    if linear is None:
        raise ExportNotAvailable("This model is not linear in its features: it has no coefficients.")
    code = preparation.target
    content = {
        "object": "coefficients",
        "model": spec.model.type,
        "target": list(code.names),
        "classes": None if spec.loss.roles else [class_of(one) for one in code.classes] or None,
        "gives": _GIVES.get(spec.loss.type, "value" if code.kind == "values" else "score"),
        "inputs": list(preparation.names),
        "coefficients": linear[0],
        "intercept": linear[1],
        "output_activation": spec.model.last_activation,
        "versions": versions("torch"),
    }
    data = orjson.dumps(content, option=orjson.OPT_INDENT_2)
    return data, _verified(subject, spec, preparation, linear, data=data, datasets=datasets)


_GIVES = {
    "BCEWithLogitsLoss": "logit",
    "CrossEntropyLoss": "logit",
    "MultiLabelSoftMarginLoss": "logit",
    "SoftMarginLoss": "logit",
    "PoissonNLLLoss": "logarithm of the rate, or the rate where log_input is false",
    "GaussianNLLLoss": "value, and the logarithm of its variance",
}
"""By loss: what intercept + sum of coefficient times input is; probabilities follow by sigmoid or softmax of logits."""


def _verified(
    subject: Subject,
    spec: JobSpec,
    preparation: Preparation,
    linear: weights.Coefficients,
    *,
    data: bytes,
    datasets: Path,
) -> Report:
    if spec.model.last_activation is not None or spec.loss.type == "GaussianNLLLoss":
        how = "Worked out from the tensors; what the network itself gives is bent further."
        return _report(ExportFormat.COEFFICIENTS, data, how, verified=False)
    predictor = Predictor(spec, subject.parameters)
    arrays, _ = rows_to_compare(spec, predictor, datasets=datasets)
    inputs = _inputs(preparation, arrays)
    expected = preparation.target.to_raw(predictor.outputs(arrays).double()).numpy()
    by_output = list(linear[0].values()) if isinstance(linear[1], dict) else [linear[0]]
    starts = list(linear[1].values()) if isinstance(linear[1], dict) else [linear[1]]
    pairs = zip(by_output, starts, strict=True)
    given = np.stack([inputs @ np.array(list(one.values())) + start for one, start in pairs], axis=1)
    largest = float(np.abs(given - expected).max(initial=0.0))
    scale = float(np.abs(expected).max(initial=0.0))
    relative, tolerance = largest / scale if scale else largest, TOLERANCES[preparation.dtype]
    if not relative <= tolerance * _amplification(preparation):
        raise ExportFailed(
            f"The coefficients give something else than the service: the largest difference is {largest:g}."
        )
    how = "intercept + sum of coefficient times input, held against what the service's network gives."
    return _report(
        ExportFormat.COEFFICIENTS,
        data,
        how,
        verified=True,
        rows=len(inputs),
        largest=largest,
        relative=relative,
        tolerance=tolerance * _amplification(preparation),
    )


def _amplification(preparation: Preparation) -> float:
    """Tell how much more raw units may round than scaled ones do: a mean far from 0 is taken off and put on again."""
    if not preparation.scale:
        return 1.0
    pairs = zip(preparation.shift, preparation.scale, strict=True)
    return max(1.0, *(1e-6 * abs(shift) / scale for shift, scale in pairs))


def _inputs(preparation: Preparation, arrays: dict[str, Any]) -> Any:  # noqa: ANN401 - an array
    """Give the inputs that the coefficients are of, in raw units: shape (rows, inputs)."""
    names = preparation.feature_names
    if preparation.is_image:
        return torch.from_numpy(np.asarray(arrays[names[0]], dtype=np.float64)).flatten(1).numpy()
    encoded = preparation.encoded(arrays, names).double().numpy()
    divisors = [one.divisor for one in preparation.inputs for _ in encoding.names(one)]
    return encoded * np.array(divisors) if len(divisors) == encoded.shape[1] else encoded
