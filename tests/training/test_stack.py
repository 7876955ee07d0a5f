"""Jobs that share their steps: each is what it would be alone, whatever happens to the others."""

from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import TrainingFailed
from service.training.callbacks import Callback, Pulse, Stop
from service.training.checkpoint import from_bytes, to_bytes
from service.training.dense import stacked
from service.training.stack import fit_together
from service.training.trainer import Fit, Trainer
from tests.training.conformance import CLOSE, assert_close
from tests.training.jobs import History, inline, job, trainer
from tests.training.test_quadratic import line


def together(plans: list[Any], *callbacks: list[Callback]) -> tuple[list[History], list[Fit | Exception]]:
    """Fit all together; the callbacks are those of each."""
    histories = [History() for _ in plans]
    more = list(callbacks) or [[] for _ in plans]
    trainers: list[Trainer] = [
        trainer(plan, engine="auto", callbacks=[history, *others])
        for plan, history, others in zip(plans, histories, more, strict=True)
    ]
    return histories, fit_together(trainers)


def alone(plan: Any, engine: str = "auto") -> tuple[History, Fit]:  # noqa: ANN401 - a plan
    history = History()
    return history, trainer(plan, engine=engine, callbacks=[history]).fit()


def assert_same(history: History, fit: Fit | Exception, plan: Any, close: float = 0.0) -> None:  # noqa: ANN401 - a plan
    """Compare a member with the same job alone; to the last bit unless said otherwise."""
    expected, single = alone(plan)
    assert isinstance(fit, Fit)
    assert fit.trained.reason == single.trained.reason
    assert fit.trained.kept_epoch == single.trained.kept_epoch
    for name, series in expected.columns.items():
        assert_close(history[name], series, close=close, what=name)
    for name, tensor in single.state_dict.items():
        assert_close(fit.state_dict[name], tensor, close=close, what=name)


SGD: dict[str, Any] = {"type": "SGD", "lr": 0.05}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
def test_walks_side_by_side_are_those_of_each_alone(momentum: float, weighted: bool) -> None:  # noqa: FBT001 - a parameter
    plans = [
        line(
            data_seed=seed, weighted=weighted, dev=0.3, rows=20,
            optimizer={"type": "SGD", "lr": 0.01 * (1 + seed), "momentum": momentum, "weight_decay": 0.1 * (seed % 2)},
            training={"epochs": 50, "seed": seed},
        )
        for seed in range(5)
    ]  # fmt: skip
    histories, fits = together(plans)
    for history, fit, plan in zip(histories, fits, plans, strict=True):
        assert_same(history, fit, plan, close=1e-13)


def test_what_diverges_or_stops_early_leaves_the_others_alone() -> None:
    plans = [
        line(optimizer=SGD, training={"epochs": 400, "early_stopping": {"monitor": "train_loss", "min_delta": delta}})
        for delta in (1e-4, 1.0, 1e-6)
    ]  # fmt: skip
    plans.insert(1, line(optimizer={"type": "SGD", "lr": 50.0}, training={"epochs": 400}))
    histories, fits = together(plans)
    reasons = [fit.trained.reason for fit in fits if isinstance(fit, Fit)]
    assert reasons[1] == "diverged"
    assert set(reasons) == {"early_stopped", "diverged"}
    for history, fit, plan in zip(histories, fits, plans, strict=True):
        assert_same(history, fit, plan, close=1e-13)


