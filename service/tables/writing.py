"""A stored table as a stream of bytes: npz or CSV, some rows at a time, however many there are."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from service.spec.schema import Column
from service.tables.frame import Array, Frame

__all__ = ["as_csv", "as_npz"]

ROWS_AT_ONCE = 2**14
BYTES_AT_ONCE = 2**20


class _Pipe(io.RawIOBase):
    """What is written here is taken away again before more is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found


def as_npz(frame: Frame, names: Sequence[str]) -> Iterator[bytes]:
    """Write columns as an npz file: numbers and arrays in their own format, categories as texts, empty for a gap.

    Args:
        frame: The table.
        names: Columns, none of which is free text.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            column, array = frame.schema.by_name[name], frame.arrays[name]
            # The date of such an entry is 1980, always: the same table gives the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                file.write(_header(column, array))
                for block in _blocks(column, array):
                    file.write(block.tobytes())
                    yield pipe.taken()
            yield pipe.taken()
    yield pipe.taken()


def _header(column: Column, array: Array) -> bytes:
    head = io.BytesIO()
    dtype = _text_dtype(column) if column.kind == "category" else array.dtype
    said = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    np.lib.format.write_array_header_1_0(head, said)
    return head.getvalue()


def _text_dtype(column: Column) -> np.dtype[Any]:
    return np.dtype(f"<U{max(1, *(len(str(text)) for text in column.values or ('',)))}")


def _blocks(column: Column, array: Array) -> Iterator[Array]:
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    step = max(1, BYTES_AT_ONCE // max(row_bytes, 4 * len(max(map(str, column.values or ("",)), key=len))))
    texts = (
        np.array([*map(str, column.values or ()), ""], _text_dtype(column))
        if column.kind == "category"
        else None
    )
    for start in range(0, len(array), step):
        block = np.ascontiguousarray(array[start : start + step])
        yield block if texts is None else texts[block]


def as_csv(frame: Frame, names: Sequence[str]) -> Iterator[bytes]:
    """Write columns as CSV with a header: numbers in full, nothing for a gap.

    Args:
        frame: The table.
        names: Columns of numbers or categories.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    for start in range(0, len(frame), ROWS_AT_ONCE):
        columns = [_written(frame, name, slice(start, start + ROWS_AT_ONCE)) for name in names]
        writer.writerows(zip(*columns, strict=True))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _written(frame: Frame, name: str, rows: slice) -> list[Any]:
    column, values = frame.schema.by_name[name], frame.arrays[name][rows].tolist()
    if column.kind == "category":
        texts = column.values or ()
        return [texts[code] if code >= 0 else "" for code in values]
    return ["" if value != value else value for value in values]  # noqa: PLR0124 - NaN
