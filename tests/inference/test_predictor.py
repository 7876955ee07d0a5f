"""A predictor gives what the trained network gives, for columns in any order."""

import pytest
import torch

from service.exceptions import ColumnMismatch
from service.inference.predictor import Predictor
from service.spec.plan import Plan
from service.training.trainer import Fit
from service.training.weights import to_bytes
from tests.training.jobs import inline_job, tensors_of, trainer

ROWS = {"x0": [0.1, 1.5, -2.0], "x1": [3.0, 0.0, 7.25]}


def fitted(**job: object) -> tuple[Plan, Fit, Predictor]:
    plan = inline_job(**{"features": 2, **job})
    fit = trainer(plan).fit()
    return plan, fit, Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))


def predicted(predictor: Predictor, columns: dict[str, list[float]]) -> list[float]:
    return list(predictor.predict(columns).columns["y"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_predictions_equal_the_network_to_the_last_bit(dtype: str, *, bias: bool) -> None:
    plan, fit, predictor = fitted(dtype=dtype, bias=bias)
    features, _ = tensors_of(plan)
    columns = {name: list(plan.spec.data.table[name]) for name in plan.spec.data.feature_names()}
    network = torch.nn.Linear(2, 1, bias=bias, dtype=features.dtype)
    network.load_state_dict(fit.state_dict)
    with torch.inference_mode():
        assert predicted(predictor, columns) == network(features)[:, 0].tolist()


def test_the_order_of_the_columns_does_not_matter() -> None:
    _, _, predictor = fitted()
    assert predicted(predictor, dict(reversed(ROWS.items()))) == predicted(predictor, ROWS)


def test_a_row_is_predicted_alone_as_among_others() -> None:
    _, _, predictor = fitted()
    alone = [predicted(predictor, {name: [column[row]] for name, column in ROWS.items()}) for row in range(3)]
    assert [one for (one,) in alone] == pytest.approx(predicted(predictor, ROWS), rel=1e-6)


def test_no_rows_are_no_predictions() -> None:
    _, _, predictor = fitted()
    assert predicted(predictor, {"x0": [], "x1": []}) == []


def test_it_knows_its_columns() -> None:
    _, _, predictor = fitted()
    assert (predictor.feature_names, predictor.target_names) == (("x0", "x1"), ("y",))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"x0": [1.0]}, [("/columns", "missing")]),
        ({}, [("/columns", "missing")] * 2),
        ({"x0": [1.0], "x1": [1.0], "y": [1.0]}, [("/columns/y", "unknown_column")]),
        ({"x0": [1.0], "X1": [1.0]}, [("/columns/X1", "unknown_column"), ("/columns", "missing")]),
        ({"x0": [1.0], "x1": [1.0], "a/b~": [1.0]}, [("/columns/a~1b~0", "unknown_column")]),
        ({"x0": [1.0], "x1": [1.0, 2.0]}, [("/columns", "ragged_columns")]),
    ],
    ids=str,
)
def test_columns_that_do_not_fit_are_told_one_by_one(
    columns: dict[str, list[float]], expected: list[tuple[str, str]]
) -> None:
    _, _, predictor = fitted()
    with pytest.raises(ColumnMismatch) as error:
        predictor.predict(columns)
    assert [(problem.pointer, problem.code) for problem in error.value.problems] == expected
    assert all(problem.message and problem.hint for problem in error.value.problems)


def test_a_misspelt_column_is_answered_with_the_one_that_was_meant() -> None:
    _, _, predictor = fitted()
    with pytest.raises(ColumnMismatch) as error:
        predictor.predict({"x0": [1.0], "X1": [1.0]})
    assert error.value.problems[0].hint == "Did you mean `x1`?"
