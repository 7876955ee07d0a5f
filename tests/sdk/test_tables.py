"""Tables of all kinds, and answers in kind."""

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fitd_client import UnreadableData
from fitd_client.predicted import Predicted
from fitd_client.tables import table_of

TEXTS: list[str | None] = ["a", None, "b"]
COLUMNS = {"x": [0.5, None, 2.0], "town": TEXTS, "n": [1, 2, 3]}
FRAME = pd.DataFrame(COLUMNS, index=[7, 8, 9])
ARROW = pa.table(COLUMNS)


class Polarish:
    """Hands itself over as polars does: as a stream of Arrow, with texts as views."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return ARROW.set_column(1, "town", pa.array(TEXTS, pa.string_view())).__arrow_c_stream__(
            requested_schema
        )


ROWS = [{"x": 0.5, "town": "a", "n": 1}, {"x": None, "town": None, "n": 2}, {"x": 2.0, "town": "b", "n": 3}]


@pytest.mark.parametrize("data", [COLUMNS, FRAME, ARROW, Polarish(), ROWS], ids=lambda it: type(it).__name__)
def test_every_kind_of_table_says_the_same(data: Any) -> None:  # noqa: ANN401
    table = table_of(data)
    assert table.inline() == COLUMNS
    assert (table.rows, table.cells) == (3, 9)
    sent = pa.ipc.open_stream(io.BytesIO(table.arrow_bytes())).read_all()
    assert sent.to_pydict() == COLUMNS
    assert str(sent.schema.field("town").type) in {"string", "large_string"}
    assert table.select(["n"]).inline() == {"n": [1, 2, 3]}
    assert table.with_columns({"y": np.array([4.0, 5.0, 6.0])}).inline() == COLUMNS | {"y": [4.0, 5.0, 6.0]}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pd.Series([1.5, None]), [1.5, None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Series([True, False]), [True, False]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series(["a", None], dtype="category"), ["a", None]),
        (pd.Series([3, 5], dtype="category"), [3, 5]),
        (pd.Series(pd.to_datetime(["1970-01-02", None])), [86400.0, None]),
        (pd.Series(pd.to_datetime(["1970-01-01T01:00:00+01:00"])), [0.0]),
        (pd.Series([np.array([1, 2]), np.array([3, 4])]), [[1, 2], [3, 4]]),
    ],
    ids=lambda it: str(getattr(it, "dtype", "")),
)
def test_every_type_of_pandas_becomes_what_the_service_reads(values: Any, wanted: list[Any]) -> None:  # noqa: ANN401
    table = table_of(pd.DataFrame({"x": values}))
    assert table.inline() == {"x": wanted}
    assert table.with_columns({"again": values}).inline() == {"x": wanted, "again": wanted}


def test_dates_of_numpy_and_python_are_seconds() -> None:
    table = table_of(
        {"a": np.array(["1970-01-02T00:00:00"], "datetime64[ns]"), "b": [datetime(1970, 1, 2, tzinfo=UTC)]}
    )
    assert table.inline() == {"a": [86400.0], "b": [86400.0]}


def test_categories_of_numbers_are_sent_as_numbers() -> None:
    frame = pd.DataFrame({"size": pd.Series([3, 5, 3], dtype="category")})
    sent = pa.ipc.open_stream(io.BytesIO(table_of(frame).arrow_bytes())).read_all()
    assert str(sent.schema.field("size").type) == "int64"


def test_a_matrix_gets_names_and_keeps_those_that_it_is_given() -> None:
    matrix = np.array([[1, 2], [3, 4]])
    assert table_of(matrix).inline() == {"x0": [1, 3], "x1": [2, 4]}
    assert table_of(matrix, names=["a", "b"]).inline() == {"a": [1, 3], "b": [2, 4]}
    assert table_of(matrix, names=["vector"]).inline() == {"vector": [[1, 2], [3, 4]]}
    assert table_of(np.array([1, 2])).inline() == {"x": [1, 2]}


def test_images_are_arrays_in_both_ways() -> None:
    table = table_of({"image": np.arange(12.0).reshape(2, 2, 3)})
    assert table.inline() == {"image": [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]}
    sent = pa.ipc.open_stream(io.BytesIO(table.arrow_bytes())).read_all()
    assert sent.to_pydict() == table.inline()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (object(), "object is no table"),
        ({"x": [1], "y": [1, 2]}, "differ in length"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "same name"),
        (np.array(3.0), "no rows"),
    ],
)
def test_what_is_no_table_is_told(data: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(UnreadableData, match=message):
        table_of(data)


def test_a_matrix_of_another_width_is_told() -> None:
    with pytest.raises(UnreadableData, match="3 columns; there are 2 names"):
        table_of(np.zeros((2, 3)), names=["a", "b"])


ONE = Predicted({"y": [1.0, None]}, {"no": [0.25, 0.5], "yes": [0.75, 0.5]})
TWO = Predicted({"y": [1.0, 2.0], "z": ["a", "b"]})


def test_predictions_for_a_frame_are_a_series_with_its_index() -> None:
    sent = table_of(pd.DataFrame({"x": [1, 2]}, index=["first", "second"]))
    pd.testing.assert_series_equal(
        ONE.in_kind(sent), pd.Series([1.0, np.nan], index=["first", "second"], name="y")
    )
    assert list(TWO.in_kind(sent).columns) == ["y", "z"]
    assert list(ONE.probabilities_in_kind(sent).loc["second"]) == [0.5, 0.5]


def test_predictions_for_a_matrix_are_an_array() -> None:
    sent = table_of(np.zeros((2, 1)))
    np.testing.assert_array_equal(ONE.in_kind(sent), [1.0, np.nan])
    assert ONE.probabilities_in_kind(sent).shape == (2, 2)
    assert TWO.in_kind(sent).shape == (2, 2)


def test_predictions_for_arrow_and_for_columns_are_of_their_kind() -> None:
    assert ONE.in_kind(table_of(ARROW)).to_pydict() == {"y": [1.0, None]}
    assert ONE.in_kind(table_of(COLUMNS)) == {"y": [1.0, None]}
    assert ONE.in_kind(table_of(ROWS)) == {"y": [1.0, None]}


def test_predictions_as_arrow_are_told_apart_by_their_place() -> None:
    table = pa.table({"std.y": [1.0], "probabilities.a": [0.5], "std.std.y": [0.1]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found = Predicted.from_arrow(sink.getvalue(), targets=["std.y"])
    assert found.in_kind(table_of(COLUMNS)) == {"std.y": [1.0]}
    assert list(found.probabilities) == ["a"]
    assert list(found.std) == ["std.y"]
