"""Rows to predict come as CSV as they come as JSON, and predictions go as CSV."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.exceptions import ColumnMismatch, InvalidRequest, NotAcceptable
from service.inference.delimited import from_csv, to_csv
from service.inference.exchange import Bounds
from service.inference.predictor import Predicted, Predictor
from service.inference.signature import inputs_of
from service.training.weights import to_bytes
from tests.training.jobs import inline, job, trainer

ROWS = {"x": [1.0, 2.0, None, 4.0, 5.0], "z": ["a", "NA", "a", "b", None], "y": [1.0, 2.0, 2.0, 5.0, 6.0]}
BOUNDS = Bounds(rows=1000, numbers=10_000)


def predictor_of(columns: dict[str, list[Any]]) -> Predictor:
    plan = job(inline(columns), preprocessing={"missing": "most_frequent"})
    fit = trainer(plan).fit()
    return Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))


PREDICTOR = predictor_of(ROWS)
INPUTS = inputs_of(PREDICTOR)


def read(text: str | bytes, *, bounds: Bounds = BOUNDS) -> dict[str, list[Any]]:
    data = text if isinstance(text, bytes) else text.encode()
    return {name: list(values) for name, values in from_csv(data, inputs=INPUTS, bounds=bounds).items()}


@pytest.mark.parametrize(
    ("text", "x", "z"),
    [
        ("x,z\n0.5,a\n-1e3,b\n", [0.5, -1000.0], ["a", "b"]),
        ("z,x\r\na,1\r\nb,2", [1.0, 2.0], ["a", "b"]),
        ("\ufeffx,z\n1,a\n", [1.0], ["a"]),
        ("x;z\n1,5;a\n", [1.5], ["a"]),
        ("x\tz\n1\ta\n", [1.0], ["a"]),
        ('"x","z"\n"1","a"\n\n2,"b"\n', [1.0, 2.0], ["a", "b"]),
        ("x,z\n,\n null , a \n", [None, None], [None, "a"]),
        ("x,z\n1,NA\n", [1.0], ["NA"]),
        ("x,z\ntrue,a\nFalse,a\n", [1.0, 0.0], ["a", "a"]),
        ("x,z\n1970-01-02,a\n,b\n", [86400.0, None], ["a", "b"]),
        ("x,z\n", [], []),
    ],
)
def test_csv_is_read_as_an_upload_is(text: str, x: list[float | None], z: list[str | None]) -> None:
    assert read(text) == {"x": x, "z": z}


@pytest.mark.parametrize(
    ("text", "x"),
    [
        (b"x\n1\n\n3\n", [1.0, None, 3.0]),
        (b"x\n1\n\n", [1.0, None]),
        (b"x\r\n1", [1.0]),
        (b'x\n""\n1\n', [None, 1.0]),
        (b"\xef\xbb\xbf\n\r\nx\n\n1\n", [None, 1.0]),
        (b"x\n", []),
    ],
)
def test_of_a_single_column_an_empty_line_is_a_gap(text: bytes, x: list[float | None]) -> None:
    assert list(from_csv(text, inputs=INPUTS[:1], bounds=BOUNDS)["x"]) == x


@pytest.fixture
def usual_field_limit() -> Iterator[None]:
    """The csv module's own limit: others in this process may have raised it."""
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("usual_field_limit")
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_line_of_many_names_is_read(delimiter: str) -> None:
    names = [f"a-name-of-some-length-{number}" for number in range(8000)]
    text = delimiter.join(names) + "\n" + delimiter.join(["1"] * len(names))
    assert len(text) > csv.field_size_limit()
    inputs = [{"name": name, "kind": "number"} for name in names]
    assert list(from_csv(text.encode(), inputs=inputs, bounds=BOUNDS)) == names
    with pytest.raises(InvalidRequest, match="field larger than field limit"):
        read("x" * (csv.field_size_limit() + 1))


