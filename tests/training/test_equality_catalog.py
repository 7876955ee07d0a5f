"""Every name of the catalog is trained; a new one without a case here fails."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.spec.catalog import catalog
from service.spec.optimizers import OptimizerSpec
from tests.training.jobs import inline, job, trained
from tests.training.lessons import LOSSES, MODELS
from tests.training.test_equality import OPTIMIZERS, SCHEDULERS, Pair, assert_equal, finished, is_comparable
from tests.training.test_equality_comparisons import COMPARISONS

NAMES = {kind: [str(entry["name"]) for entry in entries] for kind, entries in catalog().items()}
ROWS = 8
RNG = np.random.default_rng(0)
Y = RNG.normal(size=ROWS).tolist()
SHAPES: dict[str, tuple[int, ...]] = {
    "numbers": (6,), "sequence": (4, 6), "image": (2, 6, 6), "volume": (2, 4, 4, 4), "codes": (5,),
}  # fmt: skip
INPUTS: dict[str, Any] = {kind: RNG.normal(size=(ROWS, *shape)) for kind, shape in SHAPES.items()}
INPUTS["codes"] = RNG.integers(0, 7, (ROWS, 5))

# The rows that each layer takes, and the fields that it needs; all others take numbers, and need nothing.
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Linear": ("numbers", {"out_features": 3}),
    "Conv1d": ("sequence", {"out_channels": 3, "kernel_size": 3}),
    "Conv2d": ("image", {"out_channels": 3, "kernel_size": 3}),
    "Conv3d": ("volume", {"out_channels": 3, "kernel_size": 3}),
    "ConvTranspose1d": ("sequence", {"out_channels": 3, "kernel_size": 3}),
    "ConvTranspose2d": ("image", {"out_channels": 3, "kernel_size": 3}),
    "MaxPool1d": ("sequence", {"kernel_size": 2}),
    "MaxPool2d": ("image", {"kernel_size": 2}),
    "AvgPool1d": ("sequence", {"kernel_size": 2}),
    "AvgPool2d": ("image", {"kernel_size": 2}),
    "AdaptiveAvgPool1d": ("sequence", {"output_size": 2}),
    "AdaptiveAvgPool2d": ("image", {"output_size": 2}),
    "AdaptiveMaxPool1d": ("sequence", {"output_size": 2}),
    "AdaptiveMaxPool2d": ("image", {"output_size": 2}),
    "BatchNorm2d": ("image", {}),
    "GroupNorm": ("image", {"num_groups": 2}),
    "InstanceNorm1d": ("sequence", {}),
    "InstanceNorm2d": ("image", {}),
    "Dropout1d": ("sequence", {}),
    "Dropout2d": ("image", {}),
    "Unflatten": ("numbers", {"dim": 1, "unflattened_size": [2, 3]}),
    "Upsample": ("image", {"scale_factor": 2.0}),
    "ZeroPad2d": ("image", {"padding": 1}),
    "Embedding": ("codes", {"num_embeddings": 7, "embedding_dim": 3}),
    "RNN": ("sequence", {"hidden_size": 3}),
    "LSTM": ("sequence", {"hidden_size": 3}),
    "GRU": ("sequence", {"hidden_size": 3}),
    "TransformerEncoderLayer": ("sequence", {"nhead": 2, "dim_feedforward": 8}),
    "residual": ("numbers", {"layers": [{"type": "Linear", "out_features": 6}]}),
    "Threshold": ("numbers", {"threshold": 0.1, "value": 0.0}),
}
AUGMENTATION: dict[str, dict[str, Any]] = {
    "noise": {"std": 0.1}, "flip": {}, "shift": {"pixels": 1}, "rotation": {"degrees": 10.0},
}  # fmt: skip
SPLITS: dict[str, dict[str, Any]] = {
    "random": {"dev": 0.25}, "order": {"dev": 0.25}, "column": {"column": "part"},
}  # fmt: skip
INITIALIZERS: dict[str, dict[str, Any]] = {"constant_": {"val": 0.1}, "sparse_": {"sparsity": 0.5}}


def assert_trained(**sections: Any) -> None:  # noqa: ANN401 - sections of any kind
    """Train; the loss is a number in every epoch, and something was learnt."""
    history, fit = trained(job(**sections))
    assert fit.stop_reason == "completed"
    assert all(math.isfinite(loss) for loss in history["train_loss"])
    assert history["train_loss"][-1] != history["train_loss"][0]


@pytest.mark.parametrize("name", NAMES["layers"])
def test_every_layer_trains(name: str) -> None:
    kind, fields = LAYERS.get(name, ("numbers", {}))
    layer = {"type": name, **fields}
    # Something to learn stands before a layer of numbers that has no parameters, and behind every layer.
    first = [{"type": "Linear", "out_features": 6}] if kind == "numbers" else []
    layers = [*first, layer, {"type": "Flatten"}, {"type": "Linear"}]
    assert_trained(
        data=inline({"x": INPUTS[kind].tolist(), "y": Y}), model={"type": "sequential", "layers": layers}
    )


@pytest.mark.parametrize("name", NAMES["initializers"])
def test_every_initializer_starts_the_weights_as_torch_does(name: str) -> None:
    initializer = {"type": name, **INITIALIZERS.get(name, {})}
    kind = "image" if name == "dirac_" else "numbers"
    layer = (
        {"type": "Conv2d", "out_channels": 3, "kernel_size": 3}
        if kind == "image"
        else {"type": "Linear", "out_features": 3}
    )
    model = {
        "type": "sequential",
        "layers": [layer, {"type": "Flatten"}, {"type": "Linear"}],
        "init": {"weight": initializer},
    }
    still = {"type": "SGD", "lr": 1e-30}
    data = inline({"x": INPUTS[kind].tolist(), "y": Y})
    fit = trained(job(data, model=model, optimizer=still, training={"epochs": 1}))[1]

    torch.manual_seed(0)
    made = nn.Conv2d(2, 3, 3) if kind == "image" else nn.Linear(6, 3)
    by_hand = nn.Sequential(made, nn.Flatten(), nn.Linear(48 if kind == "image" else 3, 1))
    for weight in (made.weight, by_hand[2].weight):
        if name != "dirac_" or weight.ndim > 2:
            values = {key: value for key, value in initializer.items() if key != "type"}
            getattr(nn.init, name)(weight, **values)
    # The one still step moves a weight that is exactly 0 by about 1e-30.
    torch.testing.assert_close(fit.state_dict["0.weight"], made.weight.detach(), rtol=0, atol=1e-28)
    torch.testing.assert_close(fit.state_dict["2.weight"], by_hand[2].weight.detach(), rtol=0, atol=1e-28)


@pytest.mark.parametrize("name", NAMES["augmentation"])
def test_every_augmentation_trains(name: str) -> None:
    training = {"augmentation": [{"type": name, **AUGMENTATION[name]}]}
    model = {"type": "cnn", "blocks": [{"channels": 2}]}
    assert_trained(data=inline({"x": INPUTS["image"].tolist(), "y": Y}), model=model, training=training)


@pytest.mark.parametrize("name", NAMES["splits"])
def test_every_split_trains(name: str) -> None:
    columns = {"x": Y[::-1], "part": ["train", "dev", "train", "test"] * 2, "y": Y}
    features = {} if name == "column" else {"features": ["x"]}
    split = {"type": name, **SPLITS[name]}
    history, fit = trained(job(inline(columns, **features), evaluation={"split": split}))
    assert all(math.isfinite(loss) for loss in history["dev_loss"])
    assert len(fit.parts.dev) == 2


BUILT_IN = [name for name in NAMES["models"] if name in {case.sent["type"] for case in MODELS.values()}]


def test_every_model_of_the_service_has_its_lesson() -> None:
    assert {case.sent["type"] for case in MODELS.values()} <= set(NAMES["models"])
    from service.spec.models import BuiltInModel

    assert len(BUILT_IN) == len(BuiltInModel.__args__)


def test_every_optimizer_and_scheduler_has_its_lesson() -> None:
    assert {one["type"] for one in OPTIMIZERS.values()} == set(NAMES["optimizers"])
    assert {one["type"] for one in SCHEDULERS.values() if one} == set(NAMES["schedulers"])
    assert {case.sent["type"] for case in LOSSES.values()} | COMPARISONS.keys() | {"CTCLoss"} == set(
        NAMES["losses"]
    )


def equals(chosen: dict[str, Any]) -> None:
    assert is_comparable(chosen)
    pair = Pair(chosen)
    lesson = pair.lesson
    assert finished(lesson)
    assert_equal(pair, lesson)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", ["full", 3])
def test_every_optimizer_equals_torch(optimizer: str, batch_size: object) -> None:
    equals({"model": "mlp of matrices", "loss": "MSELoss", "optimizer": optimizer, "batch_size": batch_size})


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("dev", [0.0, 0.25])
def test_every_scheduler_equals_torch(scheduler: str, dev: float) -> None:
    equals(
        {
            "model": "mlp",
            "loss": "MSELoss",
            "optimizer": "SGD",
            "scheduler": scheduler,
            "dev": dev,
            "batch_size": 3,
            "epochs": 6,
        }
    )


@pytest.mark.parametrize("model", MODELS)
def test_every_model_equals_torch(model: str) -> None:
    for loss in ("MSELoss", "CrossEntropyLoss", "BCEWithLogitsLoss"):
        chosen = {"model": model, "loss": loss, "optimizer": "Adam", "dev": 0.25, "batch_size": 4}
        if is_comparable(chosen):
            equals(chosen)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_equals_torch(loss: str) -> None:
    equals({"model": "mlp", "loss": loss, "optimizer": "AdamW", "dev": 0.25, "batch_size": 4})


@pytest.mark.parametrize("scheduler", ["CyclicLR", "OneCycleLR"])
@pytest.mark.parametrize("optimizer", ["SGD with momentum", "Adam"])
def test_a_cycle_moves_the_momentum_too(
    scheduler: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = {**(SCHEDULERS[scheduler] or {}), "cycle_momentum": True}
    monkeypatch.setitem(SCHEDULERS, "moving", moving)
    equals(
        {"model": "linear", "loss": "MSELoss", "optimizer": optimizer, "scheduler": "moving", "batch_size": 3}
    )


def test_the_learning_rate_by_default_is_torchs_own() -> None:
    adapter: TypeAdapter[OptimizerSpec] = TypeAdapter(OptimizerSpec)
    parameter = nn.Parameter(torch.zeros(2, 2))
    for name in NAMES["optimizers"]:
        ours = adapter.validate_json(json.dumps({"type": name})).lr
        assert getattr(torch.optim, name)([parameter]).param_groups[0]["lr"] == ours
