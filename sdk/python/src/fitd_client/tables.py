"""Tables of all kinds, read in one way: DataFrames, Arrow, matrices of numpy, columns in a dict.

pandas, pyarrow and numpy are loaded only where a table is theirs, or where Arrow is to be written.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from fitd_client.errors import UnreadableData
from fitd_client.packages import package

__all__ = ["ArrowTable", "Columns", "FrameTable", "Table", "names_of", "table_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VECTOR, _MATRIX = 1, 2


class Table(ABC):
    """Named columns of one length.

    Attributes:
        kind: What it was made from: `frame`, `arrow`, `polars`, `matrix` or `columns`. Answers come back in kind.
        names: Of the columns.
        rows: How many there are.
        index: Of a DataFrame; None of other tables.
    """

    kind: str
    names: list[str]
    rows: int
    index: Any = None

    @property
    def cells(self) -> int:
        """How many values there are, an array counting as one."""
        return self.rows * len(self.names)

    @abstractmethod
    def values(self, name: str) -> list[Any]:
        """Give the values of a column as JSON has them: None where one is missing, dates as seconds since 1970."""

    @abstractmethod
    def arrow(self) -> Any:  # noqa: ANN401 - pyarrow brings no types
        """Give the table as one of pyarrow."""

    @abstractmethod
    def select(self, names: Sequence[str]) -> "Table":
        """Give some of the columns."""

    @abstractmethod
    def with_columns(self, columns: Mapping[str, Any]) -> "Table":
        """Give a table with more columns, or with others in their places."""

    def inline(self) -> dict[str, list[Any]]:
        """Give all columns as JSON has them."""
        return {name: self.values(name) for name in self.names}

    def arrow_bytes(self) -> bytes:
        """Write the table as an Arrow stream."""
        pyarrow = package("pyarrow", why="A large table")
        package("pyarrow.ipc", why="A large table")
        table = _plain_types(pyarrow, self.arrow())
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        written: bytes = sink.getvalue().to_pybytes()
        return written


class Columns(Table):
    """Columns in a dict, or those of a matrix."""

    def __init__(self, columns: Mapping[str, Any], *, kind: str = "columns") -> None:
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise UnreadableData(f"The columns differ in length: {lengths}.")
        self.kind = kind
        self.names = list(columns)
        self.rows = next(iter(lengths.values()), 0)
        self._columns = dict(columns)

    def values(self, name: str) -> list[Any]:
        """Give the values of a column."""
        return _jsonable(self._columns[name])

    def arrow(self) -> Any:  # noqa: ANN401 - pyarrow brings no types
        """Give the table as one of pyarrow."""
        pyarrow = package("pyarrow", why="A large table")
        return pyarrow.table({name: _arrow_column(pyarrow, values) for name, values in self._columns.items()})

    def select(self, names: Sequence[str]) -> "Columns":
        """Give some of the columns."""
        return Columns({name: self._columns[name] for name in names}, kind=self.kind)

    def with_columns(self, columns: Mapping[str, Any]) -> "Columns":
        """Give a table with more columns."""
        return Columns({**self._columns, **columns}, kind=self.kind)


class FrameTable(Table):
    """A DataFrame of pandas."""

    kind = "frame"

    def __init__(self, frame: Any) -> None:  # noqa: ANN401 - pandas may be absent
        if not all(isinstance(name, str) for name in frame.columns):
            frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        self._frame = frame
        self.names = list(frame.columns)
        self.rows = len(frame)
        self.index = frame.index
        if len(set(self.names)) < len(self.names):
            raise UnreadableData(f"Two columns have the same name: {self.names}.")

    def values(self, name: str) -> list[Any]:
        """Give the values of a column."""
        series = self._frame[name]
        if series.dtype.kind in "biuf" and not series.isna().any():
            plain: list[Any] = series.tolist()
            return plain
        return _jsonable(series.astype(object).where(series.notna(), None).tolist())

    def arrow(self) -> Any:  # noqa: ANN401 - pyarrow brings no types
        """Give the table as one of pyarrow."""
        pyarrow = package("pyarrow", why="A large DataFrame")
        return pyarrow.Table.from_pandas(self._frame, preserve_index=False).replace_schema_metadata(None)

    def select(self, names: Sequence[str]) -> "FrameTable":
        """Give some of the columns."""
        return FrameTable(self._frame[list(names)])

    def with_columns(self, columns: Mapping[str, Any]) -> "FrameTable":
        """Give a table with more columns."""
        # By place, as rows are: an index of their own does not count.
        return FrameTable(self._frame.assign(**{name: _by_place(values) for name, values in columns.items()}))


class ArrowTable(Table):
    """A table of pyarrow, or of whatever hands itself over as an Arrow stream, such as a DataFrame of polars."""

    def __init__(self, table: Any, *, kind: str = "arrow") -> None:  # noqa: ANN401 - pyarrow brings no types
        self._table = table
        self.kind = kind
        self.names = list(table.column_names)
        self.rows = table.num_rows

    def values(self, name: str) -> list[Any]:
        """Give the values of a column."""
        return _jsonable(self._table.column(name).to_pylist())

    def arrow(self) -> Any:  # noqa: ANN401 - pyarrow brings no types
        """Give the table as one of pyarrow."""
        return self._table

    def select(self, names: Sequence[str]) -> "ArrowTable":
        """Give some of the columns."""
        return ArrowTable(self._table.select(list(names)), kind=self.kind)

    def with_columns(self, columns: Mapping[str, Any]) -> "ArrowTable":
        """Give a table with more columns."""
        pyarrow = package("pyarrow", why="An Arrow table")
        kept = {name: self._table.column(name) for name in self.names}
        more = {name: _arrow_column(pyarrow, _by_place(values)) for name, values in columns.items()}
        return ArrowTable(pyarrow.table(kept | more), kind=self.kind)


def table_of(data: Any, *, names: Sequence[str] | None = None) -> Table:  # noqa: ANN401 - tables of all kinds
    """Read a table, whatever it is made of.

    Args:
        data: A DataFrame, a dict of columns, a list of rows, an Arrow table, a matrix, or an array with a first axis
            of rows.
        names: Of the columns of a matrix; `x0`, `x1`, … where they are left out, and `x` for rows that are arrays.

    Raises:
        UnreadableData: It is none of these.
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, Mapping):
        return Columns({str(name): values for name, values in data.items()})
    if _is_frame(data):
        return FrameTable(data)
    if hasattr(data, "__arrow_c_stream__"):
        kind = "polars" if type(data).__module__.split(".")[0] == "polars" else "arrow"
        return ArrowTable(package("pyarrow", why="An Arrow table").table(data), kind=kind)
    if _is_rows(data):
        return Columns({str(name): [row[name] for row in data] for name in data[0]}, kind="rows")
    if hasattr(data, "shape") or isinstance(data, Sequence):
        return _matrix(data, names)
    message = (
        f"{type(data).__name__} is no table: a DataFrame, a dict of columns, an Arrow table or a matrix is."
    )
    raise UnreadableData(message)


