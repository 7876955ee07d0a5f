"""Divergence is a result: the last finite parameters, and the learning rate that would have been stable."""

import math
from typing import Any

import pytest
import torch

from service.spec.plan import Plan
from service.training.callbacks import Callback, Pulse
from service.training.rows import Table
from service.training.stability import largest_stable_lr
from service.training.trainer import Fit, diverged
from tests.training.jobs import History, inline, inline_job, job, tensors_of, trainer


def trained(plan: Plan) -> tuple[list[float], Fit]:
    losses = History()
    fit = trainer(plan, callbacks=[losses]).fit()
    return losses["train_loss"], fit


def bound_of(plan: Plan) -> float | None:
    """The largest stable learning rate on all rows of a job."""
    return largest_stable_lr(plan.spec, Table(*tensors_of(plan)))


def loss_of(plan: Plan, fit: Fit) -> float:
    features, target = tensors_of(plan)
    predictions = torch.nn.functional.linear(features, fit.state_dict["weight"], fit.state_dict["bias"])
    return torch.nn.functional.mse_loss(predictions, target).item()


@pytest.mark.parametrize("lr", [3.0, 30.0, 1e10, 1e30, 1e38])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_last_finite_parameters_are_those_of_the_last_loss_in_the_history(lr: float, dtype: str) -> None:
    plan = inline_job(optimizer={"type": "SGD", "lr": lr}, epochs=2000, dtype=dtype)
    losses, fit = trained(plan)
    assert fit.stop_reason == "diverged"
    assert fit.epochs == len(losses) < 2000
    assert all(math.isfinite(loss) for loss in losses)
    assert loss_of(plan, fit) == losses[-1]
    assert fit.train_loss == pytest.approx(losses[-1])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_divergence_in_batches_leaves_finite_parameters(batch_size: int) -> None:
    plan = inline_job(optimizer={"type": "SGD", "lr": 10.0}, epochs=500, batch_size=batch_size)
    losses, fit = trained(plan)
    assert fit.stop_reason == "diverged"
    assert all(math.isfinite(loss) for loss in losses)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in fit.state_dict.values())


@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("lr", [1e30, 1e38])
def test_parameters_whose_loss_is_not_finite_are_never_a_completed_fit(epochs: int, lr: float) -> None:
    _, fit = trained(inline_job(optimizer={"type": "SGD", "lr": lr}, epochs=epochs))
    assert fit.stop_reason == "diverged"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in fit.state_dict.values())
    assert fit.train_loss is not None


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "SGD", "lr": 1e39},
        {"type": "SGD", "lr": 1e300},
        {"type": "SGD", "lr": 0.1, "weight_decay": 1e39},
        {"type": "SGD", "lr": 0.1, "momentum": 0.9, "dampening": 1e39},
        {"type": "Adam", "lr": 1e39},
        {"type": "Adam", "lr": 0.1, "weight_decay": 1e300},
        {"type": "AdamW", "lr": 1e39},
        {"type": "RMSprop", "lr": 1e39},
        {"type": "RMSprop", "lr": 0.1, "weight_decay": 1e300},
    ],
    ids=str,
)
def test_a_parameter_beyond_the_number_format_diverges_and_does_not_break(optimizer: dict[str, Any]) -> None:
    _, fit = trained(inline_job(optimizer=optimizer, epochs=10))
    assert fit.stop_reason == "diverged"


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "SGD"},
        {"type": "SGD", "momentum": 0.5},
        {"type": "SGD", "momentum": 0.9},
        {"type": "SGD", "momentum": 0.9, "nesterov": True},
        {"type": "SGD", "weight_decay": 0.5},
        {"type": "SGD", "momentum": 0.9, "weight_decay": 0.5},
        {"type": "SGD", "momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize(("features", "bias"), [(1, True), (3, True), (2, False)])
def test_below_the_bound_the_training_converges_and_above_it_diverges(
    optimizer: dict[str, Any], features: int, *, bias: bool
) -> None:
    def trained_at(share: float) -> Fit:
        return trained(job(lr=share * bound, epochs=20_000))[1]

    def job(*, lr: float, epochs: int) -> Plan:
        return inline_job(optimizer={**optimizer, "lr": lr}, features=features, bias=bias, epochs=epochs)

    plan = job(lr=1.0, epochs=1)
    bound = bound_of(plan)
    assert bound is not None
    assert trained_at(1.01).stop_reason == "diverged"
    losses, fit = trained(job(lr=0.99 * bound, epochs=1500))
    assert fit.stop_reason == "completed"
    assert losses[-1] == pytest.approx(losses[-2], rel=1e-3)


@pytest.mark.parametrize(
    ("loss", "curvature"),
    [
        ({"type": "HuberLoss", "delta": 1e6}, 1.0),
        ({"type": "SmoothL1Loss", "beta": 1e6}, 1e-6),
        ({"type": "MSELoss"}, 2.0),
    ],
    ids=str,
)
def test_the_bound_is_inverse_to_the_curvature_of_the_loss(loss: dict[str, Any], curvature: float) -> None:
    plan = inline_job(loss=loss, optimizer={"type": "SGD", "lr": 1.0})
    features, _ = tensors_of(plan)
    inputs = torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
    moment = torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs))[-1].item()
    assert bound_of(plan) == pytest.approx(2 / (curvature * moment), rel=1e-6)


