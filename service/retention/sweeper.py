"""One sweep: find what may go, then remove it in short transactions, files only after the commit.

Killed at any point, it leaves files without a row at worst, never a row without its file; the next sweep
removes them as leftovers. Several processes may sweep at the same time: whatever removes asks again first.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from service.datasets import repository as dataset_repository
from service.datasets import service as dataset_service
from service.datasets.orm import Dataset
from service.db import Database, now
from service.jobs import expiry, uses
from service.predictions import expiry as prediction_expiry
from service.retention import leftovers
from service.retention.policy import Candidate, unused
from service.settings import Settings
from service.storage.checkpoints import CheckpointStore
from service.storage.predictions import PredictionStore
from service.sweeps import expiry as sweep_expiry
from service.tables.store import DatasetStore

__all__ = ["Swept", "sweep_once"]

_Uses = dict[str, datetime | None]

JOBS_AT_ONCE = 50
DATASETS_AT_ONCE = 10
EVENTS_AT_ONCE = 2000
"""Rows in one transaction: it holds the write gate for some milliseconds."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed, or would be.

    Attributes:
        jobs: Ended jobs.
        streams: Ended jobs whose history events were removed; the history itself stays.
        checkpoints: Ended jobs whose checkpoints were removed.
        datasets: Datasets, counted by owner.
        leftovers: Files and folders that belong to nothing.
        sweeps: Ended sweeps, whose jobs are counted as well.
        predictions: Ended batch predictions.
    """

    jobs: int
    streams: int
    checkpoints: int
    datasets: int
    leftovers: int
    sweeps: int = 0
    predictions: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))

    def in_words(self) -> Iterator[str]:
        """Tell each count with what it counts, for people."""
        yield f"{self.jobs} jobs that have ended"
        yield f"history events of {self.streams} jobs, which keep their history"
        yield f"checkpoints of {self.checkpoints} jobs that have ended"
        yield f"{self.datasets} datasets"
        yield f"{self.leftovers} files and folders that belong to nothing"
        yield f"{self.sweeps} sweeps that have ended"
        yield f"{self.predictions} batch predictions that have ended"


@dataclass(frozen=True, slots=True)
class _Survey:
    """What may go, as of a moment; rows by their `seq`."""

    at: datetime
    sweeps: Mapping[int, Sequence[int]]
    """The jobs of each sweep."""
    jobs: Sequence[int]
    streams: Sequence[int]
    checkpoints: Sequence[int]
    datasets: Sequence[int]
    predictions: Sequence[int]


def sweep_once(
    settings: Settings, database: Database, *, dry_run: bool = False, stop: threading.Event | None = None
) -> Swept:
    """Remove what may go.

    Args:
        settings: Say what may go, and where it is.
        database: Of the service, whose schema is current.
        dry_run: Only count.
        stop: When set, the sweep ends after the transaction that it is in.

    Raises:
        DatabaseBusy: The database takes no writes for too long. What was removed until then is removed.
        StorageBusy: The same of the folder of datasets.
    """
    survey = _survey(settings, database)
    if dry_run:
        strays = len(leftovers.listed(settings, database))
        jobs = len(survey.jobs) + sum(map(len, survey.sweeps.values()))
        counts = (jobs, len(survey.streams), len(survey.checkpoints), len(survey.datasets))
        return Swept(
            *counts, leftovers=strays, sweeps=len(survey.sweeps), predictions=len(survey.predictions)
        )
    return _Sweep(settings, database, stop or threading.Event()).carry_out(survey)


def _survey(settings: Settings, database: Database) -> _Survey:
    """Find what may go, without the write gate."""
    rules, at = settings.retention, now()
    with database.read() as session:
        before = _before(at, rules.jobs_days)
        jobs = expiry.expired(session, ended_before=before, kept=rules.jobs_kept)
        sweeps = {
            seq: sweep_expiry.job_seqs(session, seq)
            for seq in sweep_expiry.expired(session, ended_before=before, kept=rules.jobs_kept)
        }
        predictions = prediction_expiry.expired(session, ended_before=before, kept=rules.jobs_kept)
        streams = expiry.with_events(session, ended_before=_before(at, rules.events_days))
        left = expiry.with_checkpoints(session, ended_before=_before(at, rules.leftovers_hours / 24))
    going = frozenset(jobs).union(*sweeps.values())
    datasets = _unused_datasets(settings, database, at)
    return _Survey(
        at, sweeps, jobs, [seq for seq in streams if seq not in going], left, datasets, predictions
    )


def _before(at: datetime, days: float) -> datetime | None:
    """Tell the moment before which something must have ended to go; None where it never goes."""
    return at - timedelta(days=days) if days else None


def _unused_datasets(settings: Settings, database: Database, at: datetime) -> list[int]:
    rules, store = settings.retention, DatasetStore(settings.datasets_dir)
    if not (rules.datasets_days or rules.datasets_bytes):
        return []
    with database.read() as session:
        datasets, last_ends = dataset_repository.everything(session), uses.dataset_uses(session)
        last_ends = _later(last_ends, prediction_expiry.dataset_uses(session))
        last_ends |= dict.fromkeys(sweep_expiry.datasets_in_use(session))
    candidates = [_candidate(one, last_ends, store) for one in datasets]
    max_idle = timedelta(days=rules.datasets_days).total_seconds()
    return unused(candidates, at=at.timestamp(), max_idle=max_idle, max_bytes=rules.datasets_bytes)


def _later(one: _Uses, other: _Uses) -> _Uses:
    """Put the last uses of datasets together: the later one counts, and None, while one has not ended, always."""
    both = one.keys() & other.keys()
    return {**one, **other, **{key: _latest(one[key], other[key]) for key in both}}


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _candidate(dataset: Dataset, last_ends: dict[str, datetime | None], store: DatasetStore) -> Candidate:
    ended = last_ends.get(dataset.id, dataset.created_at)
    # Jobs that were removed noted their use on the folder.
    known = max(dataset.created_at.timestamp(), store.last_use(dataset.digest))
    last_use = None if ended is None else max(known, ended.timestamp())
    return Candidate(dataset.seq, dataset.digest, dataset.stored_bytes, last_use)


class _Sweep:
    """Carries a survey out."""

    def __init__(self, settings: Settings, database: Database, stop: threading.Event) -> None:
        self._settings = settings
        self._database = database
        self._stop = stop
        self._datasets = DatasetStore(settings.datasets_dir)
        self._checkpoints = CheckpointStore(settings.checkpoints_dir, min_free_bytes=settings.min_free_bytes)
        self._predictions = PredictionStore(settings.predictions_dir, min_free_bytes=settings.min_free_bytes)

    def carry_out(self, survey: _Survey) -> Swept:
        """Remove what was found, if it may still go."""
        jobs = self._in_batches(survey.jobs, JOBS_AT_ONCE, self._remove_jobs)
        of_sweeps = [
            self._in_batches(seqs, JOBS_AT_ONCE, self._remove_jobs) for seqs in survey.sweeps.values()
        ]
        sweeps = self._in_batches(list(survey.sweeps), 1, self._remove_sweeps)
        predictions = self._in_batches(survey.predictions, JOBS_AT_ONCE, self._remove_predictions)
        streams = self._in_batches(survey.streams, 1, self._remove_events)
        checkpoints = self._in_batches(survey.checkpoints, JOBS_AT_ONCE, self._remove_checkpoints)
        datasets = self._in_batches(
            survey.datasets, DATASETS_AT_ONCE, lambda seqs: self._remove_datasets(seqs, survey.at)
        )
        strays = 0 if self._stop.is_set() else leftovers.remove(self._settings, self._database)
        return Swept(jobs + sum(of_sweeps), streams, checkpoints, datasets, strays, sweeps, predictions)

    def _in_batches(self, seqs: Sequence[int], size: int, remove: Callable[[Sequence[int]], int]) -> int:
        removed = 0
        for first in range(0, len(seqs), size):
            if self._stop.is_set():
                break
            started = time.monotonic()
            removed += remove(seqs[first : first + size])
            self._let_others_write(started)
        return removed

    def _let_others_write(self, started: float) -> None:
        """Pause for as long as the last transaction took: the gate is free at least half of the time."""
        self._stop.wait(time.monotonic() - started)

    def _remove_jobs(self, seqs: Sequence[int]) -> int:
        with self._database.read() as session:
            talkative = expiry.talkative(session, seqs, events=EVENTS_AT_ONCE)
        for seq in talkative:  # A job of days has a million events: too many for one transaction.
            self._remove_events([seq])
        if self._stop.is_set():
            return 0
        with self._database.write() as session:
            removed = expiry.remove_jobs(session, seqs)
            # Noted before the commit, after which nothing would tell it any more.
            self._note_uses(session, [(one.dataset_id, one.finished_at) for one in removed])
        for one in removed:
            self._checkpoints.remove_job(one.id)
        return len(removed)

    def _remove_predictions(self, seqs: Sequence[int]) -> int:
        with self._database.write() as session:
            removed = prediction_expiry.remove(session, seqs)
            self._note_uses(session, [(one.dataset_id, one.finished_at) for one in removed])
        for one in removed:
            self._predictions.remove_folder(one.id)
        return len(removed)

    def _note_uses(self, session: Session, uses: Iterable[tuple[str | None, datetime | None]]) -> None:
        """Remember on the folders of datasets when they were used."""
        known = [(dataset_id, at) for dataset_id, at in uses if dataset_id and at]
        digests = dataset_repository.digests_of(session, {dataset_id for dataset_id, _ in known})
        for dataset_id, at in known:
            if dataset_id in digests:
                self._datasets.note_use(digests[dataset_id], at.timestamp())

    def _remove_sweeps(self, seqs: Sequence[int]) -> int:
        """Remove sweeps, but none with a job that had to stay: the next time tries again."""
        with self._database.write() as session:
            return sum(sweep_expiry.remove(session, seq) for seq in seqs)

    def _remove_events(self, seqs: Sequence[int]) -> int:
        for seq in seqs:
            while not self._stop.is_set():
                started = time.monotonic()
                with self._database.write() as session:
                    removed = expiry.remove_events(session, seq, limit=EVENTS_AT_ONCE)
                if removed < EVENTS_AT_ONCE - 1:
                    break
                self._let_others_write(started)
        return len(seqs)

    def _remove_checkpoints(self, seqs: Sequence[int]) -> int:
        with self._database.write() as session:
            paths = expiry.remove_checkpoints(session, seqs)
        self._checkpoints.remove(paths)
        return len(seqs)

    def _remove_datasets(self, seqs: Sequence[int], since: datetime) -> int:
        """Remove datasets, but none that a job was submitted for since they were found."""
        with self._datasets.exclusive():
            with self._database.write() as session:
                held = dataset_repository.hold(session, seqs)
                in_use = uses.datasets_in_use(session, [one.id for one in held], since=since)
                in_use |= sweep_expiry.datasets_in_use(session)
                in_use |= prediction_expiry.datasets_in_use(session, [one.id for one in held], since=since)
                going = [one for one in held if one.id not in in_use]
                digests = [dataset_service.delete(session, one) for one in going]
            for digest in digests:
                if digest is not None:
                    self._datasets.remove(digest)
        return len(going)
