"""Where the results of batch predictions are kept: a folder for each prediction, and in it one Parquet file.

predictions/<prediction id>/<attempt>.parquet            whole and on the disk, or not there
predictions/<prediction id>/<attempt>.<random>.tmp       being written, or left behind by a crash
"""

import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service import failpoints
from service.exceptions import ResultDamaged
from service.storage.checkpoints import StoredFile
from service.storage.folders import OwnedFiles
from service.tables.disk import full_disk_told
from service.tables.files import sync_folder

__all__ = ["PredictionStore"]

_PATH = re.compile(r"[A-Za-z0-9_-]{1,64}/\d{1,20}\.parquet")
_FULL = "There is no room for the predictions on the disk."
_FULL_HINT = "Make room on the disk of the data folder, and submit the prediction again."
GROUP_ROWS, GROUP_BYTES = 2**17, 2**24
"""Rows, or bytes of them, that are written as one group: what a reader holds at once."""


class PredictionStore(OwnedFiles):
    """The folder of all results."""

    def write(
        self,
        prediction_id: str,
        attempt: int,
        schema: Any,  # noqa: ANN401 - pyarrow brings no types
        batches: Iterable[Any],
    ) -> StoredFile:
        """Bring a result to the disk as it comes. When this returns, it outlives a power cut.

        The attempt is part of the path: one that lost its lease without knowing it overwrites nothing of its
        successor's.

        Args:
            prediction_id: The prediction.
            attempt: The attempt that writes.
            schema: Of the rows, as Arrow has it.
            batches: The rows; whatever they raise ends the writing, and nothing of it stays behind.

        Raises:
            DiskFull: The disk is full, or less than `min_free_bytes` would be left. Nothing stays behind.
        """
        path = self._path(prediction_id, f"{attempt:d}.parquet")
        with full_disk_told(_FULL, hint=_FULL_HINT):
            self._make_root()
            full = self._root / path
            full.parent.mkdir(exist_ok=True)
            unfinished = full.with_suffix(f".{secrets.token_hex(4)}.tmp")
            try:
                digest, size = self._write(unfinished, schema, batches)
                unfinished.rename(full)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            sync_folder(full.parent)
            sync_folder(self._root)
        return StoredFile(path, digest, size)

    def _write(self, unfinished: Path, schema: Any, batches: Iterable[Any]) -> tuple[str, int]:  # noqa: ANN401 - Arrow
        with unfinished.open("xb", buffering=0) as file:
            counted = _Counted(file)
            with pq.ParquetWriter(counted, schema, compression="zstd", write_page_checksum=True) as writer:
                for group in _groups(batches):
                    self._check_room(sum(batch.nbytes for batch in group))
                    writer.write_table(pa.Table.from_batches(group, schema), row_group_size=GROUP_ROWS)
                    failpoints.hit("prediction_half_written")
            os.fsync(file.fileno())
        return counted.digest, counted.tell()

    def full_path(self, path: str) -> Path:
        """Name the file of a result, whether it is there or not.

        Raises:
            ResultDamaged: The path is none that `write` gives, or leads out of the folder.
        """
        root = self._root.resolve()
        if not _PATH.fullmatch(path) or not (full := root / path).resolve().is_relative_to(root):
            raise ResultDamaged(f"{path[:200]!r} is not the path of a result.")
        return full

    def remove_others(self, path: str) -> None:
        """Take away what other attempts have left beside a result whose row is committed."""
        full = self.full_path(path)
        self._remove_files([other for other in full.parent.glob("*") if other != full])

    def remove(self, path: str) -> None:
        """Take a result away that no row names."""
        self._remove_files([self.full_path(path)])

    def open(self, path: str) -> Any:  # noqa: ANN401 - pyarrow brings no types
        """Open a result as a `pyarrow.parquet.ParquetFile`: group by group it is read in bounded memory.

        Raises:
            ResultDamaged: It is missing, or no Parquet file any more.
        """
        try:
            return pq.ParquetFile(self.full_path(path), page_checksum_verification=True, memory_map=False)
        except (OSError, pa.ArrowException):
            raise ResultDamaged(f"The result {path} cannot be read.") from None


class _Counted(io.RawIOBase):
    """A file that is only written to its end, with the digest of all that was."""

    def __init__(self, file: io.RawIOBase | io.FileIO) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes of any kind
        rest = memoryview(data).cast("B")
        size = len(rest)
        self._hash.update(rest)
        self._size += size
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        return size


def _groups(batches: Iterable[Any]) -> Iterable[list[Any]]:
    """Put batches together until they are worth a group."""
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group
