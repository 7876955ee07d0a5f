"""Parquet and Arrow: every type that is read, and damaged files."""

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.tables.orders import Format
from tests.tables.uploads import BUDGET, columns, in_child, order, problems, read


def parquet(table: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


def stream(table: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return buffer.getvalue()


def file(table: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


WRITERS: list[tuple[Format, Any]] = [("parquet", parquet), ("arrow", stream), ("arrow", file)]
VALUES: list[tuple[Any, list[Any], str]] = [
    (pa.array([1, None, 3]), [1.0, None, 3.0], "float64"),
    (pa.array([1, 2, 3], pa.uint8()), [1, 2, 3], "uint8"),
    (pa.array([2**62, 2, 3]), [2**62, 2, 3], "int64"),
    (pa.array([1.5, None, 2.5], pa.float32()), [1.5, None, 2.5], "float32"),
    (pa.array([1.5, 2.0, 2.5], pa.float16()), [1.5, 2.0, 2.5], "float16"),
    (pa.array([True, False, None]), [1.0, 0.0, None], "float64"),
    (pa.array([True, False, True]), [1, 0, 1], "uint8"),
    (pa.array([Decimal("1.25"), None, Decimal(3)]), [1.25, None, 3.0], "float64"),
    (pa.array([dt.date(1970, 1, 2), None, dt.date(1969, 12, 31)]), [86400.0, None, -86400.0], "float64"),
    (pa.array([1_500_000_000, None, 0], pa.timestamp("ns", "Europe/Berlin")), [1.5, None, 0.0], "float64"),
    (pa.array([1500, 0, None], pa.duration("ms")), [1.5, 0.0, None], "float64"),
    (pa.array([1500, 0, None], pa.time32("ms")), [1.5, 0.0, None], "float64"),
    (pa.array(["b", None, "ä"]), ["b", None, "ä"], "str"),
    (pa.array(["b", None, "a"], pa.large_string()), ["b", None, "a"], "str"),
    (pa.array(["b", None, "a"]).dictionary_encode(), ["b", None, "a"], "str"),
    (pa.nulls(3), [None, None, None], "float64"),
    (pa.array([[1, 2], [3, 4], [5, 6]]), [[1, 2], [3, 4], [5, 6]], "int64"),
    (pa.array([[1.0], [3.0], [5.0]], pa.list_(pa.float32(), 1)), [[1.0], [3.0], [5.0]], "float32"),
    (
        pa.array([[[1, 2]], [[3, 4]], [[5, 6]]], pa.list_(pa.list_(pa.int16()))),
        [[[1, 2]], [[3, 4]], [[5, 6]]],
        "int16",
    ),
]


@pytest.mark.parametrize(("kind", "write"), WRITERS)
@pytest.mark.parametrize(("values", "expected", "dtype"), VALUES)
def test_types(kind: Format, write: Any, values: Any, expected: list[Any], dtype: str) -> None:  # noqa: ANN401
    frame = read(write(pa.table({"v": values})), kind)
    assert columns(frame) == {"v": expected}
    assert frame.schema.by_name["v"].dtype == dtype


LARGE = 2**53


@pytest.mark.parametrize(("kind", "write"), WRITERS)
@pytest.mark.parametrize(
    "values",
    [
        pa.array([LARGE, 1, LARGE + 1]),
        pa.array([LARGE, None, LARGE + 1]),
        pa.array([1, 1, 2**64 - 1], pa.uint64()),
        pa.array([Decimal(LARGE), None, Decimal(LARGE + 1)]),
        pa.array([[LARGE, 1], [1, 2], [3, LARGE + 1]]),
        pa.array([[Decimal(LARGE)], [Decimal(1)], [Decimal(LARGE + 1)]]),
        pa.array([LARGE, LARGE, LARGE + 1]).dictionary_encode(),
    ],
)
def test_whole_numbers_that_a_float_does_not_hold_are_refused(kind: Format, write: Any, values: Any) -> None:  # noqa: ANN401
    (told,) = problems(write(pa.table({"v": values})), kind)
    assert (told.code, "row 3," in told.message) == ("inexact_integer", True)


def test_the_unit_of_dates_is_told() -> None:
    day = dt.date(1970, 1, 2)
    table = pa.table(
        {
            "day": [day],
            "at": pa.array([0], pa.timestamp("ns", "Europe/Berlin")),
            "days": [[day, day]],
            "coded": pa.array([day]).dictionary_encode(),
            "span": pa.array([1], pa.duration("ms")),
            "x": [1.0],
        }
    )
    units = [column.unit for column in read(parquet(table), "parquet").schema.columns]
    assert units == ["seconds since 1970"] * 4 + [None] * 2


def test_tensors_keep_their_shape() -> None:
    tensors = np.arange(24.0).reshape(2, 3, 4)
    frame = read(file(pa.table({"t": pa.FixedShapeTensorArray.from_numpy_ndarray(tensors)})), "arrow")
    assert frame.schema.by_name["t"].shape == (3, 4)
    assert np.array_equal(frame.arrays["t"], tensors)


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([[1, 2], [1, 2], [3]], 3),
        ([[1, 2], None, [3, 4]], 2),
        ([[1, 2], [1, 2], [3, None]], 3),
        ([[], [], []], 1),
        ([[1], [1, 2], [3]], 2),
    ],
)
def test_ragged_lists_are_told_with_their_row(values: list[Any], row: int) -> None:
    (told,) = problems(stream(pa.table({"v": pa.array(values, pa.list_(pa.int64()))})), "arrow")
    assert told.code == "ragged_arrays"
    assert f"in row {row}." in told.message


@pytest.mark.parametrize("values", [pa.array([{"a": 1}]), pa.array([b"x"]), pa.array([["x"]])])
def test_other_types_are_refused_by_name(values: Any) -> None:  # noqa: ANN401
    (told,) = problems(parquet(pa.table({"odd": values})), "parquet")
    assert told.code == "unsupported_type"
    assert "`odd`" in told.message


def test_not_finite_and_gaps_in_arrays_are_told() -> None:
    (infinite,) = problems(parquet(pa.table({"v": [1.0, 2.0, float("inf")]})), "parquet")
    assert "row 3" in infinite.message
    (gap,) = problems(parquet(pa.table({"v": [[1.0], [float("nan")]]})), "parquet")
    assert "row 2" in gap.message


def test_equal_names_are_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert [one.code for one in problems(stream(table), "arrow")] == ["duplicate_column"]


def test_a_table_without_rows_or_columns_is_refused() -> None:
    assert [one.code for one in problems(parquet(pa.table({"v": pa.array([], pa.int8())})), "parquet")] == [
        "empty_data"
    ]
    assert [one.code for one in problems(stream(pa.table({})), "arrow")] == ["empty_data"]


@pytest.mark.parametrize(("kind", "write"), WRITERS)
def test_damaged_files_are_told(kind: Format, write: Any) -> None:  # noqa: ANN401
    whole = write(pa.table({"v": list(range(1000)), "s": ["x"] * 1000}))
    for cut in (0.1, 0.5, 0.9):
        (told,) = problems(whole[: int(len(whole) * cut)], kind)
        assert told.code == "unreadable_file"
    assert problems(b"PAR1 is no file", kind)[0].code == "unreadable_file"


def test_columns_whose_type_says_all_and_others_keep_their_order_and_their_gaps() -> None:
    table = pa.table(
        {
            "f": pa.array([1.5, None, 2.5]),
            "i": pa.array([1, None, 3]),
            "i.j": pa.array([0.5, 0.25, None], pa.float32()),
            "k.l": pa.array([7, None, 9], pa.int32()),
            "t": pa.array(["a", None, "b"]),
            "l": pa.array([[1, 2], [3, 4], [5, 6]]),
            "d": pa.array([Decimal("1.25"), None, Decimal(3)]),
            "n": pa.nulls(3),
        }
    )
    frame = read(parquet(table), "parquet")
    assert [column.name for column in frame.schema.columns] == list(table.column_names)
    assert columns(frame) == {
        "f": [1.5, None, 2.5],
        "i": [1.0, None, 3.0],
        "i.j": [0.5, 0.25, None],
        "k.l": [7.0, None, 9.0],
        "t": ["a", None, "b"],
        "l": [[1, 2], [3, 4], [5, 6]],
        "d": [1.25, None, 3.0],
        "n": [None, None, None],
    }


@pytest.mark.parametrize("group", [None, 500_000], ids=["one row group", "several"])
def test_a_parquet_file_is_read_in_less_memory_than_it_has_bytes(group: int | None) -> None:
    rows = 4_000_000
    table = pa.table({name: np.random.default_rng(0).random(rows) for name in "abc"})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False, row_group_size=group or rows)
    budget = BUDGET.model_copy(update={"memory_bytes": 64 * 2**20})
    assert len(buffer.getvalue()) > budget.memory_bytes
    ended = in_child(order(buffer.getvalue(), "parquet", budget=budget))
    assert ended.code == 0
    assert ended.manifest is not None
    assert ended.manifest.table.rows == rows
