"""Arrays of numbers: npy, npz and IDX, the format of MNIST. All are a header and then the numbers, row by row."""

import contextlib
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from service.exceptions import DatasetTooLarge, InvalidDataset, Problem
from service.tables.dialect import check_names
from service.tables.frame import Array
from service.tables.orders import Budget, ReadOptions
from service.tables.sources import BLOCK_ROWS, Block, RowsSource, empty_file, too_many, unreadable

__all__ = ["IdxSource", "NpySource", "NpzSource"]

_BLOCK_BYTES = 4 * 2**20
_MAX_ROW_BYTES = 64 * 2**20
_MAX_TURNED_BYTES = 256 * 2**20
"""An array in Fortran's order has its rows scattered: it is turned in memory, up to this size."""
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_MAX_RANK = 8


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the header of an array says.

    Attributes:
        dtype: As in the file, with its byte order.
        shape: Rows first.
        turned: Whether the columns come first in the file (Fortran's order).
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    turned: bool = False

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def total_bytes(self) -> int:
        return self.shape[0] * self.row_bytes


@dataclass(frozen=True, slots=True)
class _Stored:
    """An array in a file.

    Attributes:
        name: Of the column.
        open: Opens the file at its beginning.
        header: Reads the header, which leaves the file at the first number.
    """

    name: str
    open: Callable[[], IO[bytes]]
    header: Callable[[IO[bytes]], _Layout]


class _ArraysSource(RowsSource):
    """Columns that are arrays, each a stream of numbers, read side by side."""

    def __init__(self, stored: Sequence[_Stored], budget: Budget) -> None:
        self._stored = stored
        self._layouts = [self._layout(one, budget) for one in stored]
        lengths = {one.name: layout.shape[0] for one, layout in zip(stored, self._layouts, strict=True)}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"`{name}` has {rows:,}" for name, rows in list(lengths.items())[:5])
            hint = "All arrays of one file are columns of one table: give them one length."
            message = f"The arrays differ in their number of rows: {listed}."
            raise InvalidDataset([Problem(None, "ragged_columns", message, hint)])
        self.known_rows = self._rows = next(iter(lengths.values()))
        self.moments = {
            one.name for one, layout in zip(stored, self._layouts, strict=True) if layout.dtype.kind == "M"
        }

    def _layout(self, stored: _Stored, budget: Budget) -> _Layout:
        """Read a header, and believe nothing in it."""
        with _translated(f"`{stored.name}`"), stored.open() as file:
            layout = stored.header(file)
        _check(stored.name, layout)
        if layout.shape[0] > budget.max_rows:
            raise too_many("rows", budget.max_rows, name="max_rows")
        if layout.total_bytes > budget.max_stored_bytes:
            raise too_many("bytes", budget.max_stored_bytes, name="max_dataset_bytes")
        return layout

    def blocks(self) -> Iterator[Block]:
        """Give the rows.

        Raises:
            InvalidDataset: An array has fewer or more numbers than its header says.
        """
        rows = max(1, _BLOCK_BYTES // max(1, sum(layout.row_bytes for layout in self._layouts)))
        rows = min(rows, BLOCK_ROWS)
        with contextlib.ExitStack() as stack:
            streams = {
                stored.name: self._stream(stack, stored, layout, rows)
                for stored, layout in zip(self._stored, self._layouts, strict=True)
            }
            for start in range(0, self._rows, rows):
                columns = {name: next(stream) for name, stream in streams.items()}
                yield Block(min(rows, self._rows - start), columns)
            for stream in streams.values():
                next(stream, None)  # Looks whether there is more than there should be.

    def _stream(
        self, stack: contextlib.ExitStack, stored: _Stored, layout: _Layout, rows: int
    ) -> Iterator[Any]:
        with _translated(f"`{stored.name}`"):
            file = stack.enter_context(stored.open())
            stored.header(file)
        return _blocks_of(file, stored.name, layout, rows)


def _blocks_of(file: IO[bytes], name: str, layout: _Layout, rows: int) -> Iterator[Any]:
    whole = _turned(file, name, layout) if layout.turned else None
    for start in range(0, layout.shape[0], rows):
        count = min(rows, layout.shape[0] - start)
        if whole is not None:
            block = whole[start : start + count]
        else:
            block = _exactly(file, name, count * layout.row_bytes).view(layout.dtype)
            block = block.reshape(count, *layout.shape[1:])
        yield _native(block, name)
    with _translated(f"`{name}`"):
        if file.read(1):
            raise unreadable(f"`{name}` has more numbers than its header says.")


def _turned(file: IO[bytes], name: str, layout: _Layout) -> Array:
    numbers = _exactly(file, name, layout.total_bytes).view(layout.dtype)
    return numbers.reshape(layout.shape, order="F")


def _exactly(file: IO[bytes], name: str, size: int) -> Array:
    """Read so many bytes, piece by piece: what a header promises is not reserved before it comes."""
    held = bytearray()
    with _translated(f"`{name}`"):
        while len(held) < size:
            piece = file.read(min(_BLOCK_BYTES, size - len(held)))
            if not piece:
                raise unreadable(f"`{name}` ends early: it has fewer numbers than its header says.")
            held += piece
    return np.frombuffer(held, np.uint8)


def _native(block: Array, name: str) -> Any:  # noqa: ANN401 - numpy, or Arrow for text
    """Give numbers in the machine's byte order; booleans as 0 and 1, moments as seconds, text as Arrow's."""
    return _OF_KIND[block.dtype.kind](block, name)


def _number(block: Array, _name: str) -> Array:
    return block.astype(block.dtype.newbyteorder("="), copy=False)


def _seconds(block: Any, _name: str) -> Array:  # noqa: ANN401 - moments and spans have types of their own
    # A day or a minute are as good a unit as a nanosecond: the quotient with one second is what counts.
    unit = np.timedelta64(1, "s")
    lengths = block - np.datetime64(0, "s") if block.dtype.kind == "M" else block
    seconds: Array = lengths / unit
    return seconds


def _text(block: Any, name: str) -> Any:  # noqa: ANN401 - bytes or text in, Arrow out
    try:
        texts = np.char.decode(block, "utf-8") if block.dtype.kind == "S" else block
        return pa.array(texts.tolist(), pa.string())
    except UnicodeError:
        raise unreadable(f"`{name}` has text that is not UTF-8.", "Save it as text (dtype U).") from None


_OF_KIND: dict[str, Callable[[Array, str], Any]] = {
    "b": lambda block, _: block.astype(np.uint8),
    "i": _number,
    "u": _number,
    "f": _number,
    "m": _seconds,
    "M": _seconds,
    "U": _text,
    "S": _text,
}
_TEXT_KINDS = "US"


def _check(name: str, layout: _Layout) -> None:
    dtype, shape = layout.dtype, layout.shape
    # float128 and its like differ from machine to machine.
    if dtype.kind not in _OF_KIND or (dtype.kind not in _TEXT_KINDS and dtype.itemsize > 8):  # noqa: PLR2004 - 64 bits
        hint = "Save it as numbers, for example with .astype('float64'); objects and pickles are never read."
        raise _refused(name, f"has the type {str(dtype)[:80]}, which is not read", hint)
    if not shape:
        raise _refused(name, "is a single value", "Give every array one entry for each row.")
    if shape[0] == 0:
        raise empty_file(f"`{name}` has no rows.")
    if min(shape) <= 0 or (dtype.itemsize == 0 or (dtype.kind in _TEXT_KINDS and len(shape) > 1)):
        raise _refused(
            name, f"has the shape {str(shape)[:80]} of {dtype}", "Give every row at least one number."
        )
    if layout.row_bytes > _MAX_ROW_BYTES:
        hint = (
            "Spread the row over several columns, or use a smaller type such as uint8: this bound is fixed."
        )
        raise DatasetTooLarge(f"A row of `{name}` has more than {_MAX_ROW_BYTES:,} bytes.", hint=hint)
    if layout.turned and layout.total_bytes > _MAX_TURNED_BYTES:
        hint = "Save it with numpy.ascontiguousarray."
        raise _refused(name, "is in Fortran's order and too large to be turned", hint)


def _refused(name: str, what: str, hint: str) -> InvalidDataset:
    return InvalidDataset([Problem(None, "unsupported_type", f"`{name}` {what}.", hint)])


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Say in our words what numpy and zipfile say about files that they cannot read."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        SyntaxError,
        tokenize.TokenError,
        EOFError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        RecursionError,
    ) as error:
        reason = str(error)[:200].rstrip(".") or type(error).__name__
        raise unreadable(f"{name} cannot be read: {reason}.") from None


