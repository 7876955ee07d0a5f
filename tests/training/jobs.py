"""Small jobs and their rows, for the tests of the training."""

import math
from typing import Any

import torch

from service.spec.plan import Plan
from service.training.callbacks import Callback, Pulse
from service.training.frames import load
from service.training.rows import DTYPES
from service.training.trainer import Fit, Trainer
from tests.spec.specs import changed, parsed, with_inline

STILL = {"type": "SGD", "lr": 1e-30}
"""An optimizer that changes nothing: a step is less than the last digit of any parameter."""


def job(data: dict[str, Any], **sections: Any) -> Plan:  # noqa: ANN401 - sections of any kind
    """An effective spec with these rows; a line fitted by SGD with the seed 0 unless said otherwise."""
    usual = {
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
    }
    training = {"epochs": 5, "seed": 0, **sections.pop("training", {})}
    return parsed({"data": data, **usual, "training": training, **sections})


def inline(columns: dict[str, Any], **selection: Any) -> dict[str, Any]:  # noqa: ANN401 - names, lists of them
    """Data that is sent by column; the target is y unless said otherwise."""
    chosen = {"target": "y"} | selection
    return {"type": "inline", "columns": columns} | {k: v for k, v in chosen.items() if v is not None}


def inline_job(
    *,
    rows: int = 8,
    features: int = 1,
    data_seed: int = 0,
    loss: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    bias: bool = True,
    **training: object,
) -> Plan:
    """The plan of a job with a few rows of standard normal numbers."""
    generator = torch.Generator().manual_seed(data_seed)
    table = torch.randn(features + 1, rows, generator=generator, dtype=torch.float64).tolist()
    columns = {**{f"x{i}": table[i] for i in range(features)}, "y": table[-1]}
    spec = with_inline(columns=columns, target="y")
    spec["loss"] = loss or {"type": "MSELoss"}
    spec["optimizer"] = optimizer or {"type": "SGD", "lr": 0.01}
    spec["model"] = {"type": "linear", "bias": bias}
    spec["training"] = {"epochs": 5, "seed": 0, **training}
    return parsed(spec)


def tensors_of(plan: Plan) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of an inline job as anybody would make tensors of them."""
    dtype, table = DTYPES[plan.spec.training.dtype], plan.spec.data.table
    features = torch.tensor([table[name] for name in plan.spec.data.feature_names()], dtype=torch.float64).T
    target = torch.tensor([table[name] for name in plan.spec.data.target_names], dtype=torch.float64).T
    # Copied: a column that was transposed counts as contiguous and keeps strides by which products round otherwise.
    features, target = (
        one.to(dtype).clone(memory_format=torch.contiguous_format) for one in (features, target)
    )
    return features, target


def synthetic_job(**data: object) -> Plan:
    """The plan of a job whose data is the tutorial's with changes."""
    spec = changed("/training/epochs", 3)
    spec["data"] |= data
    return parsed(spec)


def trainer(plan: Plan, *, engine: str = "eager", **options: Any) -> Trainer:  # noqa: ANN401 - callbacks, tensors to start from
    """A trainer over the rows that the plan names; by the reference engine unless another one is looked at."""
    training = plan.spec.training.model_copy(update={"engine": engine})
    return Trainer(plan.with_changes(training=training), load(plan.spec.data), **options)


class History(Callback):
    """Keeps every series that is told."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}

    def on_pulse(self, pulse: Pulse) -> None:
        for name, values in pulse.columns.items():
            self.columns.setdefault(name, []).extend(values)

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]


def trained(plan: Plan, **options: Any) -> tuple[History, Fit]:  # noqa: ANN401 - as for the trainer
    """Train, and give the history and what is left."""
    history = History()
    return history, trainer(plan, callbacks=[history], **options).fit()


def all_finite(values: list[float], tensors: dict[str, torch.Tensor]) -> bool:
    """Tell whether a training is one to compare: some optimizers divide by zero with parameters that torch allows."""
    return all(map(math.isfinite, values)) and all(bool(torch.isfinite(t).all()) for t in tensors.values())
