"""Columns become inputs as a textbook would do it, with figures of the training rows alone."""

from typing import Any

import numpy as np
import pytest
import torch

from service.exceptions import TrainingFailed
from service.spec.plan import Plan
from service.training.frames import load
from service.training.preparation import Preparation, fitted
from service.training.rows import Batch
from service.training.splits import usable_rows
from service.training.trainer import Fit
from service.training.weights import coefficients
from tests.spec.specs import problems_in
from tests.training.jobs import inline, job, trained, trainer

NUMBERS = [4.0, 1.0, None, 7.0, 4.0, 100.0]
TEXTS = ["b", "a", None, "b", "c", "a"]
Y = [1.0, 3.0, 2.0, 5.0, 4.0, 9.0]


def prepared(plan: Plan, rows: list[int] | None = None) -> tuple[Preparation, Batch]:
    """A preparation that is fitted on some rows, and all rows encoded by it."""
    frame = load(plan.spec.data)
    preparation = fitted(plan, frame, np.array(rows if rows is not None else range(len(frame))))
    return preparation, preparation.batch(frame, slice(None))


@pytest.mark.parametrize(
    ("how", "value"), [("mean", 4.0), ("median", 4.0), ("most_frequent", 4.0), ("zero", 0.0)]
)
def test_missing_numbers_are_filled_with_a_figure_of_the_training_rows(how: str, value: float) -> None:
    plan = job(inline({"x": NUMBERS, "y": Y}), preprocessing={"missing": how})
    # Without the last row, which is not trained on, the mean is 4; with it, it would be 23.2.
    _, batch = prepared(plan, [0, 1, 2, 3, 4])
    assert batch.features[:, 0].tolist() == [4.0, 1.0, value, 7.0, 4.0, 100.0]


def test_the_median_and_the_most_frequent_value_are_told_apart() -> None:
    values = [1.0, 1.0, 5.0, 6.0, 7.0, None]
    for how, value in (("median", 5.0), ("most_frequent", 1.0), ("mean", 4.0)):
        _, batch = prepared(job(inline({"x": values, "y": Y}), preprocessing={"missing": how}))
        assert batch.features[5, 0].item() == value


def test_rows_with_missing_values_are_dropped_where_asked() -> None:
    plan = job(inline({"x": NUMBERS, "y": Y}), preprocessing={"missing": "drop"})
    frame = load(plan.spec.data)
    usable = usable_rows(frame, plan.spec.preprocessing, plan.schema.columns)
    assert usable.tolist() == [0, 1, 3, 4, 5]
    assert len(trainer(plan).fit().parts.train) == 5


def test_dropped_rows_train_as_if_they_had_never_been_sent() -> None:
    rest = [i for i in range(6) if NUMBERS[i] is not None]
    columns = {"x": [NUMBERS[i] for i in rest], "y": [Y[i] for i in rest]}
    dropped = trainer(job(inline({"x": NUMBERS, "y": Y}), preprocessing={"missing": "drop"})).fit()
    assert torch.equal(dropped.state_dict["weight"], trainer(job(inline(columns))).fit().state_dict["weight"])


def test_a_missing_target_is_dropped_and_never_filled_in() -> None:
    target = [1.0, None, 2.0, 5.0, 4.0, 9.0]
    spec = {
        "data": inline({"x": Y, "y": target}),
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD"},
        "training": {"epochs": 1},
        "preprocessing": {"missing": "drop"},
    }
    assert problems_in(spec) == []
    (problem,) = problems_in({**spec, "preprocessing": {}})
    assert (problem.pointer, problem.code) == ("/preprocessing/missing", "missing_values")


@pytest.mark.parametrize("how", ["mean", "median", "most_frequent", "zero"])
def test_a_target_is_not_trained_on_where_it_is_missing_although_features_are_filled_in(how: str) -> None:
    columns = {"x": NUMBERS, "y": [1.0, None, 2.0, 5.0, 4.0, 9.0]}
    plan = job(inline(columns), preprocessing={"missing": how, "columns": {"y": {"missing": "drop"}}})
    fit = trainer(plan).fit()
    assert fit.parts.train.tolist() == [0, 2, 3, 4, 5]
    assert fit.stop_reason == "completed"


def test_a_fill_cannot_stand_for_a_target() -> None:
    columns = {"x": Y, "y": [1.0, None, 2.0, 5.0, 4.0, 9.0]}
    spec = job(inline({"x": Y, "y": Y})).spec.model_dump(mode="json")
    spec |= {"data": inline(columns), "preprocessing": {"missing": "mean"}}
    (problem,) = problems_in(spec)
    assert (problem.pointer, problem.code) == ("/preprocessing/missing", "missing_values")