def _npy_header(file: IO[bytes]) -> _Layout:
    version = np.lib.format.read_magic(file)
    read = _HEADERS.get(version)
    if read is None:
        raise ValueError(f"version {version[0]}.{version[1]} of npy is not read")
    shape, turned, dtype = read(file)
    return _Layout(dtype, shape, turned and len(shape) > 1)


def _idx_header(file: IO[bytes]) -> _Layout:
    zero, kind, rank = struct.unpack(">HBB", file.read(4))
    if zero != 0 or kind not in _IDX_TYPES or not 1 <= rank <= _IDX_MAX_RANK:
        raise ValueError("its first bytes are not those of an IDX file")
    return _Layout(np.dtype(_IDX_TYPES[kind]), struct.unpack(f">{rank}I", file.read(4 * rank)))


class NpySource(_ArraysSource):
    """An npy file: one array, which is one column."""

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:
        """Read the header.

        Raises:
            InvalidDataset: It is no npy file, or has objects in it.
            DatasetTooLarge: It is too large.
        """
        name = options.column or "values"
        super().__init__([_Stored(name, lambda: path.open("rb"), _npy_header)], budget)


class IdxSource(_ArraysSource):
    """An IDX file: one array; called `label` where it has one number a row, else `image`."""

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:
        """Read the header.

        Raises:
            InvalidDataset: It is no IDX file.
            DatasetTooLarge: It is too large.
        """
        with _translated("The file"), path.open("rb") as file:
            layout = _idx_header(file)
        name = options.column or ("label" if len(layout.shape) == 1 else "image")
        super().__init__([_Stored(name, lambda: path.open("rb"), _idx_header)], budget)


class NpzSource(_ArraysSource):
    """An npz file: several arrays by name, each a column."""

    def __init__(self, path: Path, options: ReadOptions, budget: Budget) -> None:  # noqa: ARG002 - as every source
        """Read the list of arrays and their headers.

        Raises:
            InvalidDataset: It is no npz file, or not all in it are arrays of numbers or text with one length.
            DatasetTooLarge: It is too large.
        """
        with _translated("The file"):
            archive = zipfile.ZipFile(path)
        members = archive.namelist()
        if len(members) > budget.max_columns:
            raise too_many("columns", budget.max_columns, name="max_features")
        strange = [member for member in members if not member.endswith(".npy")]
        if strange or not members:
            what = f"has `{strange[0][:80]}` in it, which is no array" if strange else "is empty"
            raise unreadable(f"The npz file {what}.", "Write it with numpy.savez or numpy.savez_compressed.")
        check_names([member.removesuffix(".npy") for member in members])
        super().__init__([_member(archive, member) for member in members], budget)


def _member(archive: zipfile.ZipFile, member: str) -> _Stored:
    return _Stored(member.removesuffix(".npy"), lambda: archive.open(member), _npy_header)
