"""What a backup holds: a folder with the rows as a SQLite file, the files that rows name, and this manifest.

DEST/manifest.json                      written last: a folder without it is no finished backup
DEST/fitd.db                            all rows, as of one moment
DEST/datasets/<digest>/…                all datasets
DEST/checkpoints/<job id>/….ckpt        of the jobs that have not ended
DEST/predictions/<id>/….parquet         results of batch predictions
"""

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.exceptions import BackupUnusable
from service.tables.files import sync_folder

__all__ = [
    "CHECKPOINTS",
    "DATABASE",
    "DATASETS",
    "PREDICTIONS",
    "BackupManifest",
    "StoredFile",
    "check_files",
    "described",
    "read",
]

NAME = "manifest.json"
DATABASE = "fitd.db"
DATASETS = "datasets"
CHECKPOINTS = "checkpoints"
PREDICTIONS = "predictions"

# Nothing else is written into a data folder, whatever a manifest says.
_PLACE = (
    r"^(fitd\.db"
    r"|datasets/[A-Za-z0-9]{1,64}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}"
    r"|checkpoints/[A-Za-z0-9_-]{1,64}/[0-9]{1,20}-[0-9]{1,20}\.ckpt"
    r"|predictions/[A-Za-z0-9_-]{1,64}/[0-9]{1,20}\.parquet)$"
)


class StoredFile(BaseModel):
    """A file of a backup."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    path: Annotated[str, Field(pattern=_PLACE)]
    """Within the backup, with `/` between its parts."""
    bytes: int
    sha256: str


class BackupManifest(BaseModel):
    """What a backup holds."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    format: Literal["fitd-backup"] = "fitd-backup"
    version: Literal[1] = 1
    fitd: str
    """The version that made it."""
    schema_revision: str
    """Of the rows; an older one is upgraded when the backup is restored."""
    system: str
    """The database that it was made from: `sqlite` or `postgresql`."""
    taken_at: datetime
    """All rows are as of this moment or one shortly after."""
    rows: dict[str, int]
    """How many each table has."""
    files: tuple[StoredFile, ...]
    missing: tuple[str, ...] = ()
    """Digests of datasets that were deleted while the backup was made; their rows are left out too."""
    damaged: tuple[str, ...] = ()
    """Files that were not as they were written before the backup was made; they are in it as they were found."""

    def in_words(self) -> Iterator[str]:
        """Tell what is in it, for people."""
        yield f"{self.rows.get('jobs', 0)} jobs"
        yield f"{self.rows.get('sweeps', 0)} sweeps"
        yield f"{self.rows.get('predictions', 0)} batch predictions"
        yield f"{self.rows.get('datasets', 0)} datasets"
        yield f"{self.rows.get('checkpoints', 0)} checkpoints"
        yield f"{self.rows.get('api_keys', 0)} API keys"
        yield f"{len(self.files)} files of {sum(file.bytes for file in self.files):,} bytes"

    def write(self, folder: Path) -> None:
        """Write the manifest, whole or not at all, which makes a folder a backup."""
        unfinished = folder / f"{NAME}.tmp"
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(folder / NAME)
        sync_folder(folder)


def read(folder: Path) -> BackupManifest:
    """Read what a backup holds.

    Raises:
        BackupUnusable: There is no finished backup, or it is of a newer format.
    """
    try:
        text = (folder / NAME).read_bytes()
    except OSError:
        message = f"{folder} is no finished backup: there is no {NAME} in it."
        raise BackupUnusable(message, hint="`fitd backup` writes it last; was it ended before?") from None
    try:
        return BackupManifest.model_validate_json(text)
    except ValidationError:
        message = f"{folder / NAME} cannot be read."
        raise BackupUnusable(message, hint="It is damaged, or of a newer version of fitd.") from None


def described(folder: Path, path: str) -> StoredFile:
    """Tell size and digest of a file of a backup.

    Args:
        folder: Of the backup.
        path: As `StoredFile.path`.
    """
    with (folder / path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return StoredFile(path=path, bytes=os.fstat(file.fileno()).st_size, sha256=sha256)


def check_files(folder: Path, manifest: BackupManifest) -> None:
    """Read all files of a backup, and make sure that they are what was written.

    Raises:
        BackupUnusable: One is missing or different.
    """
    for file in manifest.files:
        try:
            found = described(folder, file.path)
        except OSError:
            raise BackupUnusable(f"The backup is not whole: {file.path} is missing.") from None
        if found != file:
            raise BackupUnusable(f"The backup is damaged: {file.path} is not as it was written.")
    if DATABASE not in {file.path for file in manifest.files}:
        raise BackupUnusable(f"The backup is not whole: its manifest names no {DATABASE}.")
