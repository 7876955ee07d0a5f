"""Values that come to a prediction are taken as the training took them, or refused where they are."""

import math
from typing import Any

import pytest

from service.exceptions import ColumnMismatch, Problem
from service.inference.predictor import Predictor
from service.spec.plan import Plan
from service.training.weights import coefficients, to_bytes
from tests.training.jobs import inline, job, trainer

NUMBERS = {"x": [1.0, 2.0, None, 4.0], "z": ["a", "b", "a", "b"], "y": [1.0, 2.0, 2.0, 5.0]}


def predictor_of(plan: Plan) -> Predictor:
    fit = trainer(plan).fit()
    return Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))


def problems(predictor: Predictor, columns: dict[str, list[Any]]) -> list[Problem]:
    with pytest.raises(ColumnMismatch) as error:
        predictor.predict(columns)
    assert all(problem.hint for problem in error.value.problems)
    return error.value.problems


FILLED = predictor_of(job(inline(NUMBERS), preprocessing={"missing": "most_frequent"}))
IMAGES = predictor_of(
    job(
        inline({"v": [[[1, 2], [3, 4]], [[2, 2], [0, 4]]], "y": [1.0, 2.0]}),
        model={"type": "cnn", "blocks": [{"channels": 1}]},
    )
)


@pytest.mark.parametrize(
    ("columns", "pointer", "code"),
    [
        ({"x": [1.0], "z": ["c"]}, "/columns/z/0", "unknown_category"),
        ({"x": [1.0, 2.0], "z": ["a", 3]}, "/columns/z/1", "unknown_category"),
        ({"x": ["1"], "z": ["a"]}, "/columns/x/0", "wrong_type"),
        ({"x": [1.0, [2.0]], "z": ["a", "a"]}, "/columns/x/1", "wrong_type"),
    ],
    ids=str,
)
def test_a_value_that_the_training_never_saw_is_told_where_it_is(
    columns: dict[str, list[Any]], pointer: str, code: str
) -> None:
    (problem,) = problems(FILLED, columns)
    assert (problem.pointer, problem.code) == (pointer, code)


def test_a_list_is_no_category() -> None:
    (problem,) = problems(FILLED, {"x": [1.0], "z": [["a"]]})
    assert (problem.pointer, problem.code) == ("/columns/z/0", "unknown_category")


def test_a_missing_value_is_filled_in_as_in_the_training() -> None:
    # All three numbers occur once: the smallest of the most frequent ones is 1.
    gap, filled = (FILLED.predict({"x": [x], "z": ["b"]}).columns for x in (None, 1.0))
    assert gap == filled


def test_a_missing_value_without_a_fill_is_refused() -> None:
    plain = predictor_of(job(inline({"x": [1.0, 2.0], "z": ["a", "b"], "y": [1.0, 2.0]})))
    for columns, pointer in (({"x": [None], "z": ["a"]}, "x"), ({"x": [1.0], "z": [None]}, "z")):
        (problem,) = problems(plain, columns)
        assert (problem.pointer, problem.code) == (f"/columns/{pointer}/0", "missing_values")


@pytest.mark.parametrize(
    "image", [[[1, 2, 3], [4, 5, 6]], [1, 2], [[1], [2, 3]], [["a", "b"], ["c", "d"]], 3]
)
def test_an_image_of_another_shape_is_refused(image: object) -> None:
    (problem,) = problems(IMAGES, {"v": [image]})
    assert problem.code in {"wrong_shape", "wrong_type"}
    assert str(problem.pointer).startswith("/columns/v")


@pytest.mark.parametrize("model", [{"type": "linear"}, {"type": "polynomial", "degree": 2}], ids=str)
def test_predictions_are_in_raw_units_and_follow_from_the_coefficients(model: dict[str, Any]) -> None:
    x, z = [1.0, 2.0, 3.0, 5.0, 8.0], [30.0, 10.0, 20.0, 50.0, 10.0]
    plan = job(
        inline({"x": x, "z": z, "y": [100.0, 300.0, 200.0, 900.0, 700.0]}),
        model=model,
        preprocessing={"scaling": "standardize", "target_scaling": "min_max"},
        training={"dtype": "float64", "epochs": 50},
    )
    fit = trainer(plan).fit()
    told = coefficients(fit.state_dict, fit.preparation, model=model["type"])
    assert told is not None
    weights, intercept = told
    new = {"x": [2.5, -4.0], "z": [15.0, 80.0]}
    by_hand = [
        intercept
        + sum(
            weight * {"x": a, "z": b, "x^2": a * a, "x*z": a * b, "z^2": b * b}[name]
            for name, weight in weights.items()
        )
        for a, b in zip(new["x"], new["z"], strict=True)
    ]
    predictor = Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))
    assert predictor.predict(new).columns["y"] == pytest.approx(by_hand, rel=1e-9)


