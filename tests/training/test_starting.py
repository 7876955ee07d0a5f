"""Starting from an earlier job's parameters, truth of synthetic data, and batches that cannot be normalized."""

from typing import Any

import pytest
import torch

from service.exceptions import InvalidSpec, TrainingFailed
from service.spec.advice import advice
from service.spec.plan import Plan
from service.training.frames import load
from service.training.truth import true_coefficients
from service.worker.outcome import outcome
from tests.conftest import TUTORIAL
from tests.spec.specs import parsed, with_expression
from tests.training.jobs import inline, inline_job, job, trained, trainer
from tests.training.shelf import Shelf

COLUMNS = {"x": [0.1, 0.7, -0.3, 1.2, 0.4, -1.0], "y": [1.0, 2.0, 0.5, 3.0, 1.5, 0.0]}
MLP = {"type": "mlp", "hidden": [3]}


def started(init: Any, *, model: dict[str, Any] = MLP, epochs: int = 3) -> Plan:  # noqa: ANN401 - an id or an object
    spec = {
        "data": inline(COLUMNS),
        "model": {**model, "init_from": init},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
        "training": {"epochs": epochs, "seed": 1},
    }
    return parsed(spec, library=Shelf(jobs=("job_a",)))


FIRST = trainer(job(inline(COLUMNS), model=MLP)).fit().state_dict


def test_a_job_goes_on_from_the_parameters_of_another() -> None:
    half = trainer(job(inline(COLUMNS), model=MLP, training={"epochs": 5})).fit()
    whole = trainer(job(inline(COLUMNS), model=MLP, training={"epochs": 8})).fit()
    on = trainer(started("job_a"), initial=half.state_dict).fit()
    assert all(torch.equal(tensor, whole.state_dict[name]) for name, tensor in on.state_dict.items())


def test_what_is_frozen_stays_and_the_rest_is_trained() -> None:
    fit = trainer(started({"job": "job_a", "freeze": ["0.*"]}), initial=FIRST).fit()
    for name, tensor in fit.state_dict.items():
        assert torch.equal(tensor, FIRST[name]) == name.startswith("0.")


