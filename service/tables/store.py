"""Where datasets are kept: one folder for each digest, and one for each upload that is under way.

datasets/<digest>/            manifest.json and the columns; never changed
datasets/.incoming/<random>/  an upload; locked by the process that receives it
datasets/.lock                held while a folder comes or goes
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from service.exceptions import DatasetDamaged, InvalidDataset, Problem, StorageBusy
from service.spec.schema import Schema
from service.tables.files import MANIFEST, Manifest, StoredColumn, read_manifest, sync_folder
from service.tables.sources import too_many

__all__ = ["DatasetStore", "Workspace"]

_LOCK_SECONDS = 10.0
_TRY_SECONDS = 0.005


class Workspace:
    """A folder for one upload: the file as it came, and what is made of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.upload = root / "upload"
        """The file as it came."""
        self.columns = root / "columns"
        """A folder for what is read from it."""


class DatasetStore:
    """The folder of all datasets. Several processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / ".incoming"

    def folder(self, digest: str) -> Path:
        """Name the folder of a dataset, whether it is there or not; `open_dataset` reads it."""
        return self._root / digest

    def has(self, digest: str) -> bool:
        """Tell whether a dataset is there."""
        return (self.folder(digest) / MANIFEST).is_file()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no dataset come or go while the block runs, but through this caller. Keep it short.

        Raises:
            StorageBusy: Another process does not let go.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("a") as file:
            _wait_for(file)
            yield

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Give a folder for one upload, which is gone after the block."""
        with contextlib.ExitStack() as stack:
            with self.exclusive():
                # Made and locked in one go, or a sweeping process would take it for a leftover.
                place = self._incoming / secrets.token_hex(8)
                (place / "columns").mkdir(parents=True)
                stack.callback(shutil.rmtree, place, ignore_errors=True)
                fcntl.flock(stack.enter_context((place / "lock").open("w")), fcntl.LOCK_EX)
            yield Workspace(place)

    def publish(self, folder: Path, digest: str) -> None:
        """Make a finished folder the dataset of a digest; one that is there already stays. Needs `exclusive`."""
        if not self.has(digest):
            shutil.rmtree(self.folder(digest), ignore_errors=True)
            folder.rename(self.folder(digest))
            sync_folder(self._root)

    def remove(self, digest: str) -> None:
        """Take a dataset away. Needs `exclusive`. Whoever has mapped it keeps what is mapped."""
        folder = self.folder(digest)
        if folder.is_dir():
            trash = self._incoming / f"trash-{secrets.token_hex(8)}"
            folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)

    def note_use(self, digest: str, at: float) -> None:
        """Remember when a dataset was last used: as the time of its folder, which nothing else changes.

        Args:
            digest: The dataset; one that is not there is no matter.
            at: Seconds since 1970. An earlier time than the one known changes nothing.
        """
        if at > self.last_use(digest):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.folder(digest), (at, at))

    def last_use(self, digest: str) -> float:
        """Tell when a dataset was written or last noted as used, in seconds since 1970; 0 where there is none."""
        try:
            return self.folder(digest).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def strays(self, known: Collection[str]) -> list[Path]:
        """List what crashes left behind: uploads that nobody receives, and datasets that no row names.

        Needs `exclusive`.

        Args:
            known: Digests of all datasets.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        uploads = [place for place in self._incoming.iterdir() if not _is_held(place)]
        return uploads + [
            one for one in self._root.iterdir() if one.name not in known and not one.name.startswith(".")
        ]

    def sweep(self, known: Collection[str]) -> int:
        """Remove all `strays`. Needs `exclusive`.

        Args:
            known: Digests of all datasets.

        Returns:
            How many folders were removed.
        """
        swept = self.strays(known)
        for folder in swept:
            shutil.rmtree(folder, ignore_errors=True)
        return len(swept)

    def join(self, columns: Path, base: str, *, max_columns: int) -> Manifest:
        """Put the columns of another dataset in front of those just read, as links to the same files.

        Args:
            columns: Folder of what was read; its manifest is replaced.
            base: Digest of the other dataset.
            max_columns: The two together may have so many.

        Raises:
            DatasetTooLarge: They have more.
            InvalidDataset: The two differ in their number of rows, or have a column of one name.
            DatasetDamaged: The other dataset is not whole.
        """
        before, after = read_manifest(self.folder(base)), read_manifest(columns)
        _check_joinable(before.table, after.table)
        if len(before.table.columns) + len(after.table.columns) > max_columns:
            raise too_many("columns", max_columns, name="max_features")
        files = [
            _linked(self.folder(base) / stored.file, columns, f"base-{stored.file}", stored)
            for stored in before.files
        ]
        table = Schema(rows=after.table.rows, columns=(*before.table.columns, *after.table.columns))
        joined = after.model_copy(update={"table": table, "files": (*files, *after.files)})
        joined.write(columns)
        return joined


def _linked(source: Path, folder: Path, name: str, stored: StoredColumn) -> StoredColumn:
    try:
        os.link(source, folder / name)
    except FileNotFoundError:
        raise DatasetDamaged(f"The file of column `{stored.column}` is missing.") from None
    except OSError:
        # Some file systems have no links.
        shutil.copyfile(source, folder / name)
    return stored.model_copy(update={"file": name})


def _check_joinable(before: Schema, after: Schema) -> None:
    if before.rows != after.rows:
        message = f"The upload has {after.rows:,} rows, the dataset to join has {before.rows:,}."
        hint = "Joining puts columns side by side: both must have the same rows in the same order."
        raise InvalidDataset([Problem(None, "ragged_columns", message, hint)])
    problems = [
        Problem(
            None,
            "duplicate_column",
            f"Both the upload and the dataset to join have a column `{name[:80]}`.",
            "Send column=<another name> with npy and IDX, or rename it in the file.",
        )
        for name in after.by_name
        if name in before.by_name
    ]
    if problems:
        raise InvalidDataset(problems[:20])


def _wait_for(file: IO[str]) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StorageBusy from None
            time.sleep(_TRY_SECONDS)
        else:
            return


def _is_held(place: Path) -> bool:
    """Tell whether a living process receives an upload there."""
    try:
        with (place / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
