"""The pages of mapped files: read when they are touched, and given back when they are not needed for a while."""

import ctypes
import mmap
import sys
from typing import Any

import pyarrow as pa

from service.tables.frame import Array

__all__ = ["release"]

# Elsewhere "not needed" means something else, or the C library is not loaded with the process.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_NOT_NEEDED = 4
"""MADV_DONTNEED of Linux."""


def release(array: Array) -> None:
    """Take the pages of a mapped column out of this process; touched again, they come back from the file.

    Without this a process that walks through a large table seems to need as much memory as the table. Only for
    the arrays of a frame that is mapped: numpy's own memory is left alone, but what Arrow holds in memory
    would be lost.
    """
    if _LIBC is None or not _is_mapped(array):
        return
    first = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (array.ctypes.data + array.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if size > 0:
        _LIBC.madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), _NOT_NEEDED)


def _is_mapped(array: Any) -> bool:  # noqa: ANN401 - an array, or what it is a view of
    """Tell whether an array is a view of a read-only buffer of Arrow, as `open_dataset` makes them."""
    while array is not None and not isinstance(array, pa.Buffer):
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array is not None and not array.is_mutable