def test_too_few_rows_after_dropping_are_told() -> None:
    columns = {"x": [1.0, None, 2.0], "z": [None, 1.0, 2.0], "y": [1.0, 2.0, 3.0]}
    with pytest.raises(TrainingFailed) as error:
        trainer(job(inline(columns), preprocessing={"missing": "drop"}))
    assert error.value.code == "too_few_rows"


def test_categories_become_an_input_each_and_a_gap_the_most_frequent_one() -> None:
    plan = job(inline({"x": TEXTS, "y": Y}), preprocessing={"missing": "most_frequent"})
    preparation, batch = prepared(plan)
    assert preparation.names == ("x=a", "x=b", "x=c")
    assert batch.features.argmax(1).tolist() == [1, 0, 0, 1, 2, 0]
    assert batch.features.sum(1).tolist() == [1.0] * 6


def test_an_embedding_learns_a_vector_for_each_category() -> None:
    texts = ["b", "a", "a", "b", "c", "a"]
    plan = job(
        inline({"n": Y, "x": texts, "y": Y}),
        preprocessing={"encoding": "embedding", "embedding_dim": 2},
        model={"type": "mlp", "hidden": [3]},
    )
    fit = trainer(plan).fit()
    table = fit.state_dict["embeddings.0.weight"]
    assert table.shape == (3, 2)
    assert fit.state_dict["network.0.weight"].shape == (3, 3)
    assert plan.parameter_count == sum(tensor.numel() for tensor in fit.state_dict.values())
    still = trainer(plan.with_changes(training=plan.spec.training.model_copy(update={"epochs": 1}))).fit()
    assert not torch.equal(table, still.state_dict["embeddings.0.weight"])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("standardize", [-1.0, 1.0, 3.0]), ("min_max", [0.0, 1.0, 2.0]), ("none", [2.0, 4.0, 6.0])],
)
def test_numbers_are_scaled_by_figures_of_the_training_rows(how: str, expected: list[float]) -> None:
    plan = job(inline({"x": [2.0, 4.0, 6.0], "y": [1.0, 2.0, 3.0]}), preprocessing={"scaling": how})
    _, batch = prepared(plan, [0, 1])
    assert batch.features[:, 0].tolist() == expected


@pytest.mark.parametrize("scaling", ["standardize", "min_max"])
def test_a_dev_row_changes_nothing_in_the_training(scaling: str) -> None:
    def fit_with(last: float) -> Fit:
        columns = {
            "x": [1.0, 2.0, 4.0, 3.0, last],
            "z": [3.0, None, 5.0, 1.0, last],
            "y": [1.0, 2.0, 3.0, 5.0, last],
        }
        preprocessing = {"scaling": scaling, "target_scaling": scaling, "missing": "mean"}
        evaluation = {"split": {"type": "order", "dev": 0.2}}
        return trainer(job(inline(columns), preprocessing=preprocessing, evaluation=evaluation)).fit()

    first, second = fit_with(7.0), fit_with(-900.0)
    assert first.preparation == second.preparation
    assert all(torch.equal(tensor, second.state_dict[name]) for name, tensor in first.state_dict.items())
    assert first.score.losses["train"] == second.score.losses["train"]
    assert first.score.losses["dev"] != second.score.losses["dev"]


def test_single_columns_may_be_treated_otherwise() -> None:
    columns = {"x": [2.0, 4.0], "z": [2.0, 4.0], "y": [1.0, 2.0]}
    plan = job(inline(columns), preprocessing={"scaling": "min_max", "columns": {"z": {"scaling": "none"}}})
    _, batch = prepared(plan)
    assert batch.features.tolist() == [[0.0, 2.0], [1.0, 4.0]]


