"""Trained tensors as safetensors bytes, and what they mean for a linear model."""

from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
import torch

__all__ = ["coefficients", "from_bytes", "to_bytes", "to_json"]


def to_bytes(state_dict: Mapping[str, torch.Tensor]) -> bytes:
    """Pack tensors by state-dict name in the safetensors format."""
    return safetensors.torch.save(dict(state_dict))


def from_bytes(data: bytes) -> dict[str, torch.Tensor]:
    """Unpack what `to_bytes` packed."""
    return safetensors.torch.load(data)


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
    state_dict: Mapping[str, torch.Tensor], feature_names: Sequence[str]
) -> tuple[dict[str, float], float]:
    """Read a linear model's coefficients by feature name, and its intercept (0 where it has none)."""
    weight, bias = state_dict["weight"], state_dict.get("bias")
    by_name = dict(zip(feature_names, weight[0].tolist(), strict=True))
    return by_name, 0.0 if bias is None else float(bias[0])
