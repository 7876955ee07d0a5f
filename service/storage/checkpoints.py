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
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service import failpoints
from service.exceptions import CheckpointDamaged
from service.tables.disk import full_disk_told
from service.tables.files import sync_folder

__all__ = ["CheckpointStore", "StoredFile"]

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH = re.compile(rf"{_JOB_ID.pattern}/\d{{1,20}}-\d{{1,20}}\.ckpt")
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


class CheckpointStore:
    """The folder of all checkpoints. Several processes may use it at the same time, some of them zombies."""

    def __init__(self, root: Path, *, min_free_bytes: int) -> None:
        self._root = root
        self._min_free_bytes = min_free_bytes

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
        stored = StoredFile(_path(job_id, attempt, number), hashlib.sha256(data).hexdigest(), len(data))
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
        for full in [self.full_path(path) for path in paths]:
            full.unlink(missing_ok=True)
            _remove_if_empty(full.parent)

    def remove_job(self, job_id: str) -> None:
        """Take all checkpoints of a job away, those that no row names included."""
        _check_job_id(job_id)
        shutil.rmtree(self._root / job_id, ignore_errors=True)

    def job_ids(self) -> set[str]:
        """Name the jobs that have a folder here."""
        return {folder.name for folder in self._folders()}

    def strays(self, known: Mapping[str, Collection[str]], older_than_seconds: float) -> list[Path]:
        """List what crashes left behind: files half written, and files that no row names.

        A file is written before its row, so one without a row may be about to get it: only old ones count.
        Read `known` before calling this, not after: what is written in between is young.

        Args:
            known: The paths that rows name, by the id of their job.
            older_than_seconds: How long ago, by the clock of the disk, a file must have been written.
        """
        before = time.time() - older_than_seconds
        return [
            file
            for folder in self._folders()
            for file in _listed(folder)
            if f"{folder.name}/{file.name}" not in known.get(folder.name, ()) and _is_older(file, before)
        ]

    def sweep(self, known: Mapping[str, Collection[str]], older_than_seconds: float) -> int:
        """Remove what crashes left behind: all `strays`, and folders with nothing in them.

        Returns:
            How many files were removed.
        """
        before = time.time() - older_than_seconds
        # Asked first: a folder that was just made is about to get its first file.
        old_folders = [folder for folder in self._folders() if _is_older(folder, before)]
        strays = self.strays(known, older_than_seconds)
        removed = sum(_remove(file) for file in strays)
        for folder in {*old_folders, *(file.parent for file in strays)}:
            _remove_if_empty(folder)
        return removed

    def _folders(self) -> list[Path]:
        return [one for one in _listed(self._root) if _JOB_ID.fullmatch(one.name) and one.is_dir()]

    def _make_root(self) -> None:
        if not self._root.is_dir():
            self._root.mkdir(parents=True, exist_ok=True)
            sync_folder(self._root.parent)

    def _check_room(self, size: int) -> None:
        if shutil.disk_usage(self._root).free - size < self._min_free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

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


def _path(job_id: str, attempt: int, number: int) -> str:
    _check_job_id(job_id)
    return f"{job_id}/{attempt:d}-{number:d}.ckpt"


def _check_job_id(job_id: str) -> None:
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id[:200]!r} is not the id of a job.")


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


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat(follow_symlinks=False).st_mtime <= before
    except OSError:
        return False  # Gone already: several sweep at once, and a job's folder may go as a whole.


def _remove(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:
        return False
    return True


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
