"""What dead processes left in the data folder: half-written files, files without a row, pipes, lock files."""

import fcntl
import time
from collections.abc import Collection
from pathlib import Path

from service.datasets import repository as datasets
from service.db import Database
from service.doorbell import PipeDoorbell
from service.exports.store import ExportStore
from service.jobs import expiry, workers
from service.jobs import repository as jobs
from service.predictions import expiry as prediction_expiry
from service.registry import repository as models
from service.settings import Settings
from service.storage.checkpoints import CheckpointStore
from service.storage.predictions import PredictionStore
from service.tables.store import DatasetStore

__all__ = ["listed", "remove"]


def listed(settings: Settings, database: Database) -> list[Path]:
    """List all leftovers that are old enough."""
    seconds = settings.retention.leftovers_hours * 3600
    if not seconds:
        return []
    with database.read() as session:
        checkpoints, known = expiry.checkpoint_paths(session), workers.beats(session)
        results = prediction_expiry.paths(session)
    store = DatasetStore(settings.datasets_dir)
    with store.exclusive(), database.read() as session:
        folders = store.strays(datasets.digests(session))
    return [
        *folders,
        *_checkpoints(settings).strays(checkpoints, seconds),
        *_predictions(settings).strays(results, seconds),
        *PipeDoorbell(settings.doorbell_dir).abandoned(seconds),
        *_abandoned_locks(settings.workers_dir, known=known, older_than_seconds=seconds),
        *_exports(settings).strays(_with_exports(settings, database)),
    ]


def remove(settings: Settings, database: Database) -> int:
    """Remove all leftovers that are old enough, and tell how many files and folders they were."""
    seconds = settings.retention.leftovers_hours * 3600
    if not seconds:
        return 0
    # Read before the files are listed: a checkpoint that is written in between is too young to be a leftover.
    with database.read() as session:
        checkpoints, known = expiry.checkpoint_paths(session), workers.beats(session)
        results = prediction_expiry.paths(session)
    removed = _checkpoints(settings).sweep(checkpoints, seconds)
    removed += _predictions(settings).sweep(results, seconds)
    for path in (
        *PipeDoorbell(settings.doorbell_dir).abandoned(seconds),
        *_abandoned_locks(settings.workers_dir, known=known, older_than_seconds=seconds),
    ):
        path.unlink(missing_ok=True)
        removed += 1
    removed += _exports(settings).sweep(_with_exports(settings, database))
    store = DatasetStore(settings.datasets_dir)
    with store.exclusive():
        with database.read() as session:
            digests = datasets.digests(session)
        return removed + store.sweep(digests)


def _checkpoints(settings: Settings) -> CheckpointStore:
    return CheckpointStore(settings.checkpoints_dir, min_free_bytes=settings.min_free_bytes)


def _predictions(settings: Settings) -> PredictionStore:
    return PredictionStore(settings.predictions_dir, min_free_bytes=settings.min_free_bytes)


def _exports(settings: Settings) -> ExportStore:
    return ExportStore(settings.exports_dir, max_bytes=settings.export_cache_bytes)


def _with_exports(settings: Settings, database: Database) -> set[str]:
    """Name the jobs and versions of models that have exports and are still there."""
    ids = _exports(settings).ids()
    if not ids:
        return set()
    with database.read() as session:
        return jobs.still_there(session, ids) | models.still_there(session, ids)


def _abandoned_locks(folder: Path, *, known: Collection[str], older_than_seconds: float) -> list[Path]:
    """List the lock files of dead workers. One that is still in the list of workers is left to them: they bury it."""
    before = time.time() - older_than_seconds
    files = [*folder.glob("*.lock"), *folder.glob("*.new")]
    return [file for file in files if file.stem not in known and _is_abandoned(file, before)]


def _is_abandoned(file: Path, before: float) -> bool:
    try:
        if file.stat().st_mtime > before:
            return False
        with file.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # A living process holds it, or it is gone already.
    return True