def by_hand(model: str, preparation: Preparation, fit: Fit, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Predictions in raw units, computed from the coefficients as anybody would."""
    told = coefficients(fit.state_dict, preparation, model=model)
    assert told is not None
    weights, intercept = told
    terms = {"x": x, "z": z, "x^2": x**2, "x*z": x * z, "z^2": z**2}
    return intercept + sum(weight * terms[name] for name, weight in weights.items())


@pytest.mark.parametrize("model", [{"type": "linear"}, {"type": "polynomial", "degree": 2}], ids=str)
@pytest.mark.parametrize("scaling", ["none", "standardize", "min_max"])
@pytest.mark.parametrize("target_scaling", ["none", "standardize", "min_max"])
def test_coefficients_are_in_raw_units(model: dict[str, Any], scaling: str, target_scaling: str) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(1.0, 0.5, 20), rng.normal(-1.0, 0.7, 20)
    columns = {"x": x.tolist(), "z": z.tolist(), "y": (3 * x - z + 10).tolist()}
    plan = job(
        inline(columns),
        model=model,
        preprocessing={"scaling": scaling, "target_scaling": target_scaling},
        training={"epochs": 40, "dtype": "float64"},
    )
    fit = trainer(plan).fit()
    frame = load(plan.spec.data)
    network = torch.nn.Linear(len(fit.preparation.names), 1, dtype=torch.float64)
    network.load_state_dict(fit.state_dict)
    with torch.no_grad():
        raw = fit.preparation.target.to_raw(network(fit.preparation.features(frame.arrays)))
    assert by_hand(model["type"], fit.preparation, fit, x, z) == pytest.approx(raw[:, 0].numpy(), rel=1e-9)


def test_a_scaled_target_is_trained_in_scaled_units_and_judged_in_raw_ones() -> None:
    columns = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1000.0, 3000.0, 5000.0, 7000.0]}
    plan = job(inline(columns), preprocessing={"target_scaling": "standardize"}, training={"epochs": 400},
               optimizer={"type": "SGD", "lr": 0.1})  # fmt: skip
    history, fit = trained(plan)
    assert history["train_loss"][0] < 10
    assert fit.score.metrics["train"]["mae"] == pytest.approx(0.0, abs=5.0)
    told = coefficients(fit.state_dict, fit.preparation, model="linear")
    assert told is not None
    assert told[0]["x"] == pytest.approx(2000.0, rel=1e-3)
    assert told[1] == pytest.approx(1000.0, rel=1e-2)


def test_images_are_channels_by_height_by_width() -> None:
    images = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) / 10
    plan = job(
        inline({"picture": images.tolist(), "y": [0.0, 1.0]}),
        model={"type": "cnn", "blocks": [{"channels": 2}], "pooling": "average"},
    )
    preparation, batch = prepared(plan)
    assert plan.inputs == preparation.shape == (3, 4, 5)
    assert torch.equal(batch.features, torch.from_numpy(images).float())
    assert trainer(plan).fit().state_dict["0.weight"].shape == (2, 3, 3, 3)


def test_channels_of_images_are_standardized_by_the_training_rows() -> None:
    images = np.random.default_rng(0).normal(3.0, 2.0, (4, 2, 3, 3))
    plan = job(
        inline({"picture": images.tolist(), "y": [0.0, 1.0, 2.0, 4.0]}),
        model={"type": "cnn", "blocks": [{"channels": 2}]},
        preprocessing={"arrays": "standardize"},
        training={"dtype": "float64"},
    )
    _, batch = prepared(plan, [0, 1, 2])
    train = batch.features[:3]
    torch.testing.assert_close(train.mean((0, 2, 3)), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(train.std((0, 2, 3), correction=0), torch.ones(2, dtype=torch.float64))


def test_vectors_lie_side_by_side_with_numbers() -> None:
    plan = job(inline({"v": [[1, 2], [3, 4]], "x": [5.0, 6.0], "y": [0.0, 1.0]}))
    preparation, batch = prepared(plan)
    assert preparation.names == ("v[0]", "v[1]", "x")
    assert batch.features.tolist() == [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]


@pytest.mark.parametrize("loss", ["MSELoss", "L1Loss"])
def test_a_row_of_weight_two_counts_like_the_row_twice(loss: str) -> None:
    columns = {"x": [1.0, 2.0, 3.0], "y": [2.0, 1.0, 5.0]}
    weighted = job(
        inline({**columns, "w": [1.0, 2.0, 1.0]}, weight="w"),
        loss={"type": loss},
        training={"dtype": "float64"},
    )
    twice = {name: [values[i] for i in (0, 1, 1, 2)] for name, values in columns.items()}
    repeated = job(inline(twice), loss={"type": loss}, training={"dtype": "float64"})
    (first, one), (second, other) = trained(weighted), trained(repeated)
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-12)
    for name, tensor in one.state_dict.items():
        torch.testing.assert_close(tensor, other.state_dict[name], rtol=1e-12, atol=1e-14)


def test_a_row_of_weight_zero_does_not_count() -> None:
    columns = {"x": [1.0, 2.0, 900.0], "y": [2.0, 1.0, 5.0]}
    fit = trainer(job(inline({**columns, "w": [1.0, 1.0, 0.0]}, weight="w"))).fit()
    without = trainer(job(inline({"x": [1.0, 2.0], "y": [2.0, 1.0]}))).fit()
    torch.testing.assert_close(fit.state_dict["weight"], without.state_dict["weight"])


def test_the_weight_is_no_feature() -> None:
    plan = job(inline({"x": [1.0, 2.0], "w": [1.0, 2.0], "y": [2.0, 1.0]}, weight="w"))
    assert plan.spec.data.feature_names() == ("x",)
