"""Makes a backup while the service runs: first the rows, then the files that they name."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service import __version__, migrations
from service.backup import manifest, rows, snapshot
from service.backup.manifest import CHECKPOINTS, DATABASE, DATASETS, PREDICTIONS, BackupManifest
from service.datasets.orm import Dataset, DatasetSchema
from service.db import Database, now
from service.exceptions import BackupFailed, DatasetDamaged
from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Checkpoint, Job
from service.predictions.expiry import prediction_that_needs
from service.predictions.orm import Prediction
from service.settings import Settings
from service.tables.files import MANIFEST, read_manifest, sync_files, sync_folder
from service.tables.store import DatasetStore

__all__ = ["back_up"]


def back_up(settings: Settings, database: Database, folder: Path) -> BackupManifest:
    """Copy everything that the service keeps into a folder. The service goes on as usual.

    Args:
        settings: Say where the files are.
        database: Of the service, whose schema is current.
        folder: Where the backup is to be; made when missing.

    Returns:
        What is in it.

    Raises:
        BackupFailed: The folder is not empty or lies where the service would tidy it up, the disk is full, or a
            dataset that a job needs cannot be copied. What there is of it can be removed.
        DatabaseBusy: The database cannot be read.
    """
    try:
        _make(settings, folder)
        return _Backup(settings, folder).make(database)
    except (OSError, sqlite3.Error) as error:
        message = f"The backup cannot be written: {getattr(error, 'strerror', None) or error}."
        raise BackupFailed(message, hint=f"Look at {folder}, whose disk may be full.") from None


def _make(settings: Settings, folder: Path) -> None:
    for ours in (settings.datasets_dir, settings.checkpoints_dir, settings.predictions_dir):
        if folder.resolve().is_relative_to(ours.resolve()):
            message = f"{folder} is in a folder of the service, which removes what it does not know."
            raise BackupFailed(message, hint="Name a folder outside of it, best on another disk.")
    # For its owner alone: the specs and the data of all callers are in it.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty.", hint="Name a new folder for each backup.")


class _Backup:
    """One backup that is being made."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._datasets = DatasetStore(settings.datasets_dir)
        self._written: dict[str, str] = {}
        """What was copied: the SHA-256 of each file as it was written, by its path in the backup."""

    def make(self, database: Database) -> BackupManifest:
        """Copy the rows, then the files, then settle what was removed in between."""
        taken_at = now()
        snapshot.take(database, self._folder / DATABASE)
        with snapshot.opened(self._folder / DATABASE) as copy:
            # Checkpoints first: they come and go by the second.
            self._copy_checkpoints(copy)
            self._copy_predictions(copy)
            missing = self._copy_datasets(copy)
            with copy.read() as session:
                counted = rows.counts(session)
        self._sync()
        # Read only now: meanwhile nothing waited to be copied and was removed.
        files = [manifest.described(self._folder, path) for path in self._written]
        damaged = [file.path for file in files if self._written[file.path] not in ("", file.sha256)]
        made = BackupManifest(
            fitd=__version__,
            schema_revision=migrations.HEAD,
            system=database.engine.dialect.name,
            taken_at=taken_at,
            rows=counted,
            files=(manifest.described(self._folder, DATABASE), *files),
            missing=tuple(missing),
            damaged=tuple(damaged),
        )
        made.write(self._folder)
        return made

    def _copy_checkpoints(self, copy: Database) -> None:
        """Copy those of unfinished jobs. One that was removed meanwhile loses its row: another one will do, or none."""
        with copy.write() as session:
            ended = sa.select(Job.seq).where(Job.status.in_(TERMINAL))
            session.execute(sa.delete(Checkpoint).where(Checkpoint.job_seq.in_(ended)))
            for one in session.scalars(sa.select(Checkpoint)).all():
                try:
                    source = self._settings.checkpoints_dir / one.path
                    self._copy(source, f"{CHECKPOINTS}/{one.path}", one.digest)
                except FileNotFoundError:
                    session.delete(one)

    def _copy_predictions(self, copy: Database) -> None:
        """Copy the results. A prediction whose file is gone was removed meanwhile, and loses its row too."""
        with copy.write() as session:
            for one in session.scalars(sa.select(Prediction).where(Prediction.path.is_not(None))).all():
                digest = (one.result or {}).get("digest", "")
                try:
                    source = self._settings.predictions_dir / str(one.path)
                    self._copy(source, f"{PREDICTIONS}/{one.path}", digest)
                except FileNotFoundError:
                    session.delete(one)

    def _copy_datasets(self, copy: Database) -> list[str]:
        """Copy all datasets; gives the digests of those that were removed meanwhile, and have lost their rows."""
        with copy.read() as session:
            digests = session.scalars(sa.select(DatasetSchema.digest).order_by(DatasetSchema.digest)).all()
        missing = [digest for digest in digests if not self._copy_dataset(digest)]
        with copy.write() as session:
            for digest in missing:
                _forget(session, digest)
        return missing

    def _copy_dataset(self, digest: str) -> bool:
        """Copy a dataset as it is found; False when it is gone."""
        source, place = self._datasets.folder(digest), f"{DATASETS}/{digest}"
        before = dict(self._written)
        try:
            if not self._datasets.has(digest):
                return False
            for file, sha256 in _written(source).items():
                self._copy(source / file, f"{place}/{file}", sha256)
        except FileNotFoundError:
            shutil.rmtree(self._folder / place, ignore_errors=True)
            self._written = before
            return False
        return True

    def _copy(self, source: Path, path: str, sha256: str) -> None:
        """Copy a file that never changes.

        Args:
            source: The file.
            path: Where in the backup.
            sha256: Of the file as it was written; empty where nobody noted it.

        Raises:
            FileNotFoundError: The file is gone.
        """
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(source, target)
        self._written[path] = sha256

    def _sync(self) -> None:
        """Bring everything to the disk before the manifest says that it is there."""
        files = [self._folder / path for path in self._written]
        sync_files([*files, self._folder / DATABASE])
        for folder in sorted({parent for file in files for parent in _below(self._folder, file)}):
            sync_folder(folder)


