"""The result of a batch prediction as a download: piece by piece from its file, never all of it in memory."""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.types as pt

from service.api.negotiation import ARROW, CSV
from service.exceptions import RangeNotSatisfiable

__all__ = ["ENDINGS", "PARQUET", "parts", "pieces", "span_of"]

PARQUET = "application/vnd.apache.parquet"
ENDINGS: Mapping[str, str] = {CSV: "csv", ARROW: "arrow", PARQUET: "parquet"}
ROWS = 16_384
"""Rows that are written at once."""
PIECE_BYTES = 2**18
_SPAN = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parts(file: Any, media: str) -> Iterator[bytes]:  # noqa: ANN401 - pyarrow brings no types
    """Write a result in another form, piece by piece.

    Args:
        file: As `PredictionStore.open` gives it; closed at the end.
        media: CSV or an Arrow stream.
    """
    with file:
        yield from _WRITERS[media](file.schema_arrow, file.iter_batches(batch_size=ROWS))


def span_of(asked: str | None, size: int) -> range | None:
    """Read a Range header (RFC 9110) of one span of bytes; None for all: what is not understood is ignored.

    Raises:
        RangeNotSatisfiable: The span begins beyond the end of the file.
    """
    found = _SPAN.fullmatch(asked or "")
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        start, stop = max(0, size - int(found[2])), size
    else:
        start, stop = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(f"The file has {size:,} bytes, and the range begins at {start:,}.")
    return range(start, stop)


def pieces(path: Path, span: range) -> Iterator[bytes]:
    """Read a span of bytes of a file."""
    with path.open("rb") as file:
        file.seek(span.start)
        left = len(span)
        while left and (piece := file.read(min(left, PIECE_BYTES))):
            left -= len(piece)
            yield piece


def _arrow(schema: Any, batches: Iterator[Any]) -> Iterator[bytes]:  # noqa: ANN401 - Arrow
    sink = _Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _csv(schema: Any, batches: Iterator[Any]) -> Iterator[bytes]:  # noqa: ANN401 - Arrow
    sink = _Sink()
    as_text = [_is_written_as_text(schema, field) for field in schema]
    fields = [
        pa.field(field.name, pa.string() if text else field.type)
        for field, text in zip(schema, as_text, strict=True)
    ]
    with pa.csv.CSVWriter(sink, pa.schema(fields)) as writer:
        for batch in batches:
            columns = [
                _texts(column) if text else column
                for column, text in zip(batch.columns, as_text, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=pa.schema(fields)))
            yield sink.taken()
    yield sink.taken()


def _is_written_as_text(schema: Any, field: Any) -> bool:  # noqa: ANN401 - Arrow
    """Tell which columns CSV has no form for: lists; and a lone column, whose empty row would be no line at all."""
    return bool(pt.is_list(field.type) or len(schema) == 1)


def _texts(column: Any) -> Any:  # noqa: ANN401 - Arrow
    if pt.is_list(column.type):
        column = pa.array(
            [None if one is None else orjson.dumps(one).decode() for one in column.to_pylist()], pa.string()
        )
    return column.cast(pa.string()).fill_null("")


_WRITERS: Mapping[str, Callable[[Any, Iterator[Any]], Iterator[bytes]]] = {CSV: _csv, ARROW: _arrow}


class _Sink(io.RawIOBase):
    """A file that is emptied as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        """Tell that it is."""
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes of any kind
        """Hold some bytes."""
        self._held += memoryview(data).cast("B")
        return len(data)

    def taken(self) -> bytes:
        """Give what is held, and hold nothing."""
        found = bytes(self._held)
        self._held.clear()
        return found
