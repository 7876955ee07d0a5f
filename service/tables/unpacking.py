"""Gzip: files that came compressed are unpacked to the disk, under a budget."""

import errno
import gzip
import os
import shutil
import zlib
from pathlib import Path

from service.tables.orders import Budget, ReadOrder
from service.tables.sources import empty_file, too_many, unreadable

__all__ = ["check_room", "unpacked"]

MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 2**20
_LAYERS = 2
"""A gzip file that is sent with `Content-Encoding: gzip` may be packed twice, and nothing is packed more often."""


def check_room(folder: Path, size: int, *, keep_free: int) -> None:
    """Make sure that so many bytes more leave enough of the disk free: jobs have to write too.

    Raises:
        OSError: They do not; with the error number of a full disk.
    """
    if shutil.disk_usage(folder).free - size < keep_free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def unpacked(order: ReadOrder) -> Path:
    """Give the file as it is to be read, unpacked if it is compressed.

    Raises:
        InvalidDataset: It is empty, or no gzip though the sender said so, or damaged.
        DatasetTooLarge: Unpacked, it is larger than the budget allows.
    """
    path = order.source
    if path.stat().st_size == 0:
        raise empty_file()
    if order.options.gzip and not _is_packed(path):
        raise unreadable("The body is not compressed with gzip, though Content-Encoding says so.")
    for layer in range(_LAYERS):
        if _is_packed(path):
            path = _unpack(path, order.folder / f"unpacked-{layer}", order.budget)
    return path


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _unpack(source: Path, target: Path, budget: Budget) -> Path:
    left = budget.max_unpacked_bytes
    try:
        with gzip.open(source) as packed, target.open("wb") as file:
            while chunk := packed.read(_CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise too_many("bytes when unpacked", budget.max_unpacked_bytes, name="max_upload_bytes")
                check_room(target.parent, len(chunk), keep_free=budget.keep_free_bytes)
                file.write(chunk)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise unreadable(f"The gzip data is damaged: {str(error)[:200]}.") from None
    if target.stat().st_size == 0:
        raise empty_file()
    return target
