"""Where exports are kept: a folder for each job or model's version, and in it two files for each export.

exports/<id>/<key>              the file
exports/<id>/<key>.json         its report, written last: with it the export is there
exports/.making/<random>/       one that is being made, or left behind by a crash
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from service.exports.report import Exported, Report
from service.tables.disk import full_disk_told
from service.tables.files import sync_folder

__all__ = ["ExportStore"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAKING = ".making"
MOST_FILES = 1000
"""So many exports are kept at most, however small they are."""
_ABANDONED_SECONDS = 3600.0
"""Nothing is made for so long: what is older was left behind."""


class ExportStore:
    """The folder of all exports: what is in it can be made again, so it is bounded, and anything may go at any time."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        """Name the folder; it is made when it is needed.

        Args:
            root: The folder.
            max_bytes: How much is kept: the longest unused goes first.
        """
        self._root = root
        self._max_bytes = max_bytes

    @staticmethod
    def key(format_name: str, versions: Mapping[str, str], *, digest: str) -> str:
        """Name an export of a model: by its format, and all that it depends on.

        Args:
            format_name: The format.
            versions: Of all packages that have a part in it.
            digest: Of the tensors and the spec.
        """
        text = "\n".join([format_name, digest, *(f"{name} {one}" for name, one in sorted(versions.items()))])
        return f"{format_name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def read(self, owner_id: str, key: str) -> Exported | None:
        """Give an export; None where it is not there, or not as it was written."""
        path = self._folder(owner_id) / key
        try:
            report = Report.model_validate_json(path.with_name(f"{key}.json").read_bytes())
            data = path.read_bytes()
            os.utime(path)
        except (OSError, ValidationError):
            return None
        if hashlib.sha256(data).hexdigest() != report.digest:
            return None
        return Exported(data=data, report=report)

    def write(self, owner_id: str, key: str, data: bytes, report: Report) -> None:
        """Keep an export: whole or not at all.

        Raises:
            DiskFull: There is no room.
            OSError: It cannot be written, for one because the folder is being removed.
        """
        folder = self._folder(owner_id)
        with full_disk_told("There is no room for the export on the disk."):
            folder.mkdir(parents=True, exist_ok=True)
            _place(folder / key, data)
            _place(folder / f"{key}.json", report.model_dump_json().encode())
            sync_folder(folder)
        self._tidy()

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give a folder to make an export in, which is gone after the block."""
        with full_disk_told("There is no room for an export on the disk."):
            place = self._root / _MAKING / secrets.token_hex(8)
            place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def remove(self, owner_id: str) -> None:
        """Take all exports of a job or a version away."""
        shutil.rmtree(self._folder(owner_id), ignore_errors=True)

    def ids(self) -> set[str]:
        """Name the jobs and versions that have exports here."""
        return {one.name for one in _listed(self._root) if _ID.fullmatch(one.name)}

    def sweep(self, known: Collection[str]) -> int:
        """Remove the exports of models that are gone, and what crashes left behind.

        Args:
            known: Those of `ids` that are still there.

        Returns:
            How many folders were removed.
        """
        strays = self.strays(known)
        for folder in strays:
            shutil.rmtree(folder, ignore_errors=True)
        return len(strays)

    def strays(self, known: Collection[str]) -> list[Path]:
        """List what `sweep` removes."""
        gone = [self._root / one for one in sorted(self.ids() - set(known))]
        before = time.time() - _ABANDONED_SECONDS
        return gone + [one for one in _listed(self._root / _MAKING) if _is_older(one, before)]

    def _folder(self, owner_id: str) -> Path:
        if not _ID.fullmatch(owner_id):
            raise ValueError(f"{owner_id[:80]!r} is no id.")
        return self._root / owner_id

    def _tidy(self) -> None:
        """Remove those that were not used for longest, until the others fit."""
        paths = (path for owner_id in self.ids() for path in _listed(self._root / owner_id))
        files = [found for path in paths if path.suffix == "" and (found := _aged(path)) is not None]
        left, count = sum(size for _, size, _ in files), len(files)
        for _, size, path in sorted(files):
            if left <= self._max_bytes and count <= MOST_FILES:
                return
            path.with_name(f"{path.name}.json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            left, count = left - size, count - 1
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # If it is empty now.


def _place(path: Path, data: bytes) -> None:
    """Write beside and move into place, so that nobody sees half of it."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _aged(path: Path) -> tuple[float, int, Path] | None:
    """Give when a file was used last, and its size; None where another process has just removed it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime, found.st_size, path


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime <= before
    except OSError:
        return False
