"""Parquet and Arrow: tables with types, read in batches."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pyarrow.types as pt

from service.tables.arrow_values import is_list, scalar
from service.tables.dialect import check_names
from service.tables.orders import Budget, ReadOptions
from service.tables.sources import BLOCK_ROWS, Block, RowsSource, empty_file, too_many, unreadable

__all__ = ["ArrowSource", "ParquetSource"]

_BLOCK_VALUES = 2**22
_BUFFER_BYTES = 2**20
"""Of each column of a Parquet file so much is read at a time."""
_ARROW_FILE = b"ARROW1"
_WIDE = 1024
"""Values that a list is taken to have, where its type does not say it."""


class ParquetSource(RowsSource):
    """A Parquet file."""

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:  # noqa: ARG002 - as every source
        """Look at the file's own description of itself.

        Raises:
            InvalidDataset: It is no Parquet file.
            DatasetTooLarge: It says that it has too many rows or columns: a few bytes can hold billions of rows.
        """
        with _translated("Parquet"):
            # Read in small steps: read ahead, all row groups would be in memory at the end.
            self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        about = self._file.metadata
        if about.num_rows > budget.max_rows:
            raise too_many("rows", budget.max_rows, name="max_rows")
        _check_columns(self._file.schema_arrow, budget)
        self._rows = _rows_at_once(self._file.schema_arrow)

    def survey(self) -> Iterator[Block]:
        """Give all rows of the columns whose type does not say how they are kept; of the others none.

        Raises:
            InvalidDataset: The file is damaged.
        """
        rows, schema = self._file.metadata.num_rows, self._file.schema_arrow
        for block in itertools.islice(self.blocks(), 1):
            yield Block(0, {name: values.slice(0, 0) for name, values in block.columns.items()})
        unsettled = [field.name for field in schema if not _is_settled(field.type)]
        if not unsettled:
            yield Block(rows, {})
            return
        yield from self._blocks(unsettled)

    def blocks(self) -> Iterator[Block]:
        """Give the rows.

        Raises:
            InvalidDataset: The file is damaged.
        """
        return self._blocks(self._file.schema_arrow.names)

    def _blocks(self, names: list[str]) -> Iterator[Block]:
        with _translated("Parquet"):
            for batch in self._file.iter_batches(self._rows, columns=names, use_threads=False):
                yield _block(batch)


class ArrowSource(RowsSource):
    """An Arrow stream or an Arrow file, told apart by its first bytes."""

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:  # noqa: ARG002 - as every source
        """Look at the schema.

        Raises:
            InvalidDataset: It is no Arrow data.
            DatasetTooLarge: It has too many columns.
        """
        self._path = path
        with self._opened() as reader:
            _check_columns(reader.schema, budget)
            self._rows = _rows_at_once(reader.schema)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        # Mapped, so that a batch of gigabytes that is not compressed costs no memory.
        with _translated("Arrow data"), pa.memory_map(str(self._path)) as file:
            magic = file.read(len(_ARROW_FILE))
            file.seek(0)
            open_it = pa.ipc.open_file if magic == _ARROW_FILE else pa.ipc.open_stream
            with open_it(file) as reader:
                yield reader

    def blocks(self) -> Iterator[Block]:
        """Give the rows.

        Raises:
            InvalidDataset: The data is damaged.
        """
        with self._opened() as reader:
            for batch in _batches(reader):
                # The sender wrote offsets and lengths: none is followed before it is checked.
                batch.validate(full=True)
                for start in range(0, batch.num_rows, self._rows):
                    yield _block(batch.slice(start, self._rows))


def _batches(reader: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow brings no types
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Say in our words what Arrow says about a file that it cannot read; its own errors have many types."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The disk's, not the file's.
        raise unreadable(f"The file cannot be read as {what}: {str(error)[:200].rstrip('.')}.") from None


def _check_columns(schema: Any, budget: Budget) -> None:  # noqa: ANN401 - pyarrow brings no types
    if len(schema.names) > budget.max_columns:
        raise too_many("columns", budget.max_columns, name="max_features")
    if not schema.names:
        raise empty_file("The file has no columns.")
    check_names(schema.names)


def _is_settled(kind: Any) -> bool:  # noqa: ANN401 - pyarrow brings no types
    """Whether a type alone says how a column is kept: whole numbers become others where some are missing or too large."""
    if pt.is_dictionary(kind):
        return _is_settled(kind.value_type)
    known = scalar(kind)
    return known is not None and not pt.is_decimal(kind) and (known.dtype is None or known.dtype.kind == "f")


def _rows_at_once(schema: Any) -> int:  # noqa: ANN401 - pyarrow brings no types
    """Choose the rows of a block by what a row is likely to hold."""
    values = sum(_values(kind) for kind in schema.types)
    return max(1, min(BLOCK_ROWS, _BLOCK_VALUES // values))


def _values(kind: Any) -> int:  # noqa: ANN401 - pyarrow brings no types
    if isinstance(kind, pa.FixedShapeTensorType):
        return _values(kind.storage_type)
    if not is_list(kind):
        return 1
    return int(max(1, getattr(kind, "list_size", _WIDE))) * _values(kind.value_type)


def _block(batch: Any) -> Block:  # noqa: ANN401 - pyarrow brings no types
    return Block(batch.num_rows, dict(zip(batch.schema.names, batch.columns, strict=True)))
