"""Files that belong to rows: a folder for each thing, and in it the files that its row names, and leftovers."""

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from service.tables.files import sync_folder

__all__ = ["OwnedFiles"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class OwnedFiles:
    """A folder of such folders. Several processes may use it at the same time, some of them zombies."""

    def __init__(self, root: Path, *, min_free_bytes: int) -> None:
        """Use a folder, which is made when it is first written to.

        Args:
            root: Of all.
            min_free_bytes: Room that files leave on the disk.
        """
        self._root = root
        self._min_free_bytes = min_free_bytes

    def remove_folder(self, owner_id: str) -> None:
        """Take everything of one owner away, what no row names included."""
        _check_id(owner_id)
        shutil.rmtree(self._root / owner_id, ignore_errors=True)

    def ids(self) -> set[str]:
        """Name those who have a folder here."""
        return {folder.name for folder in self._folders()}

    def strays(self, known: Mapping[str, Collection[str]], older_than_seconds: float) -> list[Path]:
        """List what crashes left behind: files half written, and files that no row names.

        A file is written before its row, so one without a row may be about to get it: only old ones count.
        Read `known` before calling this, not after: what is written in between is young.

        Args:
            known: The paths that rows name, by the id of their owner.
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

    def _path(self, owner_id: str, name: str) -> str:
        """Name a file, relative to the folder of all.

        Raises:
            ValueError: The owner's id is no name of a folder.
        """
        _check_id(owner_id)
        return f"{owner_id}/{name}"

    def _remove_files(self, files: Iterable[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)
            _remove_if_empty(file.parent)

    def _folders(self) -> list[Path]:
        return [one for one in _listed(self._root) if _ID.fullmatch(one.name) and one.is_dir()]

    def _make_root(self) -> None:
        if not self._root.is_dir():
            self._root.mkdir(parents=True, exist_ok=True)
            sync_folder(self._root.parent)

    def _check_room(self, size: int) -> None:
        if shutil.disk_usage(self._root).free - size < self._min_free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _check_id(owner_id: str) -> None:
    if not _ID.fullmatch(owner_id):
        raise ValueError(f"{owner_id[:200]!r} is not the id of a job or a prediction.")


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat(follow_symlinks=False).st_mtime <= before
    except OSError:
        return False  # Gone already: several sweep at once, and an owner's folder may go as a whole.


def _remove(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:
        return False
    return True


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
