"""The engine quadratic: the epochs of a linear fit by algebra are those of the loop."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from service.spec.plan import Plan
from service.training.callbacks import Callback, Pulse, Stop
from service.training.checkpoint import from_bytes
from service.training.quadratic import training as quadratic
from service.training.quadratic.bowl import Reading, bowls
from service.training.rows import Table
from tests.training.conformance import CLOSE, assert_close, assert_conforms, both
from tests.training.jobs import inline, job, trained, trainer
from tests.training.resumed import assert_same, checkpoint_at, pulses_at_every_chance, resumed, undisturbed

OPTIMIZERS = st.fixed_dictionaries(
    {"type": st.just("SGD"), "lr": st.sampled_from([0.3, 0.05, 1e-3, 1e-6])},
    optional={"momentum": st.sampled_from([0.3, 0.9, 1.0]), "weight_decay": st.sampled_from([0.01, 0.5])},
)
KINDS = st.sampled_from([{}, {"nesterov": True}, {"dampening": 0.4}, {"dampening": 1.0}])
# Where a loss has settled, rounding alone would decide what is an improvement.
STOPPING = st.sampled_from(
    [
        None,
        {"patience": 2, "min_delta": 1e-7},
        {"patience": 1, "min_delta": 0.01, "restore_best": False},
        {"patience": 3, "monitor": "train_loss", "min_delta": 0.001},
    ]
)


def line(**chosen: Any) -> Plan:  # noqa: ANN401 - what `DRAWN` names, and sections of the spec
    """A linear job in float64 over drawn rows."""
    rows, width, targets = (chosen.pop(name, usual) for name, usual in SIZES.items())
    rng = np.random.default_rng(chosen.pop("data_seed", 0))
    columns = {f"x{i}": rng.normal(2.0 * i, 1 + i, rows).tolist() for i in range(width)}
    outputs = {f"y{i}": rng.normal(100.0 * i, 1.0, rows).tolist() for i in range(targets)}
    selection: dict[str, Any] = {"target": list(outputs), "features": list(columns)}
    if chosen.pop("weighted", False):
        outputs["w"], selection["weight"] = rng.uniform(0.0, 2.0, rows).tolist(), "w"
    dev, every = chosen.pop("dev", 0.0), chosen.pop("every", None)
    evaluation: dict[str, Any] = {"split": {"type": "order", "dev": dev}} if dev else {}
    if every is not None and dev:
        evaluation |= {"metrics": ["mae"], "every": every}
    training = {"dtype": "float64", "epochs": 40, **chosen.pop("training", {})}
    return job(inline(columns | outputs, **selection), evaluation=evaluation, training=training, **chosen)


SIZES = {"rows": 12, "width": 2, "targets": 1}
DRAWN = st.fixed_dictionaries(
    {
        "rows": st.integers(3, 20),
        "width": st.integers(1, 4),
        "targets": st.integers(1, 3),
        "data_seed": st.integers(0, 999),
        "weighted": st.booleans(),
        "dev": st.sampled_from([0.0, 0.3]),
        "every": st.sampled_from([None, 1, 7]),
        "model": st.booleans().map(lambda bias: {"type": "linear", "bias": bias}),
        "regularization": st.sampled_from([{}, {"l2": 0.1}]),
        "preprocessing": st.sampled_from([{}, {"scaling": "standardize"}]),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chosen=DRAWN, optimizer=OPTIMIZERS, kind=KINDS, stopping=STOPPING, epochs=st.integers(1, 90))
@example(  # Two rows that a multiple of each other fits: what their least squares are is left to rounding.
    chosen={
        "rows": 3, "data_seed": 34, "dev": 0.3, "preprocessing": {"scaling": "standardize"},
        "model": {"type": "linear", "bias": False},
    },
    optimizer={"type": "SGD", "lr": 0.3}, kind={}, stopping=None, epochs=1,
)  # fmt: skip
def test_history_and_parameters_are_those_of_the_loop(
    chosen: dict[str, Any],
    optimizer: dict[str, Any],
    kind: dict[str, Any],
    stopping: dict[str, Any] | None,
    epochs: int,
) -> None:
    optimizer = {**optimizer, **(kind if "momentum" in optimizer else {})}
    training: dict[str, Any] = {"epochs": epochs}
    if stopping is not None and (chosen["dev"] or stopping.get("monitor") == "train_loss"):
        training["early_stopping"] = stopping
    plan = line(optimizer=optimizer, training=training, **chosen)
    _, (history, reference) = both(plan)
    # Rounding grows with a divergence: that has a test of its own.
    assume(reference.stop_reason != "diverged" and max(history["train_loss"]) < 1e30)
    assert_conforms(plan, engine="quadratic")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_divergence_ends_at_the_epoch_of_the_loop(dtype: str, momentum: float) -> None:
    plan = line(
        optimizer={"type": "SGD", "lr": 2.0, "momentum": momentum}, training={"dtype": dtype, "epochs": 900}
    )
    (history, fit), (expected, reference) = both(plan)
    assert fit.stop_reason == reference.stop_reason == "diverged"
    # In float32 the loop's sum over the rows may overflow one epoch before or after the exact one.
    assert abs(fit.trained.epochs - reference.trained.epochs) <= (0 if dtype == "float64" else 1)
    assert fit.trained.kept_epoch == fit.trained.epochs - 1
    for name, tensor in fit.state_dict.items():
        assert bool(tensor.isfinite().all()), name
    shared = min(len(history["train_loss"]), len(expected["train_loss"]))
    np.testing.assert_allclose(history["train_loss"][:shared], expected["train_loss"][:shared], rtol=1e-3)


def test_a_last_step_that_goes_too_far_is_taken_back() -> None:
    sections: dict[str, Any] = {"optimizer": {"type": "SGD", "lr": 1e200}}
    (_, fit), (_, reference) = both(line(training={"epochs": 1}, **sections))
    assert fit.trained.reason == reference.trained.reason == "diverged"
    assert fit.trained.kept_epoch == reference.trained.kept_epoch == 0
    for name, tensor in reference.state_dict.items():
        assert_close(fit.state_dict[name], tensor, close=CLOSE, what=name)


def test_float32_jobs_are_as_near_as_their_numbers_allow() -> None:
    plan = line(rows=200, optimizer={"type": "SGD", "lr": 0.02}, training={"dtype": "float32", "epochs": 500})
    assert_conforms(plan, engine="quadratic", close=2e-5)


def test_inputs_that_depend_on_each_other_leave_their_difference_where_it_began() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    columns = {"a": x.tolist(), "b": x.tolist(), "y": (3 * x + 1).tolist()}
    plan = job(
        inline(columns), training={"dtype": "float64", "epochs": 300}, optimizer={"type": "SGD", "lr": 0.1}
    )
    assert_conforms(plan, engine="quadratic")


def test_the_least_loss_is_not_lost_in_large_targets() -> None:
    rng = np.random.default_rng(1)
    features = torch.from_numpy(rng.normal(size=(20_000, 3)))
    target = features @ torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64) + 1e7
    noise = torch.from_numpy(rng.normal(scale=1e-3, size=(20_000, 1)))
    (bowl,) = bowls([Reading(Table(features, target + noise), block=20_000, bias=True)])
    with_ones = torch.cat([features, torch.ones(20_000, 1, dtype=torch.float64)], dim=1)
    residual = noise - with_ones @ torch.linalg.lstsq(with_ones, noise).solution
    assert bowl.least == pytest.approx(float(residual.square().mean()), rel=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_training_goes_on_from_any_checkpoint_to_the_same_bits(
    momentum: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quadratic, "CHUNK_EPOCHS", 16)
    stopping = {"patience": 30, "monitor": "dev_loss"}
    plan = line(
        dev=0.3, rows=20, optimizer={"type": "SGD", "lr": 0.01, "momentum": momentum},
        training={"epochs": 100, "early_stopping": stopping, "restarts": 2},
    )  # fmt: skip
    make = functools.partial(trainer, plan, engine="auto")
    with pulses_at_every_chance():
        whole = undisturbed(make)
        assert whole.pulses > 4
        for pulse in range(1, whole.pulses + 1):
            assert_same(resumed(make, [pulse]), whole, make)


def test_an_attempt_goes_on_by_the_engine_that_has_begun() -> None:
    plan = line(training={"epochs": 2000})
    _, data = checkpoint_at(functools.partial(trainer, plan, engine="eager"), 1)
    fit = trainer(plan, engine="auto", checkpoint=from_bytes(data)).fit()
    assert fit.engine is not None
    assert fit.engine.name == "eager"
    _, reference = trained(plan, engine="eager")
    assert all(torch.equal(fit.state_dict[name], one) for name, one in reference.state_dict.items())


class StopsAtTheSecond(Callback):
    """Ends the training at its second pulse."""

    def __init__(self) -> None:
        self._left = 2

    def on_pulse(self, _: Pulse) -> None:
        self._left -= 1
        if self._left == 0:
            raise Stop


def test_a_callback_that_stops_leaves_the_parameters_of_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadratic, "CHUNK_EPOCHS", 16)
    plan = line(training={"epochs": 100})
    with pulses_at_every_chance():
        fit = trainer(plan, engine="auto", callbacks=[StopsAtTheSecond()]).fit()
    assert (fit.stop_reason, fit.epochs) == ("stopped", 32)
    _, shorter = trained(line(training={"epochs": 32}), engine="auto")
    assert all(torch.equal(fit.state_dict[name], one) for name, one in shorter.state_dict.items())


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"loss": {"type": "L1Loss"}}, "loss"),
        ({"optimizer": {"type": "Adam"}}, "optimizer"),
        ({"training": {"batch_size": 4}}, "part of the rows"),
        ({"regularization": {"l1": 0.1}}, "l1"),
        ({"regularization": {"clip_grad_norm": 0.1}}, "clipped"),
        ({"scheduler": {"type": "ExponentialLR", "gamma": 0.9}}, "learning rate changes"),
        ({"model": {"type": "mlp", "hidden": [3]}}, "one fully connected layer"),
    ],
)
def test_what_is_no_bowl_goes_another_way_and_says_why(sections: dict[str, Any], why: str) -> None:
    _, fit = trained(line(**sections), engine="auto")
    assert fit.engine is not None
    assert fit.engine.name != "quadratic"
    if fit.engine.name == "eager":
        assert why in fit.engine.reason


def test_the_reference_can_be_asked_for() -> None:
    _, fit = trained(line(), engine="eager")
    assert fit.engine is not None
    assert (fit.engine.name, fit.engine.reason) == ("eager", "The spec asks for it.")
