"""Rows come as Arrow or npy, and mean what they mean in JSON; what cannot be read is refused and harms nobody."""

import contextlib
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.exceptions import InvalidRequest, NotAcceptable, Problem
from service.inference.exchange import Bounds, from_arrow, from_npy, to_arrow, to_npy
from service.inference.predictor import Predicted, Predictor
from service.training.weights import to_bytes
from tests.training.jobs import inline, job, trainer

BOUNDS = Bounds(rows=1000, numbers=4000)
NAMES = ("x", "z")


def arrow(table: Any, **options: Any) -> bytes:  # noqa: ANN401 - pyarrow brings no types
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


def npy(array: Any, **options: Any) -> bytes:  # noqa: ANN401 - whatever numpy makes an array of
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def columns_of(data: bytes) -> dict[str, list[Any]]:
    return {name: np.array(one).tolist() for name, one in from_arrow(data, bounds=BOUNDS).items()}


def problem_of(read: Any) -> Problem:  # noqa: ANN401 - a call
    with pytest.raises(InvalidRequest) as error:
        read()
    (problem,) = error.value.problems
    assert problem.message
    assert problem.hint
    return problem


def test_arrow_columns_come_by_name_whatever_their_type() -> None:
    table = pa.table(
        {
            "double": [1.5, None, float("nan")],
            "small": pa.array([1, 2, 255], pa.uint8()),
            "half": pa.array(np.array([0.5, 1, 2], np.float16)),
            "truth": [True, None, False],
            "text": ["a", None, "c"],
            "code": pa.array(["a", "b", "a"]).dictionary_encode(),
            "vector": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
            "image": [[[1.0], [2.0]]] * 3,
            "none": pa.nulls(3),
        }
    )
    found = from_arrow(arrow(table), bounds=BOUNDS)
    assert {name: list(found[name]) for name in ("double", "small", "half", "truth", "none")} == {
        "double": [1.5, None, None],
        "small": [1.0, 2.0, 255.0],
        "half": [0.5, 1.0, 2.0],
        "truth": [1.0, None, 0.0],
        "none": [None, None, None],
    }
    assert (found["text"], found["code"]) == (["a", None, "c"], ["a", "b", "a"])
    assert np.array(found["vector"]).tolist() == [[1, 2], [3, 4], [5, 6]]
    assert np.shape(found["image"]) == (3, 2, 1)


def test_batches_of_a_stream_are_one_table_and_none_are_no_rows() -> None:
    table = pa.table({"x": range(10), "z": list("abcdefghij")})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    assert columns_of(bytes(sink.getvalue())) == {"x": list(range(10)), "z": list("abcdefghij")}
    assert columns_of(arrow(table.slice(0, 0))) == {"x": [], "z": []}


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("column", [pa.array([0.0] * 900), pa.array(["a"] * 900).dictionary_encode()])
def test_compressed_buffers_are_refused_before_they_are_unpacked(codec: str, column: Any) -> None:  # noqa: ANN401
    data = arrow(pa.table({"x": column}), compression=codec)
    assert problem_of(lambda: from_arrow(data, bounds=BOUNDS)).code == "unsupported_type"


@pytest.mark.parametrize(
    ("table", "code", "pointer"),
    [
        (pa.table({"x": pa.nulls(10**9)}), "limit_exceeded", ""),
        (pa.table({f"x{i}": pa.array([True] * 1000) for i in range(5)}), "limit_exceeded", ""),
        (pa.table({"x": [[1.0] * 900] * 9}), "limit_exceeded", ""),
        (pa.table({"x": pa.array([[]] * 9, pa.list_(pa.null()))}), "unsupported_type", "/columns/x"),
        (pa.table([[1.0], [2.0]], names=["x", "x"]), "duplicate_column", ""),
        (pa.table({"x": pa.array(["a" * 99], pa.string_view())}), "unsupported_type", "/columns/x"),
        (pa.table({"x~/": [b"a"]}), "unsupported_type", "/columns/x~0~1"),
        (pa.table({"x": [{"a": 1}]}), "unsupported_type", "/columns/x"),
        (pa.table({"x": [1.0, float("inf")]}), "not_finite", "/columns/x/1"),
        (pa.table({"x": [[1.0], [1.0, 2.0]]}), "wrong_shape", "/columns/x"),
        (pa.table({"x": [[1.0], None]}), "wrong_shape", "/columns/x"),
    ],
    ids=str,
)
def test_arrow_that_is_not_taken_is_told(table: Any, code: str, pointer: str) -> None:  # noqa: ANN401
    problem = problem_of(lambda: from_arrow(arrow(table), bounds=BOUNDS))
    assert (problem.code, problem.pointer) == (code, pointer)


WHOLE = arrow(
    pa.table(
        {"x": [1.0, None], "t": ["a", "b"], "c": pa.array(["a", "b"]).dictionary_encode(), "v": [[1.0]] * 2}
    )
)


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=3), st.integers(0, 2000)
)
def test_damaged_arrow_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    with contextlib.suppress(InvalidRequest):
        from_arrow(bytes(data[: len(data) - cut % 100]), bounds=BOUNDS)