class Breaks(Callback):
    """Raises at a pulse."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def on_pulse(self, _: Pulse) -> None:
        raise self._error


@pytest.mark.parametrize("sections", [{"optimizer": SGD}, {"optimizer": {"type": "Adam"}}])
def test_a_callback_that_stops_or_fails_ends_its_own_job_alone(
    sections: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.training.callbacks.PULSE_SECONDS", 0.0)
    monkeypatch.setattr("service.training.quadratic.training.CHUNK_EPOCHS", 8)
    plans = [line(data_seed=seed, training={"epochs": 40}, **sections) for seed in range(3)]
    error = RuntimeError("the record is full")
    histories, fits = together(plans, [Breaks(Stop())], [Breaks(error)], [])
    assert isinstance(fits[0], Fit)
    assert fits[0].stop_reason == "stopped"
    assert fits[0].epochs < 40
    assert fits[1] is error
    assert_same(histories[2], fits[2], plans[2], close=1e-13)


def test_a_job_that_cannot_begin_fails_alone() -> None:
    # No training row has any weight.
    columns = {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 4.0], "w": [0.0, 0.0, 1.0, 1.0]}
    broken = job(inline(columns, weight="w"), evaluation={"split": {"type": "order", "dev": 0.5}})
    histories, fits = together([line(), broken])
    assert isinstance(fits[1], TrainingFailed)
    assert_same(histories[0], fits[0], line(), close=1e-13)


def test_jobs_of_different_shapes_can_be_sent_together() -> None:
    plans = [line(width=width, targets=targets) for width in (1, 3) for targets in (1, 2)]
    plans += [line(optimizer={"type": "Adam"}), line(model={"type": "mlp", "hidden": [3]})]
    for history, fit, plan in zip(*together(plans), plans, strict=True):
        assert_same(history, fit, plan, close=1e-12)


def test_restarts_of_one_job_follow_each_other() -> None:
    plans = [line(training={"epochs": 10, "restarts": 3, "seed": seed}) for seed in range(2)]
    for history, fit, plan in zip(*together(plans), plans, strict=True):
        assert isinstance(fit, Fit)
        assert len(fit.runs) == 3
        assert_same(history, fit, plan, close=1e-13)


def test_more_walks_than_fit_into_memory_go_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.training.quadratic.training.STACK_NUMBERS", 300)
    plans = [line(data_seed=seed, training={"epochs": 30}) for seed in range(7)]
    for history, fit, plan in zip(*together(plans), plans, strict=True):
        assert_same(history, fit, plan, close=1e-13)


NETS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": {"type": "SGD", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}},
    "damped": {"optimizer": {"type": "SGD", "momentum": 0.5, "dampening": 0.3}},
    "plain descent": {"optimizer": {"type": "SGD"}, "model": {"type": "mlp", "hidden": [4, 3], "activation": "Tanh"}},
    "Adam": {"optimizer": {"type": "Adam", "weight_decay": 0.1}, "training": {"batch_size": 8}},
    "AdamW": {"optimizer": {"type": "AdamW"}, "model": {"type": "mlp", "hidden": [5], "activation": "GELU"}},
    "a schedule of steps": {
        "optimizer": {"type": "Adam"}, "training": {"batch_size": 4},
        "scheduler": {"type": "CosineAnnealingLR", "interval": "step"},
    },
    "a schedule of epochs": {"optimizer": {"type": "SGD"}, "scheduler": {"type": "ExponentialLR", "gamma": 0.9}},
    "early stopping": {
        "optimizer": {"type": "SGD", "momentum": 0.9},
        "training": {"batch_size": 8, "early_stopping": {"patience": 2, "min_delta": 0.001}},
    },
    "a dropped rest": {"optimizer": {"type": "SGD"}, "training": {"batch_size": 8, "drop_last": True}},
    "one layer": {"optimizer": {"type": "Adam"}, "model": {"type": "linear"}, "training": {"batch_size": 8}},
}  # fmt: skip


def net(seed: int, name: str, **training: Any) -> Any:  # noqa: ANN401 - fields of the training; a plan
    chosen = NETS[name]
    optimizer = {"lr": 0.01 * (1 + seed), **chosen["optimizer"]}
    sections = {"model": {"type": "mlp", "hidden": [6]}} | {
        k: v for k, v in chosen.items() if k in {"model", "scheduler"}
    }
    return line(
        data_seed=seed, rows=30, dev=0.3, width=3, optimizer=optimizer,
        training={"epochs": 12, "seed": seed, **chosen.get("training", {}), **training}, **sections,
    )  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_networks_side_by_side_are_those_of_each_alone(name: str) -> None:
    plans = [net(seed, name) for seed in range(4)]
    histories, fits = together(plans)
    for history, fit, plan in zip(histories, fits, plans, strict=True):
        assert_same(history, fit, plan, close=CLOSE)


@pytest.fixture
def steps_together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were trained together, each time."""
    seen: list[int] = []
    original = stacked.train_together

    def counted(loops: list[Any]) -> list[Exception | None]:
        seen.append(len(loops))
        return original(loops)

    monkeypatch.setattr(stacked, "train_together", counted)
    return seen


