"""Early stopping, restarts and folds: what is kept, what is told, and how the history counts on."""

import statistics
from typing import Any

import numpy as np
import pytest
import torch

from service.spec.plan import Plan
from service.training.callbacks import Callback, Pulse, Stop
from service.worker.outcome import outcome
from tests.training.jobs import inline, inline_job, job, trained, trainer


def curve(**sections: Any) -> Plan:  # noqa: ANN401 - sections of any kind
    """A small network on a curve with noise: it over-fits in time."""
    rng = np.random.default_rng(1)
    x = np.linspace(-2, 2, 24)
    columns = {"x": x.tolist(), "y": (np.sin(2 * x) + 0.4 * rng.normal(size=24)).tolist()}
    usual = {
        "model": {"type": "mlp", "hidden": [12], "activation": "Tanh"},
        "optimizer": {"type": "Adam", "lr": 0.05},
        "evaluation": {"split": {"type": "random", "dev": 0.3}},
    }
    return job(inline(columns), **{**usual, **sections})


def with_stopping(*, epochs: int = 300, **stopping: Any) -> Plan:  # noqa: ANN401 - fields of early stopping
    return curve(training={"epochs": epochs, "early_stopping": stopping})


def test_it_stops_so_many_epochs_after_the_best() -> None:
    history, fit = trained(with_stopping(patience=5))
    losses = history["dev_loss"]
    best = min(range(len(losses)), key=losses.__getitem__)
    assert fit.stop_reason == "early_stopped"
    assert len(losses) == best + 1 + 5 < 300
    assert fit.trained.kept_epoch == best + 1
    assert all(loss >= losses[best] for loss in losses[best:])


def test_the_best_parameters_are_put_back() -> None:
    history, fit = trained(with_stopping(patience=5))
    kept = fit.trained.kept_epoch
    assert kept is not None
    shorter = trainer(curve(training={"epochs": kept})).fit()
    assert all(torch.equal(tensor, shorter.state_dict[name]) for name, tensor in fit.state_dict.items())
    assert fit.score.losses["dev"] == pytest.approx(min(history["dev_loss"]), rel=1e-6)


def test_the_last_parameters_are_kept_where_asked() -> None:
    _, fit = trained(with_stopping(patience=5, restore_best=False))
    same_length = trainer(curve(training={"epochs": fit.epochs})).fit()
    assert fit.trained.kept_epoch is None
    assert all(torch.equal(tensor, same_length.state_dict[name]) for name, tensor in fit.state_dict.items())


def test_a_small_improvement_counts_for_nothing() -> None:
    impatient, patient = (trained(with_stopping(patience=5, min_delta=d))[1] for d in (0.05, 0.0))
    assert impatient.epochs < patient.epochs


def test_a_training_that_ends_in_time_keeps_its_best_epoch_too() -> None:
    history, fit = trained(with_stopping(epochs=60, patience=60))
    losses = history["dev_loss"]
    assert fit.stop_reason == "completed"
    assert fit.trained.kept_epoch == min(range(60), key=losses.__getitem__) + 1


def test_the_train_loss_may_be_watched_without_a_dev_set() -> None:
    plan = inline_job(epochs=5000, early_stopping={"monitor": "train_loss", "patience": 2, "min_delta": 1e-3})
    history, fit = trained(plan)
    assert fit.stop_reason == "early_stopped"
    assert fit.epochs == len(history["train_loss"]) < 5000


def test_the_result_tells_the_kept_epoch() -> None:
    plan = with_stopping(patience=5)
    fit = trainer(plan).fit()
    result = outcome(plan, fit).result
    assert result is not None
    assert result["kept_epoch"] == fit.trained.kept_epoch
    assert (outcome(plan, fit).status, outcome(plan, fit).stop_reason) == ("succeeded", "early_stopped")


RESTARTS = curve(training={"epochs": 20, "restarts": 4, "seed": 7})


def test_restarts_are_trainings_from_the_seeds_that_follow() -> None:
    _, fit = trained(RESTARTS)
    assert [run.seed for run in fit.runs] == [7, 8, 9, 10]
    assert [run.kind for run in fit.runs] == ["restart"] * 4
    alone = trainer(curve(training={"epochs": 20, "seed": fit.runs[fit.kept].seed})).fit()
    assert all(torch.equal(tensor, alone.state_dict[name]) for name, tensor in fit.state_dict.items())


def test_the_restart_with_the_lowest_dev_loss_is_kept() -> None:
    fit = trainer(RESTARTS).fit()
    losses = [run.score.losses["dev"] for run in fit.runs]
    assert len(set(losses)) == 4
    assert losses[fit.kept] == min(loss for loss in losses if loss is not None)
    assert fit.score == fit.runs[fit.kept].score


def test_without_a_dev_set_the_lowest_train_loss_is_kept() -> None:
    fit = trainer(curve(training={"epochs": 20, "restarts": 3}, evaluation={})).fit()
    losses = [run.score.losses["train"] for run in fit.runs]
    assert losses[fit.kept] == min(loss for loss in losses if loss is not None)