def test_within_its_quadratic_part_huber_converges_below_its_bound_and_leaves_it_above() -> None:
    def losses_at(share: float) -> list[float]:
        return trained(inline_job(loss=wide, optimizer={"type": "SGD", "lr": share * bound}, epochs=400))[0]

    wide = {"type": "HuberLoss", "delta": 1e6}
    plan = inline_job(loss=wide)
    bound = bound_of(plan) or 0.0
    assert losses_at(0.99)[-1] < losses_at(0.99)[0]
    assert losses_at(1.01)[-1] > 100 * losses_at(1.01)[0]


@pytest.mark.parametrize(
    "job",
    [
        {"optimizer": {"type": "Adam"}},
        {"optimizer": {"type": "AdamW"}},
        {"optimizer": {"type": "RMSprop"}},
        {"optimizer": {"type": "SGD", "momentum": 0.9, "dampening": 0.5}},
        {"loss": {"type": "L1Loss"}},
        {"loss": {"type": "SmoothL1Loss", "beta": 0}},
    ],
    ids=str,
)
def test_where_no_bound_is_known_there_is_none(job: dict[str, Any]) -> None:
    plan = inline_job(**job)
    assert bound_of(plan) is None


def test_the_cure_is_told_with_the_bound() -> None:
    plan = inline_job(optimizer={"type": "SGD", "lr": 1e10}, epochs=100)
    _, fit = trained(plan)
    error = diverged(fit, plan.spec)
    assert error.code == "diverged"
    assert f"epoch {fit.epochs + 1}" in error.message
    assert f"{fit.largest_stable_lr:.4g}" in error.hint


def test_without_a_bound_a_smaller_learning_rate_is_advised() -> None:
    plan = inline_job(optimizer={"type": "Adam", "lr": 1e30}, epochs=10)
    _, fit = trained(plan)
    assert fit.largest_stable_lr is None
    assert "1e+29" in diverged(fit, plan.spec).hint


def test_the_advice_is_followed_with_success() -> None:
    _, fit = trained(inline_job(optimizer={"type": "SGD", "lr": 5.0}, epochs=2000))
    assert fit.largest_stable_lr is not None
    _, cured = trained(inline_job(optimizer={"type": "SGD", "lr": fit.largest_stable_lr / 2}, epochs=2000))
    assert cured.stop_reason == "completed"


def test_a_divergence_within_an_epoch_ends_it_there() -> None:
    pulses = 0

    class Count(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            nonlocal pulses
            assert pulse.train_loss == []
            pulses += 1

    plan = inline_job(rows=100_000, epochs=5, batch_size=1, optimizer={"type": "SGD", "lr": 10})
    fit = trainer(plan, callbacks=[Count()]).fit()
    assert (fit.stop_reason, fit.epochs) == ("diverged", 0)
    assert pulses < 20  # They come 40 times a second; the whole epoch would take many seconds.


@pytest.mark.parametrize("dev", [0.0, 0.25], ids=["without dev rows", "with dev rows"])
def test_a_loss_that_torch_refuses_when_it_is_no_number_diverges_like_the_others(dev: float) -> None:
    """BCELoss raises where all other losses give NaN."""
    split = {"evaluation": {"split": {"type": "random", "dev": dev, "seed": 0}}} if dev else {}
    plan = job(
        # The weight becomes infinite, and infinity times nothing is no number.
        inline({"x": [0.0, 10.0] * 8, "y": [0.0, 1.0] * 8}),
        model={"type": "linear", "output_activation": {"type": "Sigmoid"}},
        loss={"type": "BCELoss"},
        optimizer={"type": "SGD", "lr": 3e38},
        **split,
    )
    _, fit = trained(plan)
    assert fit.stop_reason == "diverged"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in fit.state_dict.values())