def _is_frame(data: Any) -> bool:  # noqa: ANN401 - tables of all kinds
    return type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns")


def _is_rows(data: Any) -> bool:  # noqa: ANN401 - tables of all kinds
    return isinstance(data, Sequence) and bool(data) and isinstance(data[0], Mapping)


def _matrix(data: Any, names: Sequence[str] | None) -> Columns:  # noqa: ANN401 - whatever numpy reads
    array = package("numpy", why="A matrix").asarray(data)
    if array.dtype.names is not None:
        return Columns({name: array[name] for name in array.dtype.names}, kind="matrix")
    # A single feature may be a vector in each row.
    if array.ndim == _MATRIX and not (names is not None and len(names) == 1 != array.shape[1]):
        given = list(names) if names else names_of(array.shape[1])
        if len(given) != array.shape[1]:
            raise UnreadableData(f"The matrix has {array.shape[1]} columns; there are {len(given)} names.")
        return Columns({name: array[:, place] for place, name in enumerate(given)}, kind="matrix")
    if array.ndim >= _VECTOR:
        return Columns({names[0] if names else "x": array}, kind="matrix")
    raise UnreadableData(f"{data!r} has no rows."[:200])


def names_of(count: int) -> list[str]:
    """Give the names of columns that have none: `x0`, `x1` and so on."""
    return [f"x{place}" for place in range(count)]


def _by_place(values: Any) -> Any:  # noqa: ANN401 - a column of any kind
    """Give a column without an index."""
    return values.array if hasattr(values, "iloc") else values


def _jsonable(values: Any) -> list[Any]:  # noqa: ANN401 - a column of any kind
    if hasattr(values, "iloc"):
        values = values.astype(object).where(values.notna(), None)
    if getattr(getattr(values, "dtype", None), "kind", "") == "M":
        values = values.astype("datetime64[us]")
    plain = values.tolist() if hasattr(values, "tolist") else list(values)
    return [_value(value) for value in plain] if any(map(_is_foreign, plain)) else plain


def _is_foreign(value: Any) -> bool:  # noqa: ANN401 - a cell
    """Tell what JSON cannot carry as it is."""
    return type(value) not in {int, str, bool, list, type(None)} and (
        type(value) is not float or math.isnan(value)
    )


def _value(value: Any) -> Any:  # noqa: ANN401 - a cell
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (moment - _EPOCH).total_seconds()
    if isinstance(value, date):
        return _value(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return None if type(value).__name__ in {"NAType", "NaTType"} else value


def _arrow_column(pyarrow: Any, values: Any) -> Any:  # noqa: ANN401 - pyarrow brings no types
    if getattr(values, "ndim", _VECTOR) > _VECTOR:  # An array in each row.
        flat = pyarrow.array(values.reshape(-1))
        for width in reversed(values.shape[1:]):
            flat = pyarrow.FixedSizeListArray.from_arrays(flat, width)
        return flat
    return pyarrow.array(values, from_pandas=True)


def _plain_types(pyarrow: Any, table: Any) -> Any:  # noqa: ANN401 - pyarrow brings no types
    """Write types that the service does not read as others that hold the same."""
    types = pyarrow.types
    for place, field in enumerate(table.schema):
        kind = field.type
        wanted = (
            kind.value_type if types.is_dictionary(kind) and not types.is_string(kind.value_type) else kind
        )
        if str(kind) == "string_view":
            wanted = pyarrow.large_string()
        if wanted != kind:
            table = table.set_column(place, field.name, table.column(place).cast(wanted))
    return table
