"""A stored table is predicted block by block; what is wrong with it is told without reading a row."""

import numpy as np
import pyarrow as pa
import pytest

from service.exceptions import ColumnMismatch
from service.inference.predictor import Predictor
from service.inference.tables import TablePredictor, check_columns
from service.spec.schema import Column, Schema
from service.tables.frame import Frame
from service.training.weights import to_bytes
from tests.training.jobs import inline_job, trainer


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    plan = inline_job(features=2)
    fit = trainer(plan).fit()
    return Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))


def frame(**columns: np.ndarray) -> Frame:
    """A table of numbers."""
    known = tuple(Column(name=name, kind="number", dtype=str(one.dtype)) for name, one in columns.items())
    return Frame(Schema(rows=len(next(iter(columns.values()))), columns=known), columns)


def test_a_table_without_rows_has_a_result_without_rows(predictor: Predictor) -> None:
    found = TablePredictor(predictor, frame(x0=np.empty(0), x1=np.empty(0)), keep=["x1"])
    assert list(found.batches()) == []
    assert found.schema.names == ["x1", "y"]
    assert (found.unpredicted, found.complaints) == (0, [])


def test_neighbours_of_a_bad_row_keep_their_bits(predictor: Predictor) -> None:
    rows = 3 * predictor.block_rows + 5
    x0, x1 = np.arange(rows) / 7, np.arange(rows) / 3
    whole = pa.Table.from_batches(TablePredictor(predictor, frame(x0=x0, x1=x1)).batches())["y"].to_pylist()
    online = predictor.predict({"x0": x0.tolist(), "x1": x1.tolist()}).columns["y"]
    assert whole == list(online)
    holes = x0.copy()
    bad = [0, 17, predictor.block_rows, rows - 1]
    holes[bad] = np.nan
    table = TablePredictor(predictor, frame(x0=holes, x1=x1))
    found = pa.Table.from_batches(table.batches())["y"].to_pylist()
    assert [row for row, value in enumerate(found) if value is None] == bad
    assert [a for a, b in zip(found, whole, strict=True) if a is not None and a != b] == []
    (told,) = table.complaints
    assert (told.code, told.column, told.rows, told.first_row) == ("missing_values", "x0", 4, 0)


def test_columns_that_do_not_fit_are_told_all_at_once(predictor: Predictor) -> None:
    columns = (
        Column(name="x0", kind="category", dtype="str", values=("a",)),
        Column(name="X1", kind="number", dtype="float64"),
        Column(name="words", kind="text", dtype="str"),
        Column(name="image", kind="array", dtype="uint8", shape=(2, 2)),
    )
    with pytest.raises(ColumnMismatch) as told:
        check_columns(predictor, Schema(rows=5, columns=columns), keep=["words", "image", "id"])
    assert [(one.pointer, one.code) for one in told.value.problems] == [
        ("/data/id", "missing"),
        ("/data/id", "wrong_type"),
        ("/keep/0", "wrong_type"),
        ("/keep/1", "wrong_type"),
        ("/keep/2", "unknown_column"),
    ]
    assert "Did you mean `X1`?" in told.value.problems[0].hint
    assert all(one.hint for one in told.value.problems[:4])
