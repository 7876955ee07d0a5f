"""A dataset on the disk: a folder with one `.npy` file for each column and a manifest, never changed."""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from service.exceptions import DatasetDamaged
from service.spec.schema import Schema
from service.tables.frame import Array, Frame
from service.tables.orders import ReadOptions

__all__ = [
    "MANIFEST",
    "Manifest",
    "StoredColumn",
    "damaged_files",
    "open_dataset",
    "read_manifest",
    "sync_folder",
]

MANIFEST = "manifest.json"
_SYNC_EACH = 100
_NO_ROOM = os.strerror(errno.ENOMEM)
"""Arrow tells the words of a failure, and not its number."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class StoredColumn(BaseModel):
    """The file of a column."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    column: str
    file: str
    """Name within the folder."""
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a dataset's folder holds, and where it came from."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    version: Literal[1] = 1
    digest: str
    """Names the dataset: of the upload and how it was read."""
    options: ReadOptions
    source_sha256: str
    """Of the upload."""
    source_bytes: int
    """Size of the upload."""
    table: Schema
    files: tuple[StoredColumn, ...]
    """In the order of the columns; text columns have none."""

    @property
    def stored_bytes(self) -> int:
        """Size of all columns."""
        return sum(file.bytes for file in self.files)

    def write(self, folder: Path) -> None:
        """Write the manifest, which makes a folder a dataset, and bring both to the disk."""
        with (folder / MANIFEST).open("w", encoding="utf-8") as file:
            file.write(self.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)


def sync_files(paths: Sequence[Path]) -> None:
    """Bring files to the disk. One by one takes milliseconds each: thousands are left to the system, all at once."""
    if len(paths) > _SYNC_EACH:
        os.sync()
        return
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a renamed file may otherwise be gone after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> Manifest:
    """Read what a dataset's folder holds.

    Raises:
        DatasetDamaged: There is no manifest, or it is of another version.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        raise DatasetDamaged(f"The manifest of dataset {folder.name[:12]} cannot be read.") from None


def open_dataset(folder: Path) -> Frame:
    """Map the columns of a dataset, read only: nothing is read before it is used.

    Args:
        folder: As `DatasetStore.folder` gives it.

    Returns:
        The columns. They stay usable when the dataset is removed.

    Raises:
        DatasetDamaged: A file is missing or is not as long as it was written.
        MemoryError: There is no room to map them.
    """
    manifest = read_manifest(folder)
    arrays = {stored.column: _mapped(folder / stored.file, stored) for stored in manifest.files}
    return Frame(manifest.table, arrays, is_mapped=True)


def _mapped(path: Path, stored: StoredColumn) -> Array:
    """Map an array. Unlike `numpy.load(mmap_mode="r")` this holds no file open: tables have thousands of columns."""
    try:
        with path.open("rb") as file:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
            start = file.tell()
            complete = os.fstat(file.fileno()).st_size == stored.bytes
        if not complete:
            raise DatasetDamaged(f"The file of column `{stored.column}` is not as long as it was written.")
        with pa.memory_map(str(path)) as mapped:
            buffer: Any = mapped.read_buffer()
        return np.frombuffer(buffer, dtype, offset=start).reshape(shape)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and _NO_ROOM in str(error):
            raise MemoryError(f"{_NO_ROOM} for column `{stored.column}`.") from None
        raise DatasetDamaged(f"The file of column `{stored.column}` cannot be read.") from None


def damaged_files(folder: Path) -> Iterator[str]:
    """Read a whole dataset, and name each file whose bytes are not those that were written.

    Raises:
        DatasetDamaged: The manifest itself cannot be read.
    """
    for stored in read_manifest(folder).files:
        try:
            with (folder / stored.file).open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            sha256 = ""
        if sha256 != stored.sha256:
            yield stored.file
