"""Models and losses by name: as a job names them, and as anybody writes them in torch; and rows to train them on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.training.textbook import Loss

Floats = np.ndarray[Any, np.dtype[np.float64]]
CLASSES = ("amber", "blue", "cyan")


@dataclass(frozen=True)
class ModelCase:
    """A model: what is sent, and its layers by hand, given the inputs and the outputs of a row."""

    sent: dict[str, Any]
    layers: Callable[[int, int], list[nn.Module]]
    rows: str = "table"
    """What a row is: `table`, `image` (1 by 5 by 5) or `sequence` (4 by 2)."""
    only: frozenset[str] = frozenset()
    """Targets that it is made for; any where it is empty."""
    matrices: bool = False
    """Whether all its parameters are matrices."""
    batch_norm: bool = False


class Residual(nn.Module):
    """The sum of a branch and its input."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, nn.Sequential()

    def forward(self, values: Tensor) -> Tensor:
        total: Tensor = self.branch(values) + self.shortcut(values)
        return total


class Last(nn.LSTM):
    """The output of the last step."""

    def forward(self, values: Tensor) -> Tensor:  # type: ignore[override] # one tensor, not two
        return super().forward(values)[0][:, -1]


def _image_layers(*, norm: bool) -> Callable[[int, int], list[nn.Module]]:
    def layers(_: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(1, 3, 3, padding=1),
            *([nn.BatchNorm2d(3)] if norm else []),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(12, 4),
            nn.ReLU(),
            nn.Linear(4, outputs),
        ]

    return layers


_BLOCK = {"channels": 3, "pool": {"type": "MaxPool2d", "kernel_size": 2}}

MODELS: Mapping[str, ModelCase] = {
    "linear": ModelCase({"type": "linear"}, lambda n, k: [nn.Linear(n, k)]),
    "linear without bias": ModelCase(
        {"type": "linear", "bias": False}, lambda n, k: [nn.Linear(n, k, bias=False)], matrices=True
    ),
    "polynomial": ModelCase({"type": "polynomial", "degree": 2}, lambda n, k: [nn.Linear(n, k)]),
    "logistic": ModelCase(
        {"type": "logistic"}, lambda n, k: [nn.Linear(n, k)], only=frozenset({"binary", "labels", "signs"})
    ),
    "softmax": ModelCase(
        {"type": "softmax"}, lambda n, k: [nn.Linear(n, k)], only=frozenset({"classes", "distribution"})
    ),
    "mlp": ModelCase(
        {"type": "mlp", "hidden": [4, 3], "activation": "Tanh"},
        lambda n, k: [nn.Linear(n, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, k)],
    ),
    "mlp of matrices": ModelCase(
        {"type": "mlp", "hidden": [4], "bias": False},
        lambda n, k: [nn.Linear(n, 4, bias=False), nn.ReLU(), nn.Linear(4, k, bias=False)],
        matrices=True,
    ),
    "mlp with dropout": ModelCase(
        {"type": "mlp", "hidden": [5], "activation": "GELU", "dropout": 0.3},
        lambda n, k: [nn.Linear(n, 5), nn.GELU(), nn.Dropout(0.3), nn.Linear(5, k)],
    ),
    "mlp with batch norm": ModelCase(
        {"type": "mlp", "hidden": [4], "normalization": "batch"},
        lambda n, k: [nn.Linear(n, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, k)],
        batch_norm=True,
    ),
    "mlp with layer norm": ModelCase(
        {"type": "mlp", "hidden": [4], "normalization": "layer", "activation": "SiLU"},
        lambda n, k: [nn.Linear(n, 4), nn.LayerNorm(4), nn.SiLU(), nn.Linear(4, k)],
    ),
    "cnn": ModelCase(
        {"type": "cnn", "blocks": [_BLOCK], "head": [4]}, _image_layers(norm=False), rows="image"
    ),
    "cnn with batch norm": ModelCase(
        {"type": "cnn", "blocks": [{**_BLOCK, "normalization": "batch"}], "head": [4]},
        _image_layers(norm=True),
        rows="image",
        batch_norm=True,
    ),
    "sequential with a residual layer": ModelCase(
        {
            "type": "sequential",
            "layers": [
                {"type": "Linear", "out_features": 4},
                {"type": "residual", "layers": [{"type": "Linear", "out_features": 4}, {"type": "Tanh"}]},
                {"type": "Linear"},
            ],
        },
        lambda n, k: [
            nn.Linear(n, 4),
            Residual(nn.Sequential(nn.Linear(4, 4), nn.Tanh())),
            nn.Linear(4, k),
        ],
    ),
    "sequential with an LSTM": ModelCase(
        {"type": "sequential", "layers": [{"type": "LSTM", "hidden_size": 3}, {"type": "Linear"}]},
        lambda _, k: [Last(2, 3, batch_first=True), nn.Linear(3, k)],
        rows="sequence",
    ),
}


