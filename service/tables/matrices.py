"""From an npy file with several columns to one array for each: a matrix by names that the caller gives, or a
structured array by the names of its fields.
"""

import tokenize
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.exceptions import InvalidDataset, Problem
from service.tables.frame import Array
from service.tables.sources import unreadable

__all__ = ["split_into_npz"]

_FOREIGN = (ValueError, TypeError, SyntaxError, ArithmeticError, LookupError, EOFError, tokenize.TokenError)


def split_into_npz(source: Path, target: Path, *, names: Sequence[str]) -> None:
    """Write the columns of an npy file as an npz file: the same columns give the same bytes.

    Args:
        source: The npy file. It is mapped, so that memory holds one column at a time.
        target: The npz file.
        names: Of the columns of a matrix, in their order; a structured array brings its own.

    Raises:
        InvalidDataset: It is no npy file, or no table of so many columns.
    """
    columns = _columns(_opened(source), names)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, column in columns:
            # The date of such an entry is 1980, always.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(column), allow_pickle=False)


def _opened(source: Path) -> Array:
    try:
        if source.stat().st_size == 0:
            raise ValueError("it is empty")
        found: Any = np.lib.format.open_memmap(source, mode="r")
    except _FOREIGN as error:
        reason = str(error)[:200].rstrip(".") or type(error).__name__
        raise unreadable(f"The file cannot be read as npy: {reason}.") from None
    return np.asarray(found)


def _columns(array: Array, names: Sequence[str]) -> Iterator[tuple[str, Array]]:
    fields: Mapping[str, Any] | None = array.dtype.fields
    if fields is not None:
        return ((name, array[name]) for name in fields)
    if array.ndim == 2 and array.shape[1] == len(names):  # noqa: PLR2004 - a matrix
        return ((name, array[:, place]) for place, name in enumerate(names))
    listed = ", ".join(f"`{name}`" for name in names[:20]) or "none"
    message = (
        f"The array has the shape {str(array.shape)[:80]}; the spec names {len(names)} columns: {listed}."
    )
    hint = "Name the columns of a matrix in their order: data.features, then data.target; or send npz."
    raise InvalidDataset([Problem(None, "wrong_shape", message, hint)])
