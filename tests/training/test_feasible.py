"""What torch would break on is told before the first step; what only looks odd is told beside the result."""

from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import TrainingFailed
from service.spec.optimizers import SGD
from service.training import callbacks
from service.training.callbacks import Pulse, Stop
from service.training.frames import load
from service.training.trainer import Trainer, lower_lr_hint
from service.worker.outcome import outcome
from tests.training.jobs import STILL, History, inline, job, trained, trainer

ROWS = 12
X = [float(row) / ROWS for row in range(ROWS)]
Y = [3 * x + 1 for x in X]
CLASSES = ["a"] * 10 + ["b"] * 2


BY_PART = {"split": {"type": "column", "column": "part"}}


def parts(train: int) -> list[str]:
    return ["train"] * train + ["dev"] * (ROWS - train)


def code_of(plan: Any) -> str:  # noqa: ANN401 - a plan
    with pytest.raises(TrainingFailed) as caught:
        trainer(plan).fit()
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("batch_size", ["full", 4])
def test_training_rows_without_any_weight_are_refused(batch_size: object) -> None:
    weights = [0.0] * 10 + [1.0, 1.0]
    data = inline({"x": X, "w": weights, "part": parts(10), "y": Y}, weight="w")
    assert code_of(job(data, evaluation=BY_PART, training={"batch_size": batch_size})) == "no_weight"


def test_weights_that_the_number_format_takes_for_zero_are_refused() -> None:
    data = inline({"x": X, "w": [1e-60] * ROWS, "y": Y}, weight="w")
    assert code_of(job(data, training={"batch_size": 4})) == "no_weight"


def test_a_batch_without_weight_moves_nothing() -> None:
    weights = [0.0] * 4 + [1.0] * 8
    data = inline({"x": X, "w": weights, "y": Y}, weight="w")
    _, fit = trained(job(data, training={"batch_size": 4, "shuffle": False}))
    same = inline({"x": X[4:], "y": Y[4:]})
    _, without = trained(job(same, training={"batch_size": 4, "shuffle": False}))
    assert torch.equal(fit.state_dict["weight"], without.state_dict["weight"])


def test_single_rows_that_cannot_be_normalized_are_refused_where_only_the_split_tells() -> None:
    data = inline({"x": X, "part": parts(9), "y": Y})
    model = {"type": "mlp", "hidden": [4], "normalization": "batch"}
    plan = job(data, model=model, evaluation=BY_PART, training={"batch_size": 4})
    assert code_of(plan) == "batch_too_small"


def test_a_column_without_values_in_the_training_rows_cannot_be_filled_in() -> None:
    gaps = [None] * 10 + [1.0, 2.0]
    data = inline({"x": X, "g": gaps, "part": parts(10), "y": Y})
    assert code_of(job(data, evaluation=BY_PART, preprocessing={"missing": "mean"})) == "missing_values"


@pytest.mark.parametrize("targets", [["v"], ["v", "y"]])
def test_targets_that_are_arrays_are_scaled_number_by_number(targets: list[str]) -> None:
    vectors = [[x, 100 * x, -x] for x in X]
    data = inline({"x": X, "v": vectors, "y": Y}, target=targets, features=["x"])
    _, fit = trained(job(data, preprocessing={"target_scaling": "standardize"}))
    numbers = np.column_stack([np.array(vectors), np.array(Y)])[:, : 2 + len(targets)]
    assert fit.preparation.target.shift == pytest.approx(numbers.mean(0))
    assert fit.preparation.target.scale == pytest.approx(numbers.std(0))


def test_one_class_in_the_training_rows_is_told() -> None:
    data = inline({"x": X, "part": parts(10), "c": CLASSES}, target="c")
    plan = job(data, model={"type": "logistic"}, loss={"type": "BCEWithLogitsLoss"}, evaluation=BY_PART)
    _, fit = trained(plan)
    codes = [warning["code"] for warning in (outcome(plan, fit).result or {})["warnings"]]
    assert codes == ["single_class"]


def test_a_training_that_stands_still_is_told() -> None:
    plan = job(inline({"x": X, "y": Y}), optimizer=STILL)
    _, fit = trained(plan)
    assert [w["code"] for w in (outcome(plan, fit).result or {})["warnings"]] == ["nothing_learnt"]


def test_after_divergence_the_kept_epoch_is_the_one_whose_parameters_are_kept() -> None:
    plan = job(
        inline({"x": X, "y": Y}),
        optimizer={"type": "SGD", "lr": 1e3},
        training={"epochs": 200, "dtype": "float64"},
    )
    history, fit = trained(plan)
    assert fit.stop_reason == "diverged"
    kept = (outcome(plan, fit).result or {})["kept_epoch"]
    # The loss of an epoch is taken before its step: that of the parameters after an epoch is the next one.
    assert history["train_loss"][kept] == pytest.approx(fit.train_loss, rel=1e-9)


def test_the_largest_stable_learning_rate_grows_with_the_number_of_targets() -> None:
    def bound(targets: int) -> float:
        columns = {f"y{i}": [x * (i + 1) for x in X] for i in range(targets)}
        data = inline({"x": X, **columns}, target=list(columns))
        plan = job(data, optimizer={"type": "SGD", "lr": 1e3}, training={"epochs": 300, "dtype": "float64"})
        return trained(plan)[1].largest_stable_lr or 0.0

    assert bound(3) == pytest.approx(3 * bound(1))


def test_a_rate_below_the_bound_is_not_to_be_raised_to_it() -> None:
    plan = job(inline({"x": X, "y": Y}), optimizer={"type": "SGD", "lr": 1e3}, training={"epochs": 300})
    _, fit = trained(plan)
    assert fit.largest_stable_lr
    assert "largest stable" in lower_lr_hint(fit, plan.spec)
    gentle = plan.spec.model_copy(update={"optimizer": SGD(type="SGD", lr=0.01)})
    assert "0.001" in lower_lr_hint(fit, gentle)


def test_an_interrupted_fold_is_no_result_of_the_cross_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first pulse comes after the first epoch, and not after a fold that takes less than a pulse.
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)

    class StopsSoon(History):
        def on_pulse(self, pulse: Pulse) -> None:
            super().on_pulse(pulse)
            raise Stop

    plan = job(inline({"x": X, "y": Y}), evaluation={"folds": {"k": 3}}, training={"engine": "eager"})
    fit = Trainer(plan, load(plan.spec.data), callbacks=[StopsSoon()]).fit()
    assert fit.stop_reason == "stopped"
    assert (outcome(plan, fit).result or {})["cross_validation"] is None


def test_a_code_that_is_no_whole_number_is_refused() -> None:
    frames = [[[x, 1.0], [0.5, x], [x, x]] for x in X]
    columns = {
        "s": frames,
        "c": [[1.0, 1.5]] * ROWS,
        "n": [3.0] * ROWS,
        "m": [1.0 + r % 2 for r in range(ROWS)],
    }
    data = inline(columns, target="c", features=["s"], lengths={"input": "n", "target": "m"})
    layers = [{"type": "Linear", "out_features": 4}, {"type": "LogSoftmax"}]
    plan = job(data, model={"type": "sequential", "layers": layers}, loss={"type": "CTCLoss"})
    assert code_of(plan) == "target_out_of_range"