def test_it_predicts_as_json_does() -> None:
    columns = from_csv(b"x,z\n0.5,a\n,b\n3,\n", inputs=INPUTS, bounds=BOUNDS)
    expected = PREDICTOR.predict({"x": [0.5, None, 3.0], "z": ["a", "b", None]})
    np.testing.assert_array_equal(PREDICTOR.predict(columns).columns["y"], expected.columns["y"])


@pytest.mark.parametrize(
    ("text", "pointer", "code", "word"),
    [
        ("", "", "unreadable_table", "no line"),
        (b"x,z\n\xff,a\n", "", "unreadable_table", "byte 4"),
        (b"x,z\n1,\0\n", "", "unreadable_table", "NUL"),
        ("x,z\n1,a\n2\n", "", "wrong_field_count", "Row 1 has 1 fields"),
        ("x,z\n1,a,3\n", "", "wrong_field_count", "Row 0 has 3 fields"),
        ("x,x\n1,2\n", "", "duplicate_column", "`x`"),
        ("x,z\n1,a\nmuch,a\n", "/columns/x/1", "wrong_type", "'much'"),
        ("x,z\n1,a\ntrue,a\n", "/columns/x/1", "wrong_type", "'true'"),
        ("x,z\n1,a\ninf,a\n", "/columns/x/1", "not_finite", "infinite"),
        ("x,z\n" + "1,a\n" * 1001, "", "limit_exceeded", "1,001 rows"),
    ],
)
def test_what_cannot_be_read_is_told_where_it_is(
    text: str | bytes, pointer: str, code: str, word: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        read(text)
    (problem,) = error.value.problems
    assert (problem.pointer, problem.code) == (pointer, code)
    assert word in problem.message
    assert problem.hint


def test_columns_that_the_model_does_not_know_are_told() -> None:
    with pytest.raises(ColumnMismatch) as error:
        PREDICTOR.predict(from_csv(b"x,color\n1,a\n", inputs=INPUTS, bounds=BOUNDS))
    assert {problem.code for problem in error.value.problems} == {"unknown_column", "missing"}


def test_arrays_are_not_in_csv() -> None:
    inputs = [{"name": "v", "kind": "array", "shape": [2, 2]}]
    with pytest.raises(InvalidRequest, match="array"):
        from_csv(b"v\n1\n", inputs=inputs, bounds=BOUNDS)


def test_predictions_are_written_with_names_and_gaps() -> None:
    found = Predicted({"a,b": np.array([0.1, np.nan, 1e-300])}, std={"a,b": np.array([1.0, 2.0, 3.0])})
    records = list(csv.reader(io.StringIO(to_csv(found).decode())))
    assert records[0] == ["a,b", "std.a,b"]
    assert [[float(one) if one else None for one in record] for record in records[1:]] == [
        [0.1, 1.0],
        [None, 2.0],
        [1e-300, 3.0],
    ]


def test_a_gap_in_a_single_column_is_no_empty_line() -> None:
    gaps = np.array([np.nan, 0.5, np.nan, np.nan])
    assert to_csv(Predicted({"y": gaps})) == b'y\n""\n0.5\n""\n""\n'
    again = from_csv(to_csv(Predicted({"x": gaps})), inputs=INPUTS[:1], bounds=BOUNDS)
    assert list(again["x"]) == [None, 0.5, None, None]


def test_classes_are_written_as_they_are() -> None:
    found = Predicted({"color": ['re"d', "", "1"]}, {"red": np.array([0.25, 0.5, 1.0])})
    records = list(csv.reader(io.StringIO(to_csv(found).decode())))
    assert records == [["color", "probabilities.red"], ['re"d', "0.25"], ["", "0.5"], ["1", "1"]]


def test_sequences_are_not_written() -> None:
    with pytest.raises(NotAcceptable):
        to_csv(Predicted({"word": [[1, 2], [3]]}))
