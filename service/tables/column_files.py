"""Writing columns: blocks are appended to `.npy` files, whose header is known before the first row."""

import hashlib
import io
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from service.exceptions import DatasetTooLarge
from service.spec.schema import MAX_CATEGORIES, Column
from service.tables.figures import Figures
from service.tables.frame import Array
from service.tables.sources import Finding
from service.tables.whole_numbers import inexact

__all__ = ["CategoryFile", "ColumnFile", "NumberFile", "TextBudget"]

MAX_COLUMN_TEXT = 8 * 2**20
"""Bytes of the distinct texts of a category column: more is free text."""
MAX_TABLE_TEXT = 64 * 2**20
"""The same over all columns of a table: they all travel in its schema."""
MAX_TABLE_CATEGORIES = 1_000_000
_CODES_AT_ONCE = 2**20


class ColumnFile(Protocol):
    """A column being written. `finish` gives what the schema says of it."""

    path: Path
    sha256: str | None
    """Of the finished file; None for text, which leaves no file."""

    def append(self, block: Any) -> None:  # noqa: ANN401 - numpy or Arrow, as the column's reader gives it
        """Write the next rows."""

    def finish(self) -> Column:
        """Complete the file."""

    def findings(self) -> list[Finding]:
        """Tell what was wrong with the values that were written."""


class _NpyFile:
    """A `.npy` file that is written from its beginning to its end, never held open and never held in memory.

    A table may have more columns than a process may have files open.
    """

    def __init__(self, path: Path, *, dtype: np.dtype[Any], shape: tuple[int, ...], hold_bytes: int) -> None:
        self.path = path
        self._hold_bytes = hold_bytes
        self._hash = hashlib.sha256()
        header = io.BytesIO()
        described = np.lib.format.dtype_to_descr(dtype)
        np.lib.format.write_array_header_1_0(
            header, {"descr": described, "fortran_order": False, "shape": shape}
        )
        self._held = bytearray(header.getvalue())

    def write(self, block: Array) -> None:
        self._held += np.ascontiguousarray(block).data.cast("B")
        if len(self._held) > self._hold_bytes:
            self._flush()

    def _flush(self) -> None:
        self._hash.update(self._held)
        with self.path.open("ab") as file:
            file.write(self._held)
        self._held.clear()

    def close(self) -> str:
        """Write what is held, and give the SHA-256 of the file."""
        self._flush()
        return self._hash.hexdigest()


class NumberFile:
    """A column of numbers or arrays."""

    def __init__(
        self, path: Path, *, column: Column, dtype: np.dtype[Any], rows: int, hold_bytes: int
    ) -> None:
        self.path = path
        self.sha256: str | None = None
        self._figures = Figures()
        self._column = column
        self._dtype = dtype
        self._file = _NpyFile(path, dtype=dtype, shape=(rows, *column.shape), hold_bytes=hold_bytes)

    def append(self, block: Array) -> None:
        """Write the next rows, as any numbers that fit the column's type."""
        values = block.astype(self._dtype, copy=False)
        self._figures.see(values)
        self._file.write(values)

    def finish(self) -> Column:
        """Complete the file and give its column with its figures."""
        self.sha256 = self._file.close()
        return self._figures.described(self._column)

    def findings(self) -> list[Finding]:
        """Tell the first infinite or inexact number, and of arrays the first gap: none can be trained on."""
        name, row, gap = self._column.name, self._figures.infinite_row, self._figures.missing_row
        found = []
        if row is not None:
            message = f"Column `{name}` has an infinite number, or one too large for 64 bits, in {{place}}."
            found.append(
                Finding(row, "data_not_finite", message, "Correct it, or leave it empty if unknown.")
            )
        if self._figures.inexact_row is not None:
            found.append(inexact(name, self._figures.inexact_row, free_text=False))
        if gap is not None and self._column.shape:
            message = f"Column `{name}` has an array with missing numbers (NaN) in {{place}}."
            found.append(Finding(gap, "data_not_finite", message, "Fill the gaps, or leave the row out."))
        return found


class TextBudget:
    """How much distinct text all columns of a table may still have."""

    def __init__(self) -> None:
        self._bytes, self._texts = MAX_TABLE_TEXT, MAX_TABLE_CATEGORIES

    def take(self, texts: int, size: int) -> None:
        """Count new texts.

        Raises:
            DatasetTooLarge: There are too many.
        """
        self._texts -= texts
        self._bytes -= size
        if self._texts < 0 or self._bytes < 0:
            raise DatasetTooLarge(
                f"The text columns together have more than {MAX_TABLE_CATEGORIES:,} different values "
                f"or {MAX_TABLE_TEXT:,} bytes of them.",
                hint="Leave out the columns of free text, names or identifiers: nothing is learnt from them.",
            )


class CategoryFile:
    """A column of texts, as codes of its distinct values.

    The codes are first numbered as the values come; when all are known, they are numbered anew in the
    order of the values. A column of too many values is free text, and leaves no file.
    """

    def __init__(self, path: Path, *, name: str, rows: int, budget: TextBudget, hold_bytes: int) -> None:
        self.path = path
        self.sha256: str | None = None
        self._name = name
        self._rows = rows
        self._budget = budget
        self._hold_bytes = hold_bytes
        self._draft = path.with_suffix(".draft")
        self._codes: dict[str, int] | None = {}
        self._size = 0
        self._missing = 0

    def append(self, block: Any) -> None:  # noqa: ANN401 - an Arrow array of text
        """Write the next rows."""
        self._missing += block.null_count
        if self._codes is None:
            return
        encoded = block.dictionary_encode()
        known = self._coded(self._codes, encoded.dictionary.to_pylist())
        if known is None:
            self._codes = None
            self._draft.unlink(missing_ok=True)
            return
        places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        with self._draft.open("ab") as file:
            # Null has the place -1, which is the last of the codes.
            file.write(np.append(known, np.int32(-1))[places].tobytes())

    def _coded(self, codes: dict[str, int], texts: list[str]) -> npt.NDArray[np.int32] | None:
        """Give the codes of some texts, new ones for new texts; None when they get too many."""
        new = [text for text in texts if text not in codes]
        size = sum(len(text.encode()) for text in new)
        self._size += size
        if len(codes) + len(new) > MAX_CATEGORIES or self._size > MAX_COLUMN_TEXT:
            return None
        self._budget.take(len(new), size)
        for text in new:
            codes[text] = len(codes)
        return np.array([codes[text] for text in texts], np.int32)

    def finish(self) -> Column:
        """Number the values in their order and complete the file."""
        if self._codes is None:
            return Column(name=self._name, kind="text", dtype="str", missing=self._missing)
        values = sorted(self._codes)
        order = np.empty(len(values) + 1, np.int32)
        order[-1] = -1
        for code, value in enumerate(values):
            order[self._codes[value]] = code
        file = _NpyFile(self.path, dtype=np.dtype(np.int32), shape=(self._rows,), hold_bytes=self._hold_bytes)
        with self._draft.open("rb") as draft:
            while chunk := draft.read(4 * _CODES_AT_ONCE):
                file.write(order[np.frombuffer(chunk, np.int32)])
        self._draft.unlink()
        self.sha256 = file.close()
        return Column(
            name=self._name, kind="category", dtype="str", missing=self._missing, values=tuple(values)
        )

    def findings(self) -> list[Finding]:
        """Every text is good."""
        return []