def test_classes_are_predicted_by_name_with_their_probabilities() -> None:
    x = [-2.0, -1.5, 0.1, 0.2, 1.5, 2.0]
    plan = job(
        inline({"x": x, "y": ["low", "low", "mid", "mid", "high", "high"]}),
        model={"type": "softmax"},
        loss={"type": "CrossEntropyLoss"},
        optimizer={"type": "Adam", "lr": 0.1},
        training={"epochs": 400},
    )
    found = predictor_of(plan).predict({"x": [-2.0, 2.0]})
    assert found.columns == {"y": ["low", "high"]}
    assert list(found.probabilities) == ["high", "low", "mid"]
    assert [sum(row) for row in zip(*found.probabilities.values(), strict=True)] == pytest.approx([1.0, 1.0])


def test_yes_and_no_are_predicted_with_both_probabilities() -> None:
    plan = job(
        inline({"x": [-2.0, -1.0, 1.0, 2.0], "y": [0.0, 0.0, 1.0, 1.0]}),
        model={"type": "logistic"},
        loss={"type": "BCEWithLogitsLoss"},
        optimizer={"type": "Adam", "lr": 0.1},
        training={"epochs": 200},
    )
    found = predictor_of(plan).predict({"x": [-2.0, 2.0]})
    assert found.columns == {"y": [0.0, 1.0]}
    assert found.probabilities["1"][1] > 0.5 > found.probabilities["1"][0]


def test_a_fitted_width_is_told_in_raw_units() -> None:
    columns = {"x": [0.0, 1.0, 2.0, 3.0], "y": [100.0, 340.0, 480.0, 710.0]}
    plan = job(
        inline(columns),
        loss={"type": "GaussianNLLLoss"},
        preprocessing={"target_scaling": "standardize"},
        training={"dtype": "float64"},
    )
    fit = trainer(plan).fit()
    predictor = Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))
    found = predictor.predict({"x": [1.0]})
    log_variance = (fit.state_dict["weight"][1] + fit.state_dict["bias"][1]).item()
    scale = fit.preparation.target.scale[0]
    assert found.std["y"][0] == pytest.approx(scale * 2.718281828459045 ** (log_variance / 2), rel=1e-9)


def test_a_fitted_width_follows_from_the_coefficients() -> None:
    columns = {"x": [0.0, 100.0, 200.0, 300.0], "y": [100.0, 340.0, 480.0, 710.0]}
    loss = {"type": "GaussianNLLLoss"}
    plan = job(
        inline(columns),
        loss=loss,
        preprocessing={"scaling": "standardize", "target_scaling": "standardize"},
        training={"dtype": "float64", "epochs": 20},
    )
    fit = trainer(plan).fit()
    told = coefficients(fit.state_dict, fit.preparation, model="linear", loss=plan.spec.loss)
    assert told is not None
    weights, intercept = told
    log_variance = intercept["log_variance(y)"] + weights["log_variance(y)"]["x"] * 250.0
    found = Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation)).predict({"x": [250.0]})
    assert found.std["y"][0] == pytest.approx(math.exp(log_variance / 2), rel=1e-9)
    assert found.columns["y"][0] == pytest.approx(intercept["y"] + weights["y"]["x"] * 250.0, rel=1e-9)


