"""What goes in comes out, whatever it is."""

import csv
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.exceptions import ServiceError
from tests.tables.uploads import columns, read, read_or_refused

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CELL = st.one_of(st.none(), FLOATS)
# A word keeps its beginning and its end, so that no blank is trimmed and none means "missing" or a number.
WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(lambda text: f"w{text}w")


def tables(rows: int) -> st.SearchStrategy[dict[str, list[Any]]]:
    one_column = st.one_of(
        st.lists(CELL, min_size=rows, max_size=rows),
        st.lists(st.one_of(st.none(), WORD), min_size=rows, max_size=rows).filter(any),
    )
    # Two columns at least: a lone empty field is a blank line.
    return st.dictionaries(WORD.map(str.strip), one_column, min_size=2, max_size=4)


TABLES = st.integers(1, 20).flatmap(tables)


@settings(max_examples=150, deadline=None)
@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv(table: dict[str, list[Any]], delimiter: str, end: str, quoting: Any) -> None:  # noqa: ANN401
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow(
            ["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row]
        )
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
    assert columns(read(buffer.getvalue(), delimiter=names[delimiter], header="true")) == table


@settings(max_examples=100, deadline=None)
@given(table=TABLES)
def test_parquet(table: dict[str, list[Any]]) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer)
    assert columns(read(buffer.getvalue(), "parquet")) == table


KINDS = st.one_of(
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.boolean_dtypes(),
)


def _kept(dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """Numbers that are not refused: finite ones, and whole ones up to 2^53."""
    if dtype.kind == "f":
        return {"allow_nan": False, "allow_infinity": False}
    return (
        {"min_value": -(2**53) if dtype.kind == "i" else 0, "max_value": 2**53}
        if dtype.itemsize == 8
        else None
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_npy(data: st.DataObject) -> None:
    dtype = data.draw(KINDS)
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    array = data.draw(hnp.arrays(dtype, shape, elements=_kept(dtype)))
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(array) if data.draw(st.booleans()) else array)
    frame = read(buffer.getvalue(), "npy")
    found = frame.arrays["values"]
    assert np.array_equal(found, array)
    assert found.dtype.itemsize == array.dtype.itemsize
    assert found.dtype.isnative
    assert not found.flags.writeable
    column = frame.schema.by_name["values"]
    assert (column.minimum, column.maximum) == (float(array.min()), float(array.max()))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(-1e9, 1e9))
def test_figures_are_those_of_numpy(values: list[float], shift: float) -> None:
    array = np.array(values) + shift
    buffer = io.BytesIO()
    np.save(buffer, array)
    column = read(buffer.getvalue(), "npy").schema.by_name["values"]
    assert column.mean is not None
    assert column.std is not None
    np.testing.assert_allclose(column.mean, array.mean(), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(column.std, array.std(), rtol=1e-9, atol=1e-6)
    assert column.values == tuple(np.unique(array).tolist())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["csv", "ndjson", "parquet", "arrow", "npy", "npz", "idx"]))
def test_any_bytes_are_read_or_refused(data: bytes, kind: Any) -> None:  # noqa: ANN401
    prefixes = {
        "npy": b"\x93NUMPY\x01\x00",
        "idx": b"\0\0\x08\x01",
        "parquet": b"PAR1",
        "arrow": b"\xff\xff\xff\xff",
    }
    for raw in (data, prefixes.get(kind, b"") + data):
        found = read_or_refused(raw, kind)
        if isinstance(found, ServiceError):
            assert found.message
            assert found.hint or len(getattr(found, "problems", ())) > 1
        else:
            assert len(found) > 0


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('a1,;"\n\r\t |.-e'), max_size=60))
def test_any_text_is_read_as_csv_or_refused(text: str) -> None:
    found = read_or_refused(text)
    assert found.message if isinstance(found, ServiceError) else len(found) > 0