def test_the_history_of_restarts_counts_on() -> None:
    history, fit = trained(RESTARTS)
    assert RESTARTS.epochs == fit.epochs == len(history["train_loss"]) == 80
    assert history["run"] == [float(number) for number in (1, 2, 3, 4) for _ in range(20)]
    assert [run.first_epoch for run in fit.runs] == [1, 21, 41, 61]
    alone, _ = trained(curve(training={"epochs": 20, "seed": 9}))
    assert history["train_loss"][40:60] == alone["train_loss"]


def test_all_restarts_are_told_in_the_result() -> None:
    fit = trainer(RESTARTS).fit()
    result = outcome(RESTARTS, fit).result
    assert result is not None
    assert [run["seed"] for run in result["runs"]] == [7, 8, 9, 10]
    assert result["kept_run"] == fit.kept + 1
    assert result["dev_loss"] == result["runs"][fit.kept]["dev_loss"]
    assert result["kept_epoch"] == 20 * (fit.kept + 1)


def test_a_restart_that_diverges_is_not_kept() -> None:
    # One start in a few is steep enough to diverge at this learning rate.
    plan = curve(
        model={"type": "mlp", "hidden": [12], "activation": "ReLU"},
        optimizer={"type": "SGD", "lr": 0.5},
        training={"epochs": 60, "restarts": 12},
    )
    fit = trainer(plan).fit()
    reasons = [run.trained.reason for run in fit.runs]
    assert {"diverged", "completed"} == set(reasons)
    assert reasons[fit.kept] == "completed"
    result = outcome(plan, fit).result
    assert result is not None
    assert "run_diverged" in [warning["code"] for warning in result["warnings"]]


class StopAfter(Callback):
    """Stops at a pulse after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_pulse(self, pulse: Pulse) -> None:
        if pulse.first_epoch + len(pulse.train_loss) > self.epochs:
            raise Stop


def test_a_stop_ends_all_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.training.callbacks.PULSE_SECONDS", 0.0)
    fit = trainer(RESTARTS, callbacks=[StopAfter(30)]).fit()
    assert fit.stop_reason == "stopped"
    assert len(fit.runs) == 2
    assert fit.epochs == 30


FOLDS = curve(
    training={"epochs": 15},
    evaluation={"folds": {"k": 4}, "split": {"type": "random", "dev": 0, "test": 0.25}},
)


def test_folds_are_trained_once_each_and_all_rows_at_last() -> None:
    history, fit = trained(FOLDS)
    assert [run.kind for run in fit.runs] == ["fold"] * 4 + ["final"]
    assert fit.kept == 4
    assert len(fit.parts.train) == 18
    assert len(fit.parts.test) == 6
    assert len(history["train_loss"]) == FOLDS.epochs == 75
    assert np.isnan(history["dev_loss"][60:]).all()
    assert not np.isnan(history["dev_loss"][:60]).any()


def test_cross_validation_sums_up_the_folds() -> None:
    fit = trainer(FOLDS).fit()
    result = outcome(FOLDS, fit).result
    assert result is not None
    losses = [run["dev_loss"] for run in result["runs"][:4]]
    told = result["cross_validation"]
    assert told["loss"] == {"mean": statistics.fmean(losses), "std": statistics.stdev(losses), "folds": 4}
    assert told["r2"]["folds"] == 4
    assert result["dev_loss"] is None
    assert result["test_loss"] is not None


def test_the_final_training_of_folds_is_the_one_without_folds() -> None:
    folded = trainer(FOLDS).fit()
    plain = trainer(
        curve(training={"epochs": 15}, evaluation={"split": {"type": "random", "dev": 0, "test": 0.25}})
    ).fit()
    assert all(torch.equal(tensor, plain.state_dict[name]) for name, tensor in folded.state_dict.items())


def test_folds_may_stop_early_and_the_final_training_does_not() -> None:
    plan = curve(training={"epochs": 100, "early_stopping": {"patience": 3}}, evaluation={"folds": {"k": 3}})
    fit = trainer(plan).fit()
    assert "early_stopped" in [run.trained.reason for run in fit.runs[:3]]
    assert (fit.runs[3].trained.reason, fit.runs[3].trained.epochs) == ("completed", 100)


@pytest.mark.parametrize("every", [1, 4])
def test_dev_metrics_are_told_each_so_many_epochs(every: int) -> None:
    evaluation = {"split": {"type": "random", "dev": 0.3}, "every": every, "metrics": ["rmse"]}
    history, fit = trained(curve(training={"epochs": 12}, evaluation=evaluation))
    told = [not np.isnan(value) for value in history["dev_rmse"]]
    assert told == [(epoch % every == 0) for epoch in range(1, 13)]
    assert history["dev_rmse"][-1] == fit.score.metrics["dev"]["rmse"]