@pytest.mark.parametrize(
    ("init", "tensors"),
    [
        ({"job": "job_a"}, {name: t for name, t in FIRST.items() if name != "0.bias"}),
        ({"job": "job_a"}, {**FIRST, "0.weight": torch.zeros(4, 1)}),
        ({"job": "job_a", "strict": False}, {"other": torch.zeros(1)}),
        ({"job": "job_a", "freeze": ["*"]}, FIRST),
        ({"job": "job_a", "freeze": ["9.*"]}, FIRST),
    ],
    ids=["missing", "another shape", "nothing fits", "all frozen", "nothing frozen"],
)
def test_what_does_not_fit_is_told(init: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(TrainingFailed) as error:
        trainer(started(init), initial=tensors).fit()
    assert error.value.code == "init_mismatch"
    assert error.value.hint


def test_what_fits_is_copied_where_asked() -> None:
    tensors = {**FIRST, "2.weight": torch.zeros(1, 7)}
    plan = started({"job": "job_a", "strict": False, "freeze": ["0.*"]}, epochs=1)
    fit = trainer(plan, initial=tensors).fit()
    assert torch.equal(fit.state_dict["0.weight"], FIRST["0.weight"])
    assert fit.state_dict["2.weight"].shape == (1, 3)


def truth_of(spec: dict[str, Any]) -> tuple[dict[str, float], float] | None:
    plan = parsed(spec)
    fit = trainer(plan.with_changes(training=plan.spec.training.model_copy(update={"epochs": 1}))).fit()
    return true_coefficients(plan.spec.data, fit.preparation)


def test_the_truth_of_the_tutorial_is_five_and_seven() -> None:
    assert truth_of(TUTORIAL) == ({"x": 5.0}, 7.0)


@pytest.mark.parametrize("scaling", ["none", "standardize"])
def test_the_truth_is_in_raw_units(scaling: str) -> None:
    spec = {**TUTORIAL, "preprocessing": {"scaling": scaling, "target_scaling": scaling}}
    assert truth_of(spec) == ({"x": 5.0}, 7.0)


def test_a_polynomial_has_the_truth_of_a_formula_of_its_terms() -> None:
    features = {"x": {"distribution": "uniform", "low": -1, "high": 2}, "z": {"distribution": "normal"}}
    spec = {**with_expression("3*x**2 - x*z + 4", **features), "model": {"type": "polynomial", "degree": 2}}
    assert truth_of(spec) == ({"x": 0.0, "z": 0.0, "x^2": 3.0, "x*z": -1.0, "z^2": 0.0}, 4.0)


@pytest.mark.parametrize("text", ["sin(x)", "x**2", "exp(x) + 1"])
def test_a_formula_that_the_model_cannot_be_has_no_truth(text: str) -> None:
    assert truth_of(with_expression(text)) is None


def test_rows_that_were_sent_have_no_truth() -> None:
    plan = inline_job()
    assert true_coefficients(plan.spec.data, trainer(plan).fit().preparation) is None


def test_the_result_tells_how_far_each_parameter_is_from_the_truth() -> None:
    plan = parsed(TUTORIAL)
    result = outcome(plan, trainer(plan).fit()).result
    assert result is not None
    truth = result["truth"]
    assert (truth["coefficients"], truth["intercept"]) == ({"x": 5.0}, 7.0)
    assert truth["difference"]["coefficients"]["x"] == 5.0 - result["coefficients"]["x"]
    assert truth["difference"]["intercept"] == 7.0 - result["intercept"]


NORMED = {"type": "mlp", "hidden": [3], "normalization": "batch"}


def test_a_last_batch_of_one_row_cannot_be_normalized_and_is_told() -> None:
    columns = {name: values[:5] for name, values in COLUMNS.items()}
    with pytest.raises(InvalidSpec) as error:
        job(inline(columns), model=NORMED, training={"batch_size": 4})
    assert [problem.code for problem in error.value.problems] == ["batch_too_small"]
    assert "drop_last" in error.value.problems[0].hint
    dropped = job(inline(columns), model=NORMED, training={"batch_size": 4, "drop_last": True})
    assert trainer(dropped).fit().stop_reason == "completed"


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"type": "mlp", "hidden": [8, 8]}, "optimizer": {"type": "SGD", "lr": 1e12}},
        {"model": NORMED, "optimizer": {"type": "SGD", "lr": 1e38}},
        {"model": {"type": "polynomial", "degree": 8}, "optimizer": {"type": "SGD", "lr": 100.0}},
        {"model": MLP, "optimizer": {"type": "LBFGS", "lr": 1e30}},
    ],
    ids=str,
)
def test_a_divergence_of_any_model_leaves_finite_parameters_and_a_hint(sections: dict[str, Any]) -> None:
    plan = job(inline(COLUMNS), training={"epochs": 200}, **sections)
    history, fit = trained(plan)
    ended = outcome(plan, fit)
    assert fit.stop_reason == "diverged"
    assert len(history["train_loss"]) == fit.epochs < 200
    assert all(bool(tensor.isfinite().all()) for tensor in fit.state_dict.values())
    assert ended.error is not None
    assert ended.error["code"] == "diverged"
    assert "learning rate" in ended.error["hint"]


def test_features_that_are_not_scaled_are_named_as_a_cure() -> None:
    plan = job(inline(COLUMNS), model=MLP, optimizer={"type": "SGD", "lr": 1e12}, training={"epochs": 50})
    error = outcome(plan, trainer(plan).fit()).error
    assert error is not None
    assert '"scaling": "standardize"' in error["hint"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"training": {"batch_size": 3}}, "not_a_power_of_two"),
        ({"training": {"batch_size": 64}}, "batch_larger_than_data"),
        ({"data": inline({"x": [1.0, 5000.0, 3.0], "y": [1.0, 2.0, 4.0]})}, "unscaled_features"),
        ({}, "no_dev_set"),
    ],
    ids=str,
)
def test_what_is_rarely_meant_is_advised_against(changes: dict[str, Any], code: str) -> None:
    sections = {"data": inline(COLUMNS), **changes}
    found = {one["code"]: one for one in advice(job(**sections))}
    assert code in found
    assert found[code]["pointer"].startswith("/")
    assert found[code]["message"]


def test_a_job_without_doubts_has_no_advice() -> None:
    plan = inline_job(rows=64, batch_size=16)
    assert advice(plan) == []
    assert load(plan.spec.data).schema.rows == 64