@pytest.mark.parametrize("name", NETS)
def test_networks_of_one_shape_do_share_their_steps(name: str, steps_together: list[int]) -> None:
    together([net(seed, name) for seed in range(3)])
    assert steps_together == [3]


@pytest.mark.parametrize(
    ("loss", "target"), [("CrossEntropyLoss", "classes"), ("BCEWithLogitsLoss", "zeros and ones")]
)
def test_classifiers_side_by_side(loss: str, target: str, steps_together: list[int]) -> None:
    def classifier(seed: int) -> Any:  # noqa: ANN401 - a plan
        rng = np.random.default_rng(seed)
        columns = {f"x{i}": rng.normal(size=40).tolist() for i in range(3)}
        labels = (
            [str(k) for k in rng.integers(0, 4, 40)]
            if target == "classes"
            else rng.integers(0, 2, 40).tolist()
        )
        return job(
            inline({**columns, "y": labels}), loss={"type": loss}, model={"type": "mlp", "hidden": [5]},
            optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.8},
            training={"epochs": 8, "batch_size": 8, "seed": seed, "dtype": "float64"},
        )  # fmt: skip

    plans = [classifier(seed) for seed in range(5)]
    for history, fit, plan in zip(*together(plans), plans, strict=True):
        assert_same(history, fit, plan, close=CLOSE)
    assert steps_together == [5]


def test_a_network_that_diverges_leaves_its_neighbours_alone() -> None:
    plans = [net(seed, "momentum") for seed in range(3)]
    wild = plans[1].spec.optimizer.model_copy(update={"lr": 1e6})
    plans[1] = plans[1].with_changes(optimizer=wild)
    histories, fits = together(plans)
    assert [fit.trained.reason for fit in fits if isinstance(fit, Fit)] == [
        "completed",
        "diverged",
        "completed",
    ]
    for number in (0, 2):
        assert_same(histories[number], fits[number], plans[number], close=CLOSE)


def test_a_network_from_among_several_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.training.callbacks.PULSE_SECONDS", 0.0)
    plans = [net(seed, "Adam", restarts=2) for seed in range(3)]
    keeps = Keeps(after=5)
    histories, fits = together(plans, [], [keeps], [])
    rest = History()
    fit = trainer(plans[1], engine="auto", callbacks=[rest], checkpoint=from_bytes(keeps.data)).fit()
    whole = fits[1]
    assert isinstance(whole, Fit)
    assert_close(rest["train_loss"], histories[1]["train_loss"][5:], close=CLOSE, what="train_loss")
    for name, tensor in whole.state_dict.items():
        assert_close(fit.state_dict[name], tensor, close=CLOSE, what=name)


class Keeps(Callback):
    """Keeps a checkpoint after so many pulses."""

    def __init__(self, after: int = 1) -> None:
        self.data, self._left = b"", after

    def on_pulse(self, pulse: Pulse) -> None:
        self._left -= 1
        if self._left == 0:
            self.data = to_bytes(pulse.checkpoint())


def test_nothing_is_nothing() -> None:
    assert fit_together([]) == []


def test_a_checkpoint_from_among_several_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.training.callbacks.PULSE_SECONDS", 0.0)
    monkeypatch.setattr("service.training.quadratic.training.CHUNK_EPOCHS", 8)

    keeps = Keeps()
    plans = [line(data_seed=seed, rows=20, dev=0.2, training={"epochs": 40}) for seed in range(3)]
    histories, fits = together(plans, [], [keeps], [])
    rest = History()
    fit = trainer(plans[1], engine="auto", callbacks=[rest], checkpoint=from_bytes(keeps.data)).fit()
    whole = fits[1]
    assert isinstance(whole, Fit)
    np.testing.assert_array_equal(rest["train_loss"], histories[1]["train_loss"][8:])
    assert all(torch.equal(fit.state_dict[name], one) for name, one in whole.state_dict.items())