@dataclass(frozen=True)
class Target:
    """Target columns as they are sent, and as the loss takes them."""

    columns: dict[str, list[Any]]
    tensor: Tensor


def _numbers(rng: np.random.Generator, rows: int, width: int) -> Target:
    values = rng.normal(size=(rows, width))
    return Target({f"y{i}": values[:, i].tolist() for i in range(width)}, torch.from_numpy(values))


def _counts(rng: np.random.Generator, rows: int, width: int) -> Target:
    values = rng.poisson(3.0, size=(rows, width)).astype(np.float64)
    values[:2] = [[0.0] * width, [1.0] * width]
    return Target({f"y{i}": values[:, i].tolist() for i in range(width)}, torch.from_numpy(values))


def _classes(rng: np.random.Generator, rows: int, _: int) -> Target:
    codes = np.concatenate([np.arange(3), rng.integers(0, 3, rows - 3)])
    return Target({"y": [CLASSES[code] for code in codes]}, torch.from_numpy(codes))


def _bits(rng: np.random.Generator, rows: int, width: int) -> Floats:
    values = rng.integers(0, 2, (rows, width)).astype(np.float64)
    values[0], values[1] = 0.0, 1.0
    return values


def _yes_or_no(rng: np.random.Generator, rows: int, width: int) -> Target:
    values = _bits(rng, rows, width)
    return Target({f"y{i}": values[:, i].tolist() for i in range(width)}, torch.from_numpy(values))


def _signs(rng: np.random.Generator, rows: int, _: int) -> Target:
    values = 2 * _bits(rng, rows, 1) - 1
    return Target({"y": values[:, 0].tolist()}, torch.from_numpy(values))


def _distribution(rng: np.random.Generator, rows: int, _: int) -> Target:
    values = rng.dirichlet([1.0, 2.0, 1.0], rows)
    return Target({f"y{i}": values[:, i].tolist() for i in range(3)}, torch.from_numpy(values))


def _label_indices(rng: np.random.Generator, rows: int, _: int) -> Target:
    marks = _bits(rng, rows, 3)
    listed = [[i for i in range(3) if row[i]] for row in marks]
    padded = torch.tensor([one + [-1] * (3 - len(one)) for one in listed])
    return Target({f"y{i}": marks[:, i].tolist() for i in range(3)}, padded)


TARGETS: Mapping[str, Callable[[np.random.Generator, int, int], Target]] = {
    "numbers": _numbers,
    "counts": _counts,
    "classes": _classes,
    "binary": lambda rng, rows, _: _yes_or_no(rng, rows, 1),
    "labels": lambda rng, rows, _: _yes_or_no(rng, rows, 3),
    "signs": _signs,
    "distribution": _distribution,
    "label_indices": _label_indices,
}


@dataclass(frozen=True)
class LossCase:
    """A loss: what is sent, how it is called, and what network it wants.

    `rows` gives the loss of each row, where that is no more than torch's own with `reduction="none"`.
    """

    sent: dict[str, Any]
    target: str
    by_hand: Loss
    outputs: Callable[[int], int] = lambda targets: targets
    activation: tuple[str, Callable[[], nn.Module]] | None = None
    rows: Loss | None = None


def _of(module: nn.Module) -> Loss:
    return lambda network, features, target: module(network(features), target)


def _mean_of_row(module: nn.Module) -> Loss:
    return lambda network, features, target: module(network(features), target).flatten(1).mean(1)


def _gaussian(network: nn.Module, features: Tensor, target: Tensor) -> Tensor:
    mean, log_variance = network(features).chunk(2, dim=1)
    return functional.gaussian_nll_loss(mean, target, log_variance.exp())


def _three(_: int) -> int:
    return 3


_LOG_SOFTMAX = ("LogSoftmax", lambda: nn.LogSoftmax(-1))
_SIGMOID = ("Sigmoid", nn.Sigmoid)

