"""Going on in another process, with rows that are read, with a plugin; what a stop and an error leave; what is refused."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import CheckpointUnusable
from service.jobs.lifecycle import Status, StopReason
from service.spec import estimates
from service.spec.plan import Plan
from service.training.callbacks import Callback, Pulse, Stop
from service.training.checkpoint import Checkpoint, from_bytes, to_bytes
from service.training.judge import Judge
from service.training.rows import Rows
from service.training.streaming import StoredRows
from service.worker.outcome import outcome
from tests.conftest import ROOT
from tests.training.jobs import inline, inline_job, job, trainer
from tests.training.restless import RestlessModel
from tests.training.resumed import (
    Make,
    assert_same,
    checkpoint_at,
    of_fit,
    pulses_at_every_chance,
    resumed,
    undisturbed,
)
from tests.training.shelf import store, stored_job, stored_trainer
from tests.training.test_checkpoints_state import curve


@pytest.fixture(autouse=True)
def _pulses() -> Iterator[None]:
    with pulses_at_every_chance():
        yield


def of(plan: Plan) -> Make:
    return functools.partial(trainer, plan)


def test_another_process_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    plan = curve(
        training={"augmentation": [{"type": "noise", "std": 0.2}], "restarts": 2},
        scheduler={"type": "OneCycleLR", "max_lr": 0.05},
    )
    whole = undisturbed(of(plan))
    spec, file = tmp_path / "spec.json", tmp_path / "checkpoint"
    spec.write_text(plan.spec.model_dump_json())
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "tests.training.resumed_fit", str(spec), str(file)]
    run = functools.partial(
        subprocess.run, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60
    )
    run([*command, "31"])
    _, own = checkpoint_at(of(plan), 31)
    told = json.loads(run(command).stdout)
    assert told["fit"] == repr(of_fit(whole.fit))
    done = from_bytes(own).epoch
    assert {name: series[done:] for name, series in whole.columns.items()} == told["columns"]


ROWS = np.random.default_rng(0).normal(size=(23, 3))


@pytest.mark.parametrize(
    ("batch_size", "block"), [(5, None), (5, 3), ("full", 4)], ids=["batches", "pieces", "one large batch"]
)
@pytest.mark.parametrize(
    "optimizer", [{"type": "Adam", "lr": 0.05}, {"type": "LBFGS", "max_iter": 2}], ids=str
)
def test_rows_that_are_read_go_on_and_none_is_read_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: object,
    block: int | None,
    optimizer: dict[str, Any],
) -> None:
    columns = {"x": ROWS[:, 0], "z": ROWS[:, 1], "y": ROWS[:, 2], "w": np.abs(ROWS[:, 0]) + 0.1}
    schema = store(tmp_path, columns)
    monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
    if block is not None:
        monkeypatch.setattr(estimates, "BATCH_MEMORY_BUDGET", block * 600)
    plan = stored_job(
        schema,
        weight="w",
        selection={"features": ["x", "z"]},
        model={"type": "mlp", "hidden": [4], "dropout": 0.2},
        optimizer=optimizer,
        training={"batch_size": batch_size},
        evaluation={"split": {"type": "random", "dev": 0.2}},
    )
    assert estimates.is_streamed(plan)
    make = functools.partial(stored_trainer, plan, tmp_path)
    whole = undisturbed(make)
    for pulse in (1, whole.pulses // 2, whole.pulses - 2):
        assert_same(resumed(make, [max(1, pulse)]), whole, make)


def test_batches_that_are_done_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = store(tmp_path, {"x": ROWS[:, 0], "y": ROWS[:, 2]})
    monkeypatch.setattr(estimates, "RESIDENT_BYTES", 100)
    plan = stored_job(schema, training={"batch_size": 5, "epochs": 1})
    make = functools.partial(stored_trainer, plan, tmp_path)
    taken: list[int] = []
    take = StoredRows.take

    def counted(self: StoredRows, order: torch.Tensor) -> Any:  # noqa: ANN401 - a batch
        taken.append(len(order))
        return take(self, order)

    _, data = checkpoint_at(make, 3)
    monkeypatch.setattr(StoredRows, "take", counted)
    make(checkpoint=from_bytes(data)).fit()
    # A window of several batches is read at once: of those that are left.
    assert taken == [8]


def test_a_plugin_may_draw_from_every_generator_of_the_process() -> None:
    plan = curve(training={"restarts": 2}).with_changes(model=RestlessModel())
    make = of(plan)
    whole = undisturbed(make)
    assert_same(undisturbed(make), whole, make)
    for pulse in (5, 12, 13, 30):
        assert_same(resumed(make, [pulse]), whole, make)


def test_one_checkpoint_may_be_gone_on_from_twice() -> None:
    make = of(curve(optimizer={"type": "Adam", "lr": 0.05}))
    _, data = checkpoint_at(make, 9)
    checkpoint = from_bytes(data)
    first, second = (make(checkpoint=checkpoint).fit() for _ in range(2))
    assert of_fit(first) == of_fit(second)
    assert to_bytes(checkpoint) == data


def test_equal_jobs_leave_equal_bytes_at_equal_pulses() -> None:
    make = of(curve())
    assert checkpoint_at(make, 9)[1] == checkpoint_at(make, 9)[1] != checkpoint_at(make, 10)[1]


def test_a_checkpoint_changes_nothing_of_the_training_it_is_taken_from() -> None:
    class Taken(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            to_bytes(pulse.checkpoint())

    plan = curve(
        scheduler={"type": "ReduceLROnPlateau", "patience": 1}, training={"early_stopping": {"patience": 4}}
    )
    assert of_fit(trainer(plan, callbacks=[Taken()]).fit()) == of_fit(trainer(plan).fit())


def test_a_pulse_that_is_over_gives_no_checkpoint() -> None:
    class Late(Callback):
        before: Pulse | None = None

        def on_pulse(self, pulse: Pulse) -> None:
            assert pulse.checkpoint().fraction == pulse.fraction
            if self.before is not None:
                with pytest.raises(RuntimeError, match="is over"):
                    self.before.checkpoint()
            self.before = pulse

    late = Late()
    trainer(inline_job(epochs=3), callbacks=[late]).fit()
    assert late.before is not None
    with pytest.raises(RuntimeError, match="is over"):
        late.before.checkpoint()


# A stop, and an error.


class StopAt(Callback):
    """Stops at a pulse, counted from 1."""

    def __init__(self, pulse: int, *reason: str) -> None:
        self._left, self._reason = pulse, reason

    def on_pulse(self, pulse: Pulse) -> None:
        self._left -= 1
        if not self._left:
            assert pulse.fraction <= 1
            raise Stop(*self._reason)


@pytest.mark.parametrize("pulse", [1, 6, 9])
def test_a_stop_may_give_its_reason_and_keeps_what_is_learnt(pulse: int) -> None:
    plan = curve()
    fit = trainer(plan, callbacks=[StopAt(pulse, "max_runtime")]).fit()
    assert (fit.trained.reason, fit.stop_reason) == ("max_runtime", "max_runtime")
    ended = outcome(plan, fit)
    assert (ended.status, ended.stop_reason) == (Status.SUCCEEDED, StopReason.MAX_RUNTIME)
    assert ended.parameters is not None
    without = trainer(plan, callbacks=[StopAt(pulse)]).fit()
    assert (without.trained.reason, without.stop_reason) == ("stopped", "stopped")
    assert {**of_fit(fit), "stop_reason": 0, "trained": 0, "runs": 0} == {
        **of_fit(without), "stop_reason": 0, "trained": 0, "runs": 0
    }  # fmt: skip


def test_a_limit_after_some_restarts_keeps_the_best_of_them() -> None:
    plan = curve(training={"restarts": 4, "epochs": 3})
    fit = trainer(plan, callbacks=[StopAt(30, "max_runtime")]).fit()
    assert fit.stop_reason == "max_runtime"
    assert [run.trained.reason for run in fit.runs] == ["completed", "completed", "max_runtime"]
    losses = [run.score.losses["dev"] or 0.0 for run in fit.runs]
    assert fit.kept == losses.index(min(losses))


def test_a_limit_that_comes_with_the_last_pulse_has_cut_nothing_short() -> None:
    plan = inline_job(epochs=3)
    pulses = undisturbed(of(plan)).pulses
    assert trainer(plan, callbacks=[StopAt(pulses, "max_runtime")]).fit().stop_reason == "completed"
    assert trainer(plan, callbacks=[StopAt(pulses)]).fit().stop_reason == "stopped"


@pytest.mark.parametrize("reason", [(), ("max_runtime",)])
def test_a_stop_at_the_moment_of_a_divergence_leaves_finite_parameters(reason: tuple[str, ...]) -> None:
    plan = inline_job(optimizer={"type": "SGD", "lr": 3.0}, epochs=400)
    whole = undisturbed(of(plan))
    fit = trainer(plan, callbacks=[StopAt(whole.pulses, *reason)]).fit()
    assert fit.stop_reason == ("diverged" if reason else "stopped")
    assert all(torch.equal(tensor, whole.fit.state_dict[name]) for name, tensor in fit.state_dict.items())


def test_a_limit_after_a_step_that_went_too_far_is_a_divergence() -> None:
    plan = inline_job(optimizer={"type": "SGD", "lr": 1e30}, epochs=5)
    fit = trainer(plan, callbacks=[StopAt(1, "max_runtime")]).fit()
    assert fit.stop_reason == "diverged"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in fit.state_dict.values())


def test_an_error_in_a_callback_ends_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    score = Judge.score

    def watched(self: Judge, network: torch.nn.Module, rows: Mapping[str, Rows], preparation: Any) -> Any:  # noqa: ANN401
        scored.append(network)
        return score(self, network, rows, preparation)

    class Broken(Callback):
        ended = False

        def on_pulse(self, pulse: Pulse) -> None:
            raise LookupError(pulse.first_epoch)

        def on_end(self) -> None:
            self.ended = True

    monkeypatch.setattr(Judge, "score", watched)
    broken = Broken()
    for plan in (curve(), inline_job(), inline_job(optimizer={"type": "LBFGS"})):
        with pytest.raises(LookupError):
            trainer(plan, callbacks=[broken]).fit()
    assert scored == []
    assert not broken.ended


# What does not fit.

DATA = {f"x{i}": ROWS[:12, i].tolist() for i in range(2)} | {"y": ROWS[:12, 2].tolist()}


def other(**sections: Any) -> Plan:  # noqa: ANN401 - sections of any kind
    usual = {"model": {"type": "mlp", "hidden": [4]}, "optimizer": {"type": "Adam"}}
    training = {"batch_size": 4, **sections.pop("training", {})}
    return job(inline(DATA), **{**usual, **sections}, training=training)


@pytest.mark.parametrize(
    "plan",
    [
        other(model={"type": "mlp", "hidden": [5]}),
        other(model={"type": "mlp", "hidden": [4, 4]}),
        other(model={"type": "mlp", "hidden": [4], "normalization": "batch"}),
        other(model={"type": "linear"}),
        other(training={"dtype": "float64"}),
        other(training={"restarts": 2}),
        other(evaluation={"folds": {"k": 3}}),
        other(optimizer={"type": "SGD", "lr": 0.1}),
        other(optimizer={"type": "Adam", "groups": [{"parameters": ["*bias"], "lr": 1.0}]}),
        other(scheduler={"type": "StepLR", "step_size": 2}),
        other(training={"augmentation": [{"type": "noise", "std": 0.1}]}),
        other(training={"early_stopping": {"monitor": "train_loss", "patience": 3}}),
        other(training={"batch_size": "full"}),
    ],
    ids=[
        *("wider", "deeper", "normalized", "linear", "float64", "restarts", "folds", "optimizer", "groups"),
        *("scheduler", "augmented", "early stopping", "batches"),
    ],
)
def test_a_checkpoint_of_another_job_is_refused_before_anything_is_told(plan: Plan) -> None:
    _, data = checkpoint_at(of(other()), 6)

    class Silent(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            raise AssertionError(pulse)

    with pytest.raises(CheckpointUnusable, match="does not fit the job"):
        trainer(plan, callbacks=[Silent()], checkpoint=from_bytes(data)).fit()


@pytest.mark.parametrize(
    "state", [{}, {"trainings": 1}, {"trainings": 1, "runs": [{}], "kept": None}, {"trainings": "1"}]
)
def test_a_state_with_something_missing_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(CheckpointUnusable):
        trainer(other(), checkpoint=Checkpoint(1, 0.5, state)).fit()


def test_every_part_is_needed() -> None:
    _, data = checkpoint_at(of(other()), 6)

    def without(*path: str) -> Checkpoint:
        checkpoint = from_bytes(data)
        part: Any = checkpoint.state
        for name in path[:-1]:
            part = part[name]
        del part[path[-1]]
        return checkpoint

    state = from_bytes(data).state
    paths = [(name,) for name in state] + [("training", name) for name in state["training"]]
    # Without the name of an engine it is one of a version that had no other than `eager`.
    # The preparation is for predictions from the checkpoint; the training fits it again, as after those without it.
    unused = {("training", "augmenter"), ("training", "watch"), ("engine",), ("preparation",)}
    for path in [*paths, ("randomness", "python"), ("training", "network", "0.weight")]:
        if path not in unused:
            with pytest.raises(CheckpointUnusable):
                trainer(other(), checkpoint=without(*path)).fit()