MATRIX = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    "array",
    [
        MATRIX,
        MATRIX.astype(np.int8),
        MATRIX.astype(">f4"),
        np.asfortranarray(MATRIX),
        np.rec.fromarrays([MATRIX[:, 1], MATRIX[:, 0].astype(np.uint16)], names="z,x"),
    ],
    ids=lambda array: f"{array.dtype} {array.flags.f_contiguous}",
)
def test_a_matrix_has_the_features_in_their_order_and_fields_have_names(array: Any) -> None:  # noqa: ANN401
    found = from_npy(npy(array), feature_names=NAMES, bounds=BOUNDS)
    assert {name: list(one) for name, one in found.items()} == {"x": [0, 2, 4], "z": [1, 3, 5]}


def test_one_feature_may_be_a_number_a_text_or_an_array_in_each_row() -> None:
    for array in (np.arange(3.0), np.array(["a", "b"]), np.zeros((2, 4, 4)), np.zeros((3, 1))):
        (values,) = from_npy(npy(array), feature_names=("x",), bounds=BOUNDS).values()
        assert np.array(values).tolist() == (array[:, 0] if array.shape == (3, 1) else array).tolist()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unreadable_table"),
        (b"\x93NUMPY", "unreadable_table"),
        (npy(MATRIX)[:-1], "unreadable_table"),
        (npy(MATRIX) + b"0", "unreadable_table"),
        (npy(MATRIX).replace(b"(3, 2)", b"(9**9,"), "unreadable_table"),
        (npy(MATRIX).replace(b"(3, 2)", b"(-3,2)"), "unreadable_table"),
        (npy(np.array([{}], dtype=object)), "unreadable_table"),
        (npy(MATRIX.astype(complex)), "unreadable_table"),
        (npy(np.float64(3.0)), "unreadable_table"),
        (npy(np.zeros((10**9, 0))), "unreadable_table"),
        (npy(np.zeros((3, 0))), "unreadable_table"),
        (npy(np.zeros((2, 3))), "wrong_shape"),
        (npy(np.zeros((2, 2, 2))), "wrong_shape"),
        (npy(np.zeros((1001, 2), np.int8)), "limit_exceeded"),
        (npy(np.array([[1.0, np.inf]])), "not_finite"),
    ],
)
def test_npy_that_is_not_taken_is_told(data: bytes, code: str) -> None:
    assert problem_of(lambda: from_npy(data, feature_names=NAMES, bounds=BOUNDS)).code == code


@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), max_size=3))
def test_damaged_npy_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(npy(MATRIX))
    for place, value in changes:
        data[place] = value
    with contextlib.suppress(InvalidRequest):
        from_npy(bytes(data), feature_names=NAMES, bounds=BOUNDS)


def table_of(data: bytes) -> Any:  # noqa: ANN401 - pyarrow brings no types
    return pa.ipc.open_stream(data).read_all()


def test_predictions_are_the_same_in_all_three_forms() -> None:
    columns = {"x": [1.0, 2.0, 3.0, 4.0], "z": [4.0, 1.0, 3.0, 9.0], "y": [1.0, 2.0, 2.0, 5.0]}
    plan = job(inline(columns), loss={"type": "GaussianNLLLoss"})
    fit = trainer(plan).fit()
    predictor = Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))
    rows = {name: columns[name] for name in NAMES}
    plain = predictor.predict(rows)
    by_arrow = predictor.predict(from_arrow(arrow(pa.table(rows)), bounds=BOUNDS))
    matrix = np.column_stack([*rows.values()])
    by_npy = predictor.predict(from_npy(npy(matrix), feature_names=NAMES, bounds=BOUNDS))
    told = table_of(to_arrow(plain)).to_pydict()
    assert told == {"y": list(plain.columns["y"]), "std.y": list(plain.std["y"])}
    assert to_arrow(by_arrow) == to_arrow(plain) == to_arrow(by_npy)
    assert np.load(io.BytesIO(to_npy(plain))).tolist() == [[value] for value in plain.columns["y"]]


def test_classes_are_written_as_themselves() -> None:
    found = Predicted({"y": ["low", "high"]}, {"low": np.array([0.9, 0.2]), "high": np.array([0.1, 0.8])})
    assert table_of(to_arrow(found)).to_pydict() == {
        "y": ["low", "high"],
        "probabilities.low": [0.9, 0.2],
        "probabilities.high": [0.1, 0.8],
    }
    assert np.load(io.BytesIO(to_npy(found)), allow_pickle=False).tolist() == [["low"], ["high"]]


def test_sequences_are_no_matrix_but_a_column_of_lists() -> None:
    found = Predicted({"y": [[1, 2], [3]]})
    assert table_of(to_arrow(found)).to_pydict() == {"y": [[1, 2], [3]]}
    with pytest.raises(NotAcceptable):
        to_npy(found)