LOSSES: Mapping[str, LossCase] = {
    "MSELoss": LossCase(
        {"type": "MSELoss"}, "numbers", _of(nn.MSELoss()), rows=_mean_of_row(nn.MSELoss(reduction="none"))
    ),
    "L1Loss": LossCase(
        {"type": "L1Loss"}, "numbers", _of(nn.L1Loss()), rows=_mean_of_row(nn.L1Loss(reduction="none"))
    ),
    "SmoothL1Loss": LossCase(
        {"type": "SmoothL1Loss", "beta": 0.5}, "numbers", _of(nn.SmoothL1Loss(beta=0.5))
    ),
    "HuberLoss": LossCase({"type": "HuberLoss", "delta": 0.5}, "numbers", _of(nn.HuberLoss(delta=0.5))),
    "PoissonNLLLoss": LossCase({"type": "PoissonNLLLoss"}, "counts", _of(nn.PoissonNLLLoss())),
    "GaussianNLLLoss": LossCase(
        {"type": "GaussianNLLLoss"}, "numbers", _gaussian, outputs=lambda targets: 2 * targets
    ),
    "CrossEntropyLoss": LossCase(
        {"type": "CrossEntropyLoss", "label_smoothing": 0.1},
        "classes",
        _of(nn.CrossEntropyLoss(label_smoothing=0.1)),
        outputs=_three,
        rows=_of(nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")),
    ),
    "NLLLoss": LossCase(
        {"type": "NLLLoss"}, "classes", _of(nn.NLLLoss()), outputs=_three, activation=_LOG_SOFTMAX
    ),
    "MultiMarginLoss": LossCase(
        {"type": "MultiMarginLoss"}, "classes", _of(nn.MultiMarginLoss()), outputs=_three
    ),
    "KLDivLoss": LossCase(
        {"type": "KLDivLoss"},
        "distribution",
        _of(nn.KLDivLoss(reduction="batchmean")),
        outputs=_three,
        activation=_LOG_SOFTMAX,
    ),
    "BCELoss": LossCase({"type": "BCELoss"}, "binary", _of(nn.BCELoss()), activation=_SIGMOID),
    "BCEWithLogitsLoss": LossCase(
        {"type": "BCEWithLogitsLoss"},
        "binary",
        _of(nn.BCEWithLogitsLoss()),
        rows=_mean_of_row(nn.BCEWithLogitsLoss(reduction="none")),
    ),
    "BCEWithLogitsLoss of labels": LossCase(
        {"type": "BCEWithLogitsLoss"}, "labels", _of(nn.BCEWithLogitsLoss()), outputs=_three
    ),
    "MultiLabelSoftMarginLoss": LossCase(
        {"type": "MultiLabelSoftMarginLoss"}, "labels", _of(nn.MultiLabelSoftMarginLoss()), outputs=_three
    ),
    "SoftMarginLoss": LossCase({"type": "SoftMarginLoss"}, "signs", _of(nn.SoftMarginLoss())),
    "HingeEmbeddingLoss": LossCase(
        {"type": "HingeEmbeddingLoss"},
        "signs",
        _of(nn.HingeEmbeddingLoss()),
        activation=("Softplus", nn.Softplus),
    ),
    "MultiLabelMarginLoss": LossCase(
        {"type": "MultiLabelMarginLoss"}, "label_indices", _of(nn.MultiLabelMarginLoss()), outputs=_three
    ),
}
"""Those of one input; `test_equality_comparisons.py` has the others."""


def fits(model: ModelCase, loss: LossCase) -> bool:
    """Tell whether the service takes the two together: some models are made for some targets only."""
    return not model.only or loss.target in model.only


@dataclass(frozen=True)
class Features:
    """Feature columns as they are sent, and what the network is to get for them, in float64."""

    columns: dict[str, list[Any]]
    table: Floats


def features_for(kind: str, rng: np.random.Generator, rows: int, width: int) -> Features:
    """Draw rows of a kind; a table has so many columns."""
    shapes = {"image": (rows, 1, 5, 5), "sequence": (rows, 4, 2)}
    if kind in shapes:
        values = rng.normal(size=shapes[kind])
        return Features({"x": values.tolist()}, values)
    values = rng.normal(2.0, 1.5, size=(rows, width))
    return Features({f"x{i}": values[:, i].tolist() for i in range(width)}, values)


def second_degree(table: Floats) -> Floats:
    """The terms of a polynomial of the second degree: x, z, x², xz, z²."""
    width = table.shape[1]
    products = [table[:, i] * table[:, j] for i in range(width) for j in range(i, width)]
    return np.column_stack([*(table[:, i] for i in range(width)), *products])
