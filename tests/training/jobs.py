"""Small jobs and their rows, for the tests of the training."""

from typing import Any

import torch

from service.spec.job import JobSpec, complete
from service.training.data import DTYPES
from tests.spec.specs import changed, parsed, with_inline


def inline_job(
    *,
    rows: int = 8,
    features: int = 1,
    data_seed: int = 0,
    loss: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    bias: bool = True,
    **training: object,
) -> JobSpec:
    """An effective spec with a few rows of standard normal numbers."""
    generator = torch.Generator().manual_seed(data_seed)
    table = torch.randn(features + 1, rows, generator=generator, dtype=torch.float64).tolist()
    columns = {**{f"x{i}": table[i] for i in range(features)}, "y": table[-1]}
    spec = with_inline(columns=columns, target="y")
    spec["loss"] = loss or {"type": "MSELoss"}
    spec["optimizer"] = optimizer or {"type": "SGD", "lr": 0.01}
    spec["model"] = {"type": "linear", "bias": bias}
    spec["training"] = {"epochs": 5, "seed": 0, **training}
    return complete(parsed(spec))


def tensors_of(spec: JobSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of an inline job as anybody would make tensors of them."""
    dtype, table = DTYPES[spec.training.dtype], spec.data.table
    features = torch.tensor([table[name] for name in spec.data.feature_names], dtype=torch.float64).T
    target = torch.tensor([table[spec.data.target_name]], dtype=torch.float64).T
    return features.to(dtype).contiguous(), target.to(dtype).contiguous()


def synthetic_job(**data: object) -> JobSpec:
    """An effective spec whose data is the tutorial's with changes."""
    spec = changed("/training/epochs", 3)
    spec["data"] |= data
    return complete(parsed(spec))
