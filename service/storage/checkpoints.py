"""Where checkpoints are kept: a folder for each job, and in it a file for each checkpoint of each attempt.

checkpoints/<job id>/<attempt>-<number>.ckpt            whole and on the disk, or not there
checkpoints/<job id>/<attempt>-<number>.<random>.tmp    being written, or left behind by a crash
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from service import failpoints
from service.exceptions import CheckpointDamaged
from service.storage.folders import OwnedFiles
from service.tables.disk import full_disk_told
from service.tables.files import sync_folder

__all__ = ["CheckpointStore", "StoredFile"]

_PATH = re.compile(r"[A-Za-z0-9_-]{1,64}/\d{1,20}-\d{1,20}\.ckpt")
_FULL_HINT = "The training goes on without it; make room on the disk of the data folder."
_TRIES = 5


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is on the disk.

    Attributes:
        path: Relative to the folder of all checkpoints, with `/` between its parts.
        digest: SHA-256 of its bytes, in hexadecimal.
        size: Its bytes.
    """

    path: str
    digest: str
    size: int


class CheckpointStore(OwnedFiles):
    """The folder of all checkpoints, each in the folder of its job."""

    def write(self, job_id: str, attempt: int, number: int, data: bytes) -> StoredFile:
        """Bring a checkpoint to the disk. When this returns, it outlives a power cut.

        The attempt is part of the path: one that lost its lease without knowing it overwrites nothing of its
        successor's.

        Args:
            job_id: The job.
            attempt: The attempt that writes.
            number: Counts the checkpoints of the job.
            data: The checkpoint.

        Raises:
            DiskFull: The disk is full, or less than `min_free_bytes` would be left. Nothing of it stays behind.
        """
        path = self._path(job_id, f"{attempt:d}-{number:d}.ckpt")
        stored = StoredFile(path, hashlib.sha256(data).hexdigest(), len(data))
        with full_disk_told("There is no room for the checkpoint on the disk.", hint=_FULL_HINT):
            self._make_root()
            self._check_room(len(data))
            self._place(self._root / stored.path, data)
        return stored

    def read(self, path: str, digest: str) -> bytes:
        """Read a checkpoint, and make sure that it is what was written.

        Args:
            path: As `StoredFile.path`.
            digest: As `StoredFile.digest`.

        Raises:
            CheckpointDamaged: It is missing or short, a bit is flipped, or the path leads out of the folder.
        """
        try:
            data = self.full_path(path).read_bytes()
        except OSError:
            raise CheckpointDamaged(f"The checkpoint {path} cannot be read.") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise CheckpointDamaged(f"The checkpoint {path} is not as it was written.")
        return data

    def full_path(self, path: str) -> Path:
        """Name the file of a checkpoint, whether it is there or not.

        Raises:
            CheckpointDamaged: The path is none that `write` gives, or leads out of the folder.
        """
        root = self._root.resolve()
        if not _PATH.fullmatch(path) or not (full := root / path).resolve().is_relative_to(root):
            raise CheckpointDamaged(f"{path[:200]!r} is not the path of a checkpoint.")
        return full

    def remove(self, paths: Iterable[str]) -> None:
        """Take checkpoints away; those that are gone already are no matter. Needs their rows gone first.

        Raises:
            CheckpointDamaged: One of the paths leads out of the folder.
        """
        self._remove_files([self.full_path(path) for path in paths])

    def remove_job(self, job_id: str) -> None:
        """Take all checkpoints of a job away, those that no row names included."""
        self.remove_folder(job_id)

    def _place(self, path: Path, data: bytes) -> None:
        """Write beside and move into place, again where somebody removed the job's folder meanwhile."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                path.parent.mkdir(exist_ok=True)
                _write(path, data)
                sync_folder(
                    self._root
                )  # The job's folder may be new; if it is not, this costs next to nothing.
                return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Written straight, it would be lost with the disk full or the process dead."""
    unfinished = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb", buffering=0) as file:
            _write_all(file.fileno(), data)
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    rest, half = memoryview(data), len(data) // 2
    while rest:
        written = os.write(descriptor, rest[:half] if half else rest)
        failpoints.hit("checkpoint_half_written")
        rest, half = rest[written:], 0