P, Q = [[1.0, 2.0], [2.0, 1.0], [0.0, 3.0]], [[5.0, 0.0], [1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize("loss", ["MSELoss", "GaussianNLLLoss"])
def test_elements_of_arrays_are_predicted_under_the_name_of_their_own_column(loss: str) -> None:
    plan = job(inline({"x": [0.0, 1.0, 2.0], "p": P, "q": Q}, target=["p", "q"]), loss={"type": loss})
    found = predictor_of(plan).predict({"x": [1.0]})
    assert list(found.columns) == ["p[0]", "p[1]", "q[0]", "q[1]"]
    assert list(found.std) == (list(found.columns) if loss == "GaussianNLLLoss" else [])


def test_classes_that_are_nearly_equal_have_a_probability_each() -> None:
    plan = job(
        inline({"x": [0.0, 1.0, 2.0, 3.0], "y": [1000000.25, 1000000.25, 1000000.75, 1000000.75]}),
        model={"type": "softmax"},
        loss={"type": "CrossEntropyLoss"},
    )
    found = predictor_of(plan).predict({"x": [1.0]})
    assert list(found.probabilities) == ["1000000.25", "1000000.75"]


def test_a_class_beyond_64_bits_is_no_int_that_json_could_not_hold() -> None:
    plan = job(
        inline({"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0, 0.0, 1e20, 1e20]}),
        model={"type": "softmax"},
        loss={"type": "CrossEntropyLoss"},
    )
    assert [repr(one) for one in predictor_of(plan).classes] == ["0", "1e+20"]


EMBEDDED = [
    {"type": "Embedding", "num_embeddings": 4, "embedding_dim": 2},
    {"type": "Flatten"},
    {"type": "Linear"},
]


@pytest.mark.parametrize(
    ("code", "bad"), [(4.0, True), (-1.0, True), (1.5, True), (3.0, False), (0.0, False)]
)
def test_a_number_that_is_no_code_of_the_embedding_is_refused(code: float, *, bad: bool) -> None:
    model = {"type": "sequential", "layers": EMBEDDED}
    columns = {"a": [0.0, 1.0, 3.0], "b": [1.0, 1.0, 2.0], "y": [1.0, 2.0, 3.0]}
    predictor = predictor_of(job(inline(columns), model=model))
    rows = {"a": [0.0, 2.0, 1.0], "b": [1.0, code, 1.0]}
    if not bad:
        assert len(predictor.predict(rows).columns["y"]) == 3
        return
    (problem,) = problems(predictor, rows)
    assert (problem.pointer, problem.code) == ("/columns/b/1", "out_of_range")


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ([[1, 2, 3], [4, 5, 6]], "wrong_shape"),
        ([[1], [2, 3]], "wrong_type"),
        ([["a", "b"], ["c", "d"]], "wrong_type"),
        (3, "wrong_type"),
        (None, "missing_values"),
    ],
)
def test_a_bad_image_among_others_is_told_where_it_is(image: object, code: str) -> None:
    good = [[1, 2], [3, 4]]
    (problem,) = problems(IMAGES, {"v": [good, good, image, good]})
    assert (problem.pointer, problem.code) == ("/columns/v/2", code)


@pytest.mark.parametrize(
    ("model", "loss", "names"),
    [
        ({"type": "linear"}, "MarginRankingLoss", ["output"]),
        ({"type": "mlp", "hidden": [2], "outputs": 1}, "CosineEmbeddingLoss", ["output"]),
        ({"type": "linear", "outputs": 2}, "CosineEmbeddingLoss", ["output[0]", "output[1]"]),
    ],
    ids=str,
)
def test_no_rows_are_predicted_under_the_names_of_any_others(
    model: dict[str, Any], loss: str, names: list[str]
) -> None:
    columns = {"a": [1.0, 2.0, 3.0], "b": [4.0, 1.0, 2.0], "y": [1.0, 1.0, -1.0]}
    plan = job(inline(columns, inputs={"first": ["a"], "second": ["b"]}), model=model, loss={"type": loss})
    predictor = predictor_of(plan)
    assert list(predictor.predict({"a": [1.0]}).columns) == names
    assert {
        name: len(found) for name, found in predictor.predict({"a": []}).columns.items()
    } == dict.fromkeys(names, 0)


def test_no_sequences_are_predicted_as_none() -> None:
    spoken = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    columns = {"s": [spoken] * 3, "c": [1.0, 2.0, 3.0], "steps": [3.0, 3.0, 2.0], "codes": [1.0] * 3}
    layers = [
        {"type": "GRU", "hidden_size": 4, "output": "sequence"},
        {"type": "Linear", "out_features": 4},
        {"type": "LogSoftmax", "dim": 2},
    ]
    data = inline(columns, target="c", features=["s"], lengths={"input": "steps", "target": "codes"})
    predictor = predictor_of(
        job(data, model={"type": "sequential", "layers": layers}, loss={"type": "CTCLoss"})
    )
    assert predictor.predict({"s": []}).columns == {"c": []}
    assert len(predictor.predict({"s": [spoken]}).columns["c"]) == 1


def test_several_targets_are_each_predicted() -> None:
    columns = {"x": [0.0, 1.0, 2.0], "a": [1.0, 2.0, 3.0], "b": [5.0, 3.0, 1.0]}
    found = predictor_of(job(inline(columns, target=["a", "b"]))).predict({"x": [1.0, 2.0]})
    assert list(found.columns) == ["a", "b"]
    assert [len(values) for values in found.columns.values()] == [2, 2]