def _below(root: Path, file: Path) -> Iterator[Path]:
    yield from (parent for parent in file.parents if parent.is_relative_to(root))


def _written(folder: Path) -> dict[str, str]:
    """List the files of a dataset, with the SHA-256 of each as it was written.

    Raises:
        FileNotFoundError: The folder is gone.
    """
    there = dict.fromkeys(sorted(file.name for file in folder.iterdir()), "")
    try:
        noted = {stored.file: stored.sha256 for stored in read_manifest(folder).files}
    except DatasetDamaged:
        return {**there, MANIFEST: "unreadable"}
    return {name: noted.get(name, "") for name in there}


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # Another disk, or a file system without links.
        shutil.copyfile(source, target)


def _forget(session: Session, digest: str) -> None:
    """Leave out a dataset that was deleted meanwhile.

    Raises:
        BackupFailed: When the rows were read, a job or a prediction needed it that had not ended.
    """
    user = _user_of(session, digest)
    if user is not None:
        message = f"The files of dataset {digest[:12]}, which {user} needs, are gone."
        raise BackupFailed(
            message, hint="Make the backup again, into another folder. `fitd doctor` tells what is damaged."
        )
    session.execute(sa.delete(Dataset).where(Dataset.digest == digest))
    session.execute(sa.delete(DatasetSchema).where(DatasetSchema.digest == digest))


def _user_of(session: Session, digest: str) -> str | None:
    """Name a job or a prediction that has not ended and needs a dataset."""
    ids = session.scalars(sa.select(Dataset.id).where(Dataset.digest == digest)).all()
    needed = sa.select(Job.id).where(Job.dataset_id.in_(ids), Job.status.not_in(TERMINAL)).limit(1)
    job_id = session.scalar(needed)
    if job_id is not None:
        return f"job {job_id}"
    predictions = (prediction_that_needs(session, dataset_id) for dataset_id in ids)
    return next((f"prediction {one}" for one in predictions if one is not None), None)
