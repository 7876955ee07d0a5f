"""The engine dense: steps that are written out are those of autograd."""

import functools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings

from tests.training.conformance import assert_conforms, both
from tests.training.jobs import all_finite, inline, job, trained, trainer
from tests.training.resumed import assert_same, pulses_at_every_chance, resumed, undisturbed
from tests.training.test_equality import JOBS, LOSSES, MODELS, OPTIMIZERS, Pair, is_comparable


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=JOBS)
def test_history_and_parameters_are_those_of_the_reference(chosen: dict[str, Any]) -> None:
    assume(is_comparable(chosen))
    # Normalization takes a bias before it away, so that its gradient is 0 but for rounding, whose sign Rprop follows.
    assume(chosen["optimizer"] != "Rprop" or "norm" not in chosen["model"])
    plan = Pair({**chosen, "dtype": "float64"}).sent
    (_, fit), (history, reference) = both(plan)
    assert fit.engine is not None
    assume(fit.engine.name == "dense")
    series = [one for name in history.columns for one in history[name]]
    assume(all_finite(series, reference.state_dict))
    assert_conforms(plan, engine="dense")


WRITTEN_OUT = {
    "linear",
    "mlp",
    "mlp of matrices",
    "mlp with dropout",
    "mlp with batch norm",
    "cnn",
    "cnn with batch norm",
}


@pytest.mark.parametrize("model", sorted(WRITTEN_OUT))
@pytest.mark.parametrize("loss", ["MSELoss", "CrossEntropyLoss", "BCEWithLogitsLoss", "HuberLoss"])
def test_usual_jobs_are_written_out(model: str, loss: str) -> None:
    assert MODELS[model]
    assert LOSSES[loss]
    chosen = {
        "model": model,
        "loss": loss,
        "optimizer": "Adam by default",
        "dtype": "float64",
        "batch_size": 4,
    }
    assert_conforms(Pair(chosen).sent, engine="dense")


ACTIVATIONS = ["ReLU", "Tanh", "Sigmoid", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "ReLU6", "Identity"]


@pytest.mark.parametrize("first", ACTIVATIONS)
@pytest.mark.parametrize("second", ["Tanh", "GELU", "Sigmoid"])
def test_activations_do_not_disturb_each_other(first: str, second: str) -> None:
    # In a row, on the rows themselves, and beside dropout: whatever one keeps the next one must leave alone.
    layers = [
        {"type": first}, {"type": "Linear", "out_features": 5}, {"type": first}, {"type": second},
        {"type": "Dropout", "p": 0.3}, {"type": second}, {"type": first}, {"type": "Linear"},
    ]  # fmt: skip
    plan = digits(model={"type": "sequential", "layers": layers})
    assert_conforms(plan, engine="dense")
    assert_conforms(plan, engine="dense")


def digits(**sections: Any) -> Any:  # noqa: ANN401 - sections of the spec
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(4, 30, generator=generator, dtype=torch.float64)
    columns = {f"x{i}": table[i].tolist() for i in range(3)} | {"y": (table[0] * table[1]).tolist()}
    training = {"dtype": "float64", "epochs": 6, "batch_size": 8, **sections.pop("training", {})}
    usual = {"optimizer": {"type": "Adam", "lr": 0.01}, "model": {"type": "mlp", "hidden": [6]}}
    return job(inline(columns), **{**usual, **sections, "training": training})


@pytest.mark.parametrize(
    ("pooling", "padding"), [("MaxPool2d", 1), ("MaxPool2d", 0), ("AvgPool2d", 1), ("AvgPool2d", 0)]
)
def test_convolutions_and_pools(pooling: str, padding: int) -> None:
    pool = {"type": pooling, "kernel_size": 3, "stride": 2, "padding": padding, "ceil_mode": bool(padding)}
    layers = [
        {"type": "Unflatten", "unflattened_size": [2, 6, 6]},
        {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1, "stride": 1, "groups": 2},
        {"type": "ReLU"}, pool, {"type": "Flatten"}, {"type": "Linear"},
    ]  # fmt: skip
    images = torch.randn(12, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = inline({"x": images.tolist(), "y": images.mean((1, 2, 3)).tolist()})
    training = {"dtype": "float64", "epochs": 4, "batch_size": 4}
    plan = job(
        data, model={"type": "sequential", "layers": layers[1:]}, optimizer={"type": "Adam"}, training=training,
        preprocessing={"arrays": "none"},
    )  # fmt: skip
    assert_conforms(plan, engine="dense")


@pytest.mark.parametrize(
    "optimizer",
    [
        name
        for name, one in OPTIMIZERS.items()
        if one["type"] not in {"LBFGS", "Muon", "Adafactor"} and "groups" not in one
    ],
)
def test_every_element_wise_optimizer(optimizer: str) -> None:
    assert_conforms(digits(optimizer=OPTIMIZERS[optimizer]), engine="dense")


@pytest.mark.parametrize("optimizer", ["SGD with momentum", "Adam", "RMSprop"])
def test_a_training_goes_on_from_any_checkpoint_to_the_same_bits(optimizer: str) -> None:
    layers = [
        {"type": "Linear", "out_features": 5}, {"type": "BatchNorm1d"}, {"type": "Tanh"},
        {"type": "Dropout", "p": 0.3}, {"type": "Linear"},
    ]  # fmt: skip
    plan = digits(
        model={"type": "sequential", "layers": layers}, optimizer=OPTIMIZERS[optimizer],
        scheduler={"type": "ExponentialLR", "gamma": 0.9}, training={"dtype": "float32"},
    )  # fmt: skip
    make = functools.partial(trainer, plan, engine="auto")
    with pulses_at_every_chance():
        whole = undisturbed(make)
        assert whole.fit.engine is not None
        assert whole.fit.engine.name == "dense"
        assert whole.pulses > 20
        for pulse in range(1, whole.pulses + 1):
            assert_same(resumed(make, [pulse]), whole, make)


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"optimizer": {"type": "LBFGS"}}, "looks at whole parameters"),
        ({"optimizer": {"type": "SGD", "lr": 0.1, "groups": [{"parameters": ["*bias"], "lr": 0.2}]}}, "their own"),
        ({"model": {"type": "sequential", "layers": [{"type": "LayerNorm"}, {"type": "Linear"}]}}, "LayerNorm"),
    ],
)  # fmt: skip
def test_what_is_not_written_out_is_left_to_the_reference(sections: dict[str, Any], why: str) -> None:
    _, fit = trained(digits(**sections), engine="auto")
    assert fit.engine is not None
    assert fit.engine.name == "eager"
    assert why in fit.engine.reason
