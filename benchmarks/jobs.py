"""The jobs that are measured: each as a spec with its rows for fitd, and as network and tensors for a torch user."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmarks import ROOT
from service.spec.intake import parse
from service.spec.limits import Limits
from service.spec.plan import Plan
from service.spec.schema import Column, Schema
from service.tables.figures import Figures
from service.tables.frame import Array, Frame
from service.training.frames import load

__all__ = ["TUTORIAL", "Job", "jobs"]

TUTORIAL: dict[str, Any] = json.loads((ROOT / "examples" / "tutorial.json").read_bytes())
Columns = Callable[[Any], Mapping[str, Array]]
Rows = tuple[Columns, Any]
BLOCK_ROWS = 2**18
LIMITS = Limits(max_job_bytes=2**33)


@dataclass(frozen=True, eq=False)
class Job:
    """One job, or several of one shape.

    Attributes:
        name: As in the tables.
        what: The job in some words.
        spec: As it is posted, but for the choice of the engine.
        network: Builds what the spec means, from torch's global generator.
        loss: Torch's loss.
        rows: What gives the columns of a stored dataset, the target last, and how many or of which shape; None
            where the spec draws its own.
        members: 1, or jobs that differ in seed and learning rate only.
        is_long: Whether the loop takes so long that few rounds have to do.
        check: What is changed for the comparison in float64, where the job is too large for it.
    """

    name: str
    what: str
    spec: Mapping[str, Any]
    network: Callable[[], nn.Module]
    loss: nn.Module
    rows: Rows | None = None
    members: int = 1
    is_long: bool = False
    check: Mapping[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> Mapping[str, Any]:
        """The spec's section of this name."""
        section: Mapping[str, Any] = self.spec["training"]
        return section

    @property
    def checked(self) -> "Job":
        """The job whose parameters are compared in float64."""
        return replace(self, **self.check)

    def each(self) -> "list[Job]":
        """Give the members: seeds count on, learning rates go from a half of the job's own to one and a half."""
        if self.members == 1:
            return [self]
        shares = np.linspace(0.5, 1.5, self.members).tolist()
        return [self._member(seed, share) for seed, share in enumerate(shares)]

    def _member(self, seed: int, share: float) -> "Job":
        optimizer = {**self.spec["optimizer"], "lr": share * self.spec["optimizer"]["lr"]}
        training = {**self.training, "seed": seed}
        return replace(self, spec={**self.spec, "optimizer": optimizer, "training": training}, members=1)

    def plan(self, **training: object) -> Plan:
        """Give the plan of the effective spec, with changes to its section `training`."""
        spec = {**self.spec, "training": {**self.training, **training}}
        return parse(json.dumps(spec).encode(), LIMITS, _Shelf(self.frame.schema))

    @cached_property
    def frame(self) -> Frame:
        """The rows as fitd has them."""
        if self.rows is not None:
            return _stored(*self.rows)
        return load(parse(json.dumps(self.spec).encode(), LIMITS).spec.data)

    @property
    def size(self) -> str:
        """Rows and features, for the tables."""
        return f"{len(self.frame):,} x {len(self.frame.arrays) - 1}"

    def tensors(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the rows as a torch user has them: features of shape (rows, …), and numbers (rows, 1) or classes (rows,)."""
        *columns, target = (torch.from_numpy(values) for values in self.frame.arrays.values())
        x = columns[0] if columns[0].ndim > 1 else torch.stack(columns, dim=1)
        y = target.to(dtype).unsqueeze(1) if target.is_floating_point() else target
        return x.to(dtype).contiguous(), y


class _Shelf:
    """A library of one dataset."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def dataset(self, _: str, /) -> tuple[Schema, str]:
        return self._schema, "0" * 64

    def has_parameters(self, _: str, /) -> bool:
        return False


@cache
def _stored(columns: Columns, wanted: Any) -> Frame:  # noqa: ANN401 - what the columns are made of
    arrays = columns(wanted)
    described = tuple(_described(name, values) for name, values in arrays.items())
    return Frame(Schema(rows=len(next(iter(arrays.values()))), columns=described), arrays)


def _described(name: str, values: Array) -> Column:
    figures = Figures()
    for start in range(0, len(values), BLOCK_ROWS):
        figures.see(values[start : start + BLOCK_ROWS])
    kind = "array" if values.ndim > 1 else "number"
    return figures.described(Column(name=name, kind=kind, dtype=str(values.dtype), shape=values.shape[1:]))


def _linear_rows(rows: int, features: int = 20) -> tuple[Array, Array]:
    """Draw standard normal features of shape (rows, features) and a noisy linear target (rows,), both float32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features), dtype=np.float32)
    weight = rng.standard_normal(features, dtype=np.float32)
    return x, x @ weight + 1 + np.float32(0.1) * rng.standard_normal(rows, dtype=np.float32)


def _as_numbers(rows: int) -> Mapping[str, Array]:
    """A column for each feature, as of a CSV file."""
    x, y = _linear_rows(rows)
    return {**{f"x{i}": np.ascontiguousarray(x[:, i]) for i in range(x.shape[1])}, "y": y}


def _as_vectors(rows: int) -> Mapping[str, Array]:
    """One column of vectors, as of a file of arrays."""
    x, y = _linear_rows(rows)
    return {"x": x, "y": y}


def _digits(shape: tuple[int, ...]) -> Mapping[str, Array]:
    """The 1,797 handwritten digits that scikit-learn brings, from 0 to 1."""
    found = load_digits()
    return {"x": (found.data / 16).astype(np.float32).reshape(-1, *shape), "y": found.target.astype(np.int64)}


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def _digits_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )


_CNN_LAYERS = [
    *({"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1}, {"type": "ReLU"}),
    {"type": "MaxPool2d", "kernel_size": 2},
    *({"type": "Conv2d", "out_channels": 16, "kernel_size": 3, "padding": 1}, {"type": "ReLU"}),
    *({"type": "MaxPool2d", "kernel_size": 2}, {"type": "Flatten"}, {"type": "Linear"}),
]
_CNN = {"type": "sequential", "layers": _CNN_LAYERS}
_SGD = {"type": "SGD", "lr": 0.05}
_MOMENTUM = {"type": "SGD", "lr": 0.05, "momentum": 0.9}
_ADAM = {"type": "Adam", "lr": 0.001}
_LINEAR = {"type": "linear"}


def _spec(model: Any, optimizer: Any, *, epochs: int, batch: int | str, loss: str = "MSELoss") -> Any:  # noqa: ANN401 - sections of a spec
    return {
        "data": {"type": "dataset", "id": "ds_1", "target": "y"},
        "model": model,
        "loss": {"type": loss},
        "optimizer": optimizer,
        "training": {"epochs": epochs, "batch_size": batch, "seed": 0},
    }


def _all() -> list[Job]:
    mse, entropy = nn.MSELoss(), nn.CrossEntropyLoss()
    plane, numbers, vectors = partial(nn.Linear, 20, 1), (_as_numbers, 100_000), (_digits, (64,))
    regression = _spec(_LINEAR, {**_ADAM, "lr": 0.01}, epochs=5, batch=256)
    perceptron = _spec({"type": "mlp", "hidden": [64, 64]}, _ADAM, epochs=3, batch=256)
    classes = partial(_spec, epochs=30, batch=64, loss="CrossEntropyLoss")
    digit, image = classes({"type": "mlp", "hidden": [64]}, _MOMENTUM), classes(_CNN, _ADAM)
    descent = _spec(_LINEAR, _SGD, epochs=100, batch="full")
    j1 = Job(
        "J1", "tutorial's line, 256 x 1, 3,000 full-batch epochs", TUTORIAL, partial(nn.Linear, 1, 1), mse
    )
    j2 = Job("J2", "line 100,000 x 20, batch 256, Adam, 5 epochs", regression, plane, mse, numbers)
    j3 = Job(
        "J3", "MLP 20-64-64-1 on the rows of J2, batch 256, Adam, 3 epochs", perceptron, _mlp, mse, numbers
    )
    j4 = Job(
        "J4", "digits, MLP 64-64-10, batch 64, momentum, 30 epochs", digit, _digits_mlp, entropy, vectors
    )
    j5 = Job("J5", "digits, small CNN, batch 64, Adam, 30 epochs", image, _cnn, entropy, (_digits, (1, 8, 8)))
    j7 = Job(
        "J7", "line 5,000,000 x 20, 100 full-batch epochs", descent, plane, mse, (_as_vectors, 5_000_000)
    )
    stack: dict[str, Any] = {"members": 64, "is_long": True, "check": {"members": 8}}
    return [
        *(j1, j2, j3, j4, j5),
        replace(j1, name="J6a", what="64 x J1, other seeds and rates", **stack),
        replace(j4, name="J6b", what="64 x J4, other seeds and rates", **stack),
        replace(j7, is_long=True, check={"rows": (_as_vectors, 500_000)}),
    ]


def jobs(*, quick: bool = False) -> list[Job]:
    """Give the measured jobs, or tiny ones of the same kinds that take no time."""
    return [_tiny(job) for job in _all()] if quick else _all()


def _tiny(job: Job) -> Job:
    epochs = 20 if job.training["batch_size"] == "full" else 2
    rows = job.rows
    if rows is not None and isinstance(rows[1], int):
        rows = rows[0], 2_000
    spec = {**job.spec, "training": {**job.training, "epochs": epochs}}
    return replace(job, spec=spec, rows=rows, members=min(job.members, 3), check={})
