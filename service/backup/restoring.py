"""Brings a backup back, into a database and a data folder with nothing in them yet."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service import migrations
from service.access.orm import ApiKey
from service.backup import manifest, rows, snapshot
from service.backup.manifest import CHECKPOINTS, DATABASE, DATASETS, BackupManifest
from service.datasets.orm import Dataset, DatasetSchema
from service.db import Base, Database
from service.exceptions import BackupFailed, BackupUnusable, RestoreRefused
from service.jobs import attempts, causes
from service.jobs.attempts import JobRef
from service.jobs.lifecycle import ACTIVE
from service.jobs.orm import Checkpoint, Job
from service.registry.orm import Model
from service.settings import Settings
from service.sweeps.orm import Sweep
from service.tables.files import sync_folder

__all__ = ["Restored", "restore"]

USED: dict[str, type[Base]] = {
    "jobs": Job,
    "datasets": Dataset,
    "api_keys": ApiKey,
    "sweeps": Sweep,
    "models": Model,
}
"""The tables of which one row makes a database one in use."""
EVENT_GAP = 10**9
"""Event ids go on so far above those of the backup: whoever follows a job from an event that was told after
the backup was made is told all that happens from now on, and takes nothing of it for something he has seen."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What is back.

    Attributes:
        manifest: Of the backup.
        let_go: Jobs that were under way, and are queued, paused or cancelled now.
    """

    manifest: BackupManifest
    let_go: int


def restore(settings: Settings, database: Database, folder: Path) -> Restored:
    """Bring a backup back. Killed at any point, it has restored nothing or everything, and can be run again.

    Args:
        settings: Say where the files go.
        database: Without jobs, datasets and keys, on whichever system; without a schema, it gets one.
        folder: Of the backup, in which nothing is changed.

    Raises:
        BackupUnusable: The backup is unfinished or damaged, or made by a newer version. Nothing was written.
        DatabaseNotReady: Its rows, or the database, are of a newer version.
        RestoreRefused: There is something in the database.
        BackupFailed: The data folder cannot be written, or its disk is full.
    """
    _refuse_used(database)
    found = manifest.read(folder)
    manifest.check_files(folder, found)
    try:
        with _rows_of(settings, folder) as copy:
            let_go = _prepared(copy, found)
            migrations.migrate(database)
            _copy_files(settings, folder, copy, found)
            _copy_rows(copy, database)
    except OSError as error:
        message = f"The data folder {settings.data_dir} cannot be written: {error.strerror or error}."
        raise BackupFailed(message, hint="Is there room on its disk? Then restore again.") from None
    return Restored(found, let_go)


def _refuse_used(database: Database) -> None:
    with database.read() as session:
        _refuse_rows(session)


def _refuse_rows(session: Session) -> None:
    """Make sure that nothing is in the way. A database without a schema, or with an older one, has fewer tables.

    Raises:
        RestoreRefused: Something is.
    """
    there = sa.inspect(session.connection()).get_table_names()
    for name, table in USED.items():
        count = session.scalar(sa.select(sa.func.count()).select_from(table)) if name in there else 0
        if count:
            message = f"The database is in use: there are rows in `{name}`, {count} of them."
            raise RestoreRefused(message, hint="Restore into a new data folder or a new database.")


@contextlib.contextmanager
def _rows_of(settings: Settings, folder: Path) -> Iterator[Database]:
    """Give a copy of a backup's rows, upgraded to the schema of this version."""
    workplace = settings.data_dir / ".restore"
    shutil.rmtree(workplace, ignore_errors=True)  # Of a restore that was killed.
    workplace.mkdir(parents=True)
    try:
        shutil.copyfile(folder / DATABASE, workplace / DATABASE)
        with snapshot.opened(workplace / DATABASE) as copy:
            migrations.migrate(copy)
            yield copy
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _prepared(copy: Database, found: BackupManifest) -> int:
    """Make sure that all files are there that rows name, and let the jobs go that were under way.

    Returns:
        How many these were.

    Raises:
        BackupUnusable: Something is missing.
    """
    with copy.read() as session:
        _check_named(session, found)
        active = sa.select(Job.id, Job.attempt).where(Job.status.in_(ACTIVE)).order_by(Job.seq)
        refs = [JobRef(*row) for row in session.execute(active)]
    with copy.write() as session:
        for ref in refs:
            attempts.let_go(session, ref, cause=causes.RESTORED)
    return len(refs)


def _check_named(session: Session, found: BackupManifest) -> None:
    files = {file.path for file in found.files}
    for path in _named(session):
        if path not in files:
            raise BackupUnusable(f"The backup is not whole: it has a row of {path}, and not the file.")


def _named(session: Session) -> Iterator[str]:
    """Name the files that rows need."""
    yield from (f"{CHECKPOINTS}/{path}" for path in session.scalars(sa.select(Checkpoint.path)))
    yield from (f"{DATASETS}/{one}/manifest.json" for one in session.scalars(sa.select(DatasetSchema.digest)))


def _copy_files(settings: Settings, folder: Path, copy: Database, found: BackupManifest) -> None:
    """Copy the files before the rows that name them."""
    with copy.read() as session:
        checkpoints = {f"{CHECKPOINTS}/{path}" for path in session.scalars(sa.select(Checkpoint.path))}
    roots = {DATASETS: settings.datasets_dir, CHECKPOINTS: settings.checkpoints_dir}
    folders: set[Path] = set()
    for file in found.files:
        kind, _, path = file.path.partition("/")
        if kind in roots and (kind == DATASETS or file.path in checkpoints):
            target = roots[kind] / path
            _copy_file(folder / file.path, target)
            folders |= {target.parent, roots[kind], settings.data_dir}
    for one in folders:
        sync_folder(one)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.tmp")
    with source.open("rb") as read, unfinished.open("wb") as written:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
    unfinished.rename(target)


def _copy_rows(copy: Database, database: Database) -> None:
    """Copy all rows in one transaction, but for the list of workers: those live elsewhere, or not any more."""
    with copy.read() as source, database.write() as target:
        _refuse_rows(target)
        rows.copy(source, target, without=("workers",))
        last = rows.counters(source)
        rows.set_counters(target, {**last, "job_events": last.get("job_events", 0) + EVENT_GAP})
