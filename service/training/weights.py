"""Trained tensors as safetensors bytes, with the preparation of their inputs; and what they mean."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
import torch

from service.spec.losses import LossSpec
from service.training import encoding
from service.training.naming import output_names, unique
from service.training.preparation import Preparation

__all__ = [
    "Coefficients",
    "coefficients",
    "from_bytes",
    "is_linear",
    "preparation_of",
    "to_bytes",
    "to_json",
]

PREPARATION = "fitd.preparation"
"""Key of the preparation's JSON among the metadata that the safetensors format allows for."""

Coefficients = tuple[dict[str, Any], Any]


def to_bytes(state_dict: Mapping[str, torch.Tensor], preparation: Preparation) -> bytes:
    """Pack tensors by state-dict name, and the preparation as metadata, in the safetensors format."""
    # One entry only: the library writes several in an order of chance, and equal models shall have equal bytes.
    return safetensors.torch.save(dict(state_dict), metadata={PREPARATION: preparation.model_dump_json()})


def from_bytes(data: bytes) -> dict[str, torch.Tensor]:
    """Unpack the tensors that `to_bytes` packed."""
    return safetensors.torch.load(data)


def preparation_of(data: bytes) -> Preparation:
    """Read the preparation that `to_bytes` packed: the file begins with its header's length and the header as JSON."""
    length = int.from_bytes(data[:8], "little")
    return Preparation.model_validate_json(json.loads(data[8 : 8 + length])["__metadata__"][PREPARATION])


def to_json(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Describe each tensor by shape, dtype and nested lists of its values."""
    return {
        name: {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "values": tensor.tolist(),
        }
        for name, tensor in state_dict.items()
    }


def coefficients(
    state_dict: Mapping[str, torch.Tensor],
    preparation: Preparation,
    *,
    model: str,
    loss: LossSpec | None = None,
) -> Coefficients | None:
    """Read a linear model's coefficients and intercept, in raw units.

    With inputs (x - s) / c and a target (y - t) / d, the weight w of an input is d·w/c in raw units and the
    bias b is t + d·(b - sum of w·s/c). The logarithm of a variance, which `GaussianNLLLoss` fits, has the
    weight w/c and the bias 2·ln(d) + b - sum of w·s/c: a variance in raw units is d² times the scaled one.

    Args:
        state_dict: The trained tensors.
        preparation: Of the inputs and the target.
        model: Type of the model in the spec.
        loss: Of the spec, by which outputs are named; None for one that gives one number for each target.

    Returns:
        Coefficients by input name and the intercept (0 where there is none); with several outputs, both by
        output name. Of inputs with one name, as the category `b` of `a` beside a column `a=b`, those after
        the first get ` (2)`, …. None for models that are not linear in their inputs.
    """
    weight = next((state_dict[name] for name in ("weight", "0.weight") if name in state_dict), None)
    if weight is None or not is_linear(model, weight.shape, preparation):
        return None
    bias = next((state_dict[name] for name in ("bias", "0.bias") if name in state_dict), None)
    rows = [
        _raw(preparation, number, row.tolist(), 0.0 if bias is None else float(bias[number]))
        for number, row in enumerate(weight)
    ]
    if len(rows) == 1:
        return rows[0]
    names = output_names(preparation.target, loss=loss, count=len(rows))
    return dict(zip(names, (one for one, _ in rows), strict=True)), dict(
        zip(names, (intercept for _, intercept in rows), strict=True)
    )


def is_linear(model: str, weight: Sequence[int], preparation: Preparation) -> bool:
    """Tell whether a model is linear in its inputs, by its type in the spec and the shape of its first weights."""
    is_known = model in {"linear", "polynomial", "logistic", "softmax"}
    return is_known and len(weight) == 2 and weight[1] == len(preparation.names)  # noqa: PLR2004 - a matrix


def _raw(
    preparation: Preparation, output: int, weights: Sequence[float], bias: float
) -> tuple[dict[str, float], float]:
    names = unique(preparation.names)
    divisors = [d for one in preparation.inputs for d in [one.divisor] * len(encoding.names(one))]
    if not preparation.scale and not preparation.target.scale and set(divisors) <= {1.0}:
        return dict(zip(names, weights, strict=True)), bias
    count = len(weights)
    shift, scale = preparation.shift or [0.0] * count, preparation.scale or [1.0] * count
    divisors = divisors if len(divisors) == count else [1.0] * count
    start, factor = _unit(preparation, output)
    per_unit = [w / c for w, c in zip(weights, scale, strict=True)]
    intercept = start + factor * (bias - sum(p * s for p, s in zip(per_unit, shift, strict=True)))
    raw = [factor * p / d for p, d in zip(per_unit, divisors, strict=True)]
    return dict(zip(names, raw, strict=True)), intercept


def _unit(preparation: Preparation, output: int) -> tuple[float, float]:
    """Give what is added to an output, and what it is multiplied by, to be in raw units."""
    shift, scale = preparation.target.shift, preparation.target.scale
    if not scale:
        return 0.0, 1.0
    if output < len(scale):
        return shift[output], scale[output]
    return 2 * math.log(scale[output - len(scale)]), 1.0
