"""A predictor gives what the trained network gives, for columns in any order."""

import pytest
import torch

from service.exceptions import ColumnMismatch
from service.inference.predictor import Predictor
from service.spec.job import JobSpec
from service.training.trainer import Trainer
from service.training.weights import to_bytes
from tests.training.jobs import inline_job, tensors_of

ROWS = {"x0": [0.1, 1.5, -2.0], "x1": [3.0, 0.0, 7.25]}


def fitted(**job: object) -> tuple[JobSpec, Trainer, Predictor]:
    spec = inline_job(**{"features": 2, **job})
    trainer = Trainer(spec)
    return spec, trainer, Predictor(spec, to_bytes(trainer.fit().state_dict))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_predictions_equal_the_network_to_the_last_bit(dtype: str, *, bias: bool) -> None:
    spec, trainer, predictor = fitted(dtype=dtype, bias=bias)
    features, _ = tensors_of(spec)
    columns = {name: list(spec.data.table[name]) for name in spec.data.feature_names}
    with torch.inference_mode():
        assert predictor.predict(columns) == trainer.network(features)[:, 0].tolist()


def test_the_order_of_the_columns_does_not_matter() -> None:
    _, _, predictor = fitted()
    assert predictor.predict(dict(reversed(ROWS.items()))) == predictor.predict(ROWS)


def test_a_row_is_predicted_alone_as_among_others() -> None:
    _, _, predictor = fitted()
    alone = [predictor.predict({name: [column[row]] for name, column in ROWS.items()})[0] for row in range(3)]
    assert alone == pytest.approx(predictor.predict(ROWS), rel=1e-6)


def test_no_rows_are_no_predictions() -> None:
    _, _, predictor = fitted()
    assert predictor.predict({"x0": [], "x1": []}) == []


def test_it_knows_its_columns() -> None:
    _, _, predictor = fitted()
    assert (predictor.feature_names, predictor.target_name) == (("x0", "x1"), "y")


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
