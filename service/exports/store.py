"""Where exports are kept: a folder for each model's digest, and in it two files for each export.

exports/<digest>/<key>                 the file
exports/<digest>/<key>.json            its report, written last: with it the export is there
exports/.making/<random>/              one that is being made, or left behind by a crash
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

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAKING = ".making"
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
    def key(format_name: str, versions: Mapping[str, str], *, about: str = "") -> str:
        """Name an export of a model: by its format, and the versions of what makes it.

        Args:
            format_name: The format.
            versions: Of all packages that have a part in it.
            about: What else it depends on beside the trained tensors, such as the spec.
        """
        text = "\n".join([format_name, about, *(f"{name} {one}" for name, one in sorted(versions.items()))])
        return f"{format_name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def read(self, digest: str, key: str) -> Exported | None:
        """Give an export; None where it is not there, or not as it was written."""
        path = self._folder(digest) / key
        try:
            report = Report.model_validate_json(path.with_name(f"{key}.json").read_bytes())
            data = path.read_bytes()
            os.utime(path)
        except (OSError, ValidationError):
            return None
        if hashlib.sha256(data).hexdigest() != report.digest:
            return None
        return Exported(data=data, report=report)

    def write(self, digest: str, key: str, data: bytes, report: Report) -> None:
        """Keep an export: whole or not at all.

        Raises:
            DiskFull: There is no room.
        """
        folder = self._folder(digest)
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

    def remove(self, digest: str) -> None:
        """Take all exports of a model away."""
        shutil.rmtree(self._folder(digest), ignore_errors=True)

    def digests(self) -> set[str]:
        """Name the models that have exports here."""
        return {one.name for one in _listed(self._root) if _DIGEST.fullmatch(one.name)}

    def sweep(self, known: Collection[str]) -> int:
        """Remove the exports of models that are gone, and what crashes left behind.

        Args:
            known: Those of `digests` that are still there.

        Returns:
            How many folders were removed.
        """
        strays = self.strays(known)
        for folder in strays:
            shutil.rmtree(folder, ignore_errors=True)
        return len(strays)

    def strays(self, known: Collection[str]) -> list[Path]:
        """List what `sweep` removes."""
        gone = [self._root / digest for digest in sorted(self.digests() - set(known))]
        before = time.time() - _ABANDONED_SECONDS
        return gone + [one for one in _listed(self._root / _MAKING) if _is_older(one, before)]

    def _folder(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest[:80]!r} is no digest.")
        return self._root / digest

    def _tidy(self) -> None:
        """Remove those that were not used for longest, until the others fit."""
        files = [
            (path.stat().st_mtime, path.stat().st_size, path)
            for digest in self.digests()
            for path in _listed(self._root / digest)
            if path.suffix == "" and path.is_file()
        ]
        left = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if left <= self._max_bytes:
                return
            path.with_name(f"{path.name}.json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            left -= size


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


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime <= before
    except OSError:
        return False
