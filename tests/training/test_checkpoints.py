"""A job that goes on from a checkpoint is, to the last bit, the job that was never disturbed."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from service.spec.plan import Plan
from tests.spec.specs import parsed
from tests.training.jobs import inline, inline_job, job, trainer
from tests.training.lessons import MODELS
from tests.training.resumed import Make, assert_same, pulses_at_every_chance, resumed, undisturbed
from tests.training.test_equality import JOBS, OPTIMIZERS, SCHEDULERS, Pair, is_comparable


@pytest.fixture(autouse=True, scope="module")
def _pulses() -> Iterator[None]:
    with pulses_at_every_chance():
        yield


def of(plan: Plan) -> Make:
    return functools.partial(trainer, plan)


def check(make: Make, *shares: float) -> None:
    """Interrupt a job at some shares of its pulses, from 0 to 1."""
    whole = undisturbed(make)
    pulses = sorted({1 + int(share * (whole.pulses - 1)) for share in shares})
    assert_same(resumed(make, pulses), whole, make)


SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=2)

EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "repeated": st.sampled_from(["restarts", "folds"]),
        "augmented": st.booleans(),
        "every": st.integers(1, 3),
    },
)


def plan_of(chosen: dict[str, Any], extras: dict[str, Any]) -> Plan:
    """A job of the equality tests, with what those have no textbook for."""
    plan = Pair(chosen).sent
    spec = json.loads(plan.spec.model_dump_json())
    if extras.get("repeated") == "restarts":
        spec["training"]["restarts"] = 2
    elif extras.get("repeated") == "folds" and spec["evaluation"]["split"] is None:
        spec["evaluation"]["folds"] = {"k": 3}
        spec["training"]["drop_last"] = spec["training"]["batch_size"] != "full"
    if extras.get("augmented"):
        is_image = MODELS[chosen["model"]].rows == "image"
        spec["training"]["augmentation"] = [{"type": "noise", "std": 0.1}] + [{"type": "flip"}] * is_image
    if "every" in extras and (spec["evaluation"]["split"] or spec["evaluation"]["folds"]):
        spec["evaluation"]["every"] = extras["every"]
        spec["evaluation"]["metrics"] = None
    return parsed(spec)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(chosen=JOBS, extras=EXTRAS, shares=SHARES)
@example({"model": "mlp with batch norm", "loss": "MSELoss", "optimizer": "Adam", "batch_size": 3}, {}, [0.5])
@example({"model": "linear", "loss": "MSELoss", "optimizer": "SGD"}, {}, [0.0, 0.5, 1.0])
@example(
    {
        "model": "cnn with batch norm",
        "loss": "CrossEntropyLoss",
        "optimizer": "AdamW",
        "batch_size": 4,
        "rows": 12,
    },
    {"repeated": "restarts", "augmented": True},
    [0.3, 0.7],
)
@example(
    {"model": "mlp with dropout", "loss": "MSELoss", "optimizer": "RMSprop", "rows": 12},
    {"repeated": "folds", "every": 1},
    [0.2, 0.4, 0.6, 0.8],
)
def test_an_interrupted_job_is_the_undisturbed_one(
    chosen: dict[str, Any], extras: dict[str, Any], shares: list[float]
) -> None:
    assume(is_comparable(chosen))
    check(of(plan_of(chosen, extras)), *shares)


def usual(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - choices of any kind
    return {"model": "mlp", "loss": "MSELoss", "optimizer": "SGD", "batch_size": 3, "rows": 11, **changes}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_as_it_was(optimizer: str, dtype: str) -> None:
    model = "mlp of matrices" if optimizer == "Muon" else "mlp with batch norm"
    for size in (4, "full"):
        check(
            of(plan_of(usual(model=model, optimizer=optimizer, dtype=dtype, batch_size=size), {})), 0.3, 0.6
        )


COMPOSED_AFTER_A_WARM_UP: dict[str, dict[str, Any]] = {
    f"{name} after a warm-up of {unit}": {**SCHEDULERS[name], "warmup": {unit: 3}}  # type: ignore[dict-item]
    for name in ("SequentialLR", "ChainedScheduler", "CosineAnnealingWarmRestarts")
    for unit in ("steps", "epochs")
}


@pytest.mark.parametrize("scheduler", [*SCHEDULERS, *COMPOSED_AFTER_A_WARM_UP])
def test_every_scheduler_goes_on_at_every_pulse(scheduler: str) -> None:
    plan = plan_of(usual(model="linear", epochs=6, dev=0.25), {})
    spec = json.loads(plan.spec.model_dump_json())
    chosen = {**SCHEDULERS, **COMPOSED_AFTER_A_WARM_UP}[scheduler]
    make = of(parsed({**spec, "scheduler": chosen}))
    whole = undisturbed(make)
    for pulse in range(1, whole.pulses + 1):
        assert_same(resumed(make, [pulse]), whole, make)


@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        ({"type": "SGD", "lr": 0.05, "momentum": 0.9}, {"type": "OneCycleLR", "max_lr": 0.05}),
        ({"type": "AdamW", "lr": 0.05}, {"type": "OneCycleLR", "max_lr": 0.05, "three_phase": True}),
        (
            {"type": "SGD", "lr": 0.05, "momentum": 0.9},
            {"type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.05, "step_size_up": 3},
        ),
    ],
    ids=str,
)
def test_momenta_that_cycle_go_on(optimizer: dict[str, Any], scheduler: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    data = inline({"x": rng.normal(size=10).tolist(), "y": rng.normal(size=10).tolist()})
    plan = job(data, optimizer=optimizer, scheduler=scheduler, training={"batch_size": 4})
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        check(of(plan), share)


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU", "Embedding"])
def test_layers_for_sequences_go_on(layer: str) -> None:
    rng = np.random.default_rng(0)
    codes = layer == "Embedding"
    rows = rng.integers(0, 5, (12, 4)) if codes else rng.normal(size=(12, 4, 2))
    first = (
        {"num_embeddings": 5, "embedding_dim": 3}
        if codes
        else {"hidden_size": 3, "num_layers": 2, "dropout": 0.3}
    )
    layers = [{"type": layer, **first}, *([{"type": "Flatten"}] if codes else []), {"type": "Linear"}]
    plan = job(
        inline({"x": rows.tolist(), "y": rng.normal(size=12).tolist()}),
        model={"type": "sequential", "layers": layers},
        optimizer={"type": "Adam", "lr": 0.05},
        training={"batch_size": 5},
    )
    check(of(plan), 0.3, 0.6)


def test_embedded_categories_go_on() -> None:
    plan = job(
        inline(
            {"n": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "x": list("baabca"), "y": [1.0, 2.0, 3.0, 1.0, 2.0, 0.0]}
        ),
        preprocessing={"encoding": "embedding", "embedding_dim": 2},
        model={"type": "mlp", "hidden": [3], "dropout": 0.2},
        training={"batch_size": 2},
    )
    check(of(plan), 0.2, 0.7)


@pytest.mark.parametrize("batch_size", ["full", 3])
@pytest.mark.parametrize("lr", [3.0, 1e10, 1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_divergence_after_it_leaves_the_same_parameters_and_hint(
    lr: float, batch_size: object, dtype: str
) -> None:
    plan = inline_job(optimizer={"type": "SGD", "lr": lr}, epochs=400, batch_size=batch_size, dtype=dtype)
    make = of(plan)
    whole = undisturbed(make)
    assert whole.fit.stop_reason == "diverged"
    for pulse in {1, 2, whole.pulses // 2, whole.pulses - 2, whole.pulses - 1, whole.pulses}:
        if pulse > 0:
            assert_same(resumed(make, [pulse]), whole, make)


def test_it_may_be_interrupted_at_every_single_pulse() -> None:
    plan = plan_of(
        usual(model="mlp with batch norm", optimizer="Adam", dev=0.25, stopping="patient", epochs=5),
        {"repeated": "restarts", "augmented": True, "every": 2},
    )
    make = of(plan)
    whole = undisturbed(make)
    assert whole.pulses > 20
    assert_same(resumed(make, range(1, whole.pulses + 1)), whole, make)


def test_of_many_restarts_the_first_of_the_best_is_kept() -> None:
    """All restarts of a model that starts at zero are the same."""
    plan = job(
        inline({"x": [1.0, 2.0, 3.0], "y": [1.0, 3.0, 2.0]}),
        model={"type": "linear", "init": {"weight": "zeros_", "bias": "zeros_"}},
        training={"restarts": 6, "epochs": 3},
    )
    make = of(plan)
    whole = undisturbed(make)
    assert whole.fit.kept == 0
    for pulse in range(1, whole.pulses + 1, 3):
        assert_same(resumed(make, [pulse]), whole, make)
