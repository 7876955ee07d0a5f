"""What a tracker is told of one job or one sweep, from where its cursor stands.

The tracker is told first, the cursor is moved afterwards, by whoever asked for this. A kill between the two leaves the
tracker ahead of the cursor: so a subject is trusted only while this process itself has told of it and noted so.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from service.db import Database
from service.jobs import repository as jobs
from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Job
from service.sweeps import repository as sweeps
from service.sweeps.orm import Sweep
from service.trackers import reading, repository
from service.trackers.orm import TrackerCursor
from service.trackers.sink import Extras, JobTold, Place, Points, Sink

__all__ = ["UNTOLD", "Move", "NotOurs", "Telling"]

EPOCHS_AT_ONCE = 5000
"""Epochs of one job that are told before the next job has its turn."""
UNTOLD = -1
"""The version of a job of which not all was told."""

Move = dict[str, Any]
"""Columns of a cursor to set once the tracker was told."""


class NotOurs(Exception):
    """Another worker serves the tracker by now."""


class _News(NamedTuple):
    """What there is to tell, all of one moment.

    Attributes:
        told: The job.
        back_to: The epoch after which history was dropped that was told; None where none was.
        points: History beyond what was told, up to a bound.
        last: The last epoch that is told with it.
        whole: Whether that is all there is.
        version: Of the job.
        event: The job's last one.
        extras: Its files, where this is its end and the tracker wants them.
    """

    told: JobTold
    back_to: int | None
    points: Points
    last: int
    whole: bool
    version: int
    event: int
    extras: Extras


class Telling:
    """Tells one tracker, and remembers what it may be trusted in."""

    def __init__(self, sink: Sink, database: Database, *, holder: str) -> None:
        self._sink = sink
        self._database = database
        self._holder = holder
        self._fresh: set[str] = set()
        """Subjects of which the tracker has never heard."""
        self._sure: set[str] = set()
        """Subjects of which it has been told exactly what the cursor says."""

    def adopted(self, subjects: Iterable[str]) -> None:
        """Note that these have got their cursors just now."""
        self._fresh.update(subjects)

    def _doubt(self, subject: str) -> None:
        """Trust in nothing any more: the tracker is about to be told something."""
        self._fresh.discard(subject)
        self._sure.discard(subject)

    def noted(self, subject: str, move: Move) -> None:
        """Note that the cursor has been moved."""
        if not move.get("ended"):
            self._sure.add(subject)

    def job(self, cursor: TrackerCursor) -> Move:
        """Tell what is new of a job, up to a bound.

        Raises:
            SinkAway: The tracker cannot be told at the moment.
            SinkRefused: It will never take this.
        """
        with self._database.read() as session:
            job = jobs.find(session, cursor.subject)
            if job is None:
                return {}  # Removed this very moment: the next turn sees to it.
            told = reading.job_told(session, job, introduced=cursor.run is not None)
        if not told.began:
            return {"version": job.version, "status": told.status, "ended": told.terminal}
        known = told.status if cursor.run is None else cursor.status
        run, epoch = self._place(cursor, told)
        news = self._news(cursor, epoch)
        return {} if news is None else self._tell(run, news, known)

    def _place(self, cursor: TrackerCursor, told: JobTold) -> Place:
        """Find out where the telling goes on."""
        fresh, sure = cursor.subject in self._fresh, cursor.subject in self._sure
        self._doubt(cursor.subject)
        if cursor.run is None:
            return self._sink.begin(told, sweep=self._run_of_sweep(told), fresh=fresh)
        return Place(cursor.run, cursor.epoch if sure else self._sink.resume(cursor.run, cursor.epoch))

    def _news(self, cursor: TrackerCursor, epoch: int) -> _News | None:
        """Read what there is to tell after an epoch; None where the job was removed."""
        with self._database.read() as session:
            job = jobs.find(session, cursor.subject)
            if job is None:
                return None
            after = min(epoch, self._kept(session, job, cursor)) if self._sink.takes_back else epoch
            points = repository.points_after(session, job, after, limit=EPOCHS_AT_ONCE)
            last = int(points.epochs[-1]) if len(points) else after
            whole = last >= job.epoch or not len(points)
            return _News(
                told=reading.job_told(session, job, introduced=True),
                back_to=after if after < epoch else None,
                points=points,
                last=last,
                whole=whole,
                version=job.version,
                event=repository.last_event(session, job),
                extras=self._extras(session, job) if whole else Extras({}),
            )

    def _kept(self, session: Session, job: Job, cursor: TrackerCursor) -> int:
        """Tell up to which epoch history is as it was when the cursor was moved."""
        retold = repository.retold_from(session, job, cursor)
        return job.epoch if retold is None else min(job.epoch, retold - 1)

    def _extras(self, session: Session, job: Job) -> Extras:
        wanted = self._sink.wants_extras and job.status in TERMINAL
        return reading.extras(session, job) if wanted else Extras({})

    def _tell(self, run: str, news: _News, known: str | None) -> Move:
        told = news.told
        if news.back_to is not None:
            self._sink.rewind(run, to=news.back_to)
        if len(news.points):
            self._sink.points(run, news.points)
        if news.whole and told.terminal:
            self._sink.end(run, told, news.extras)
        elif told.status != known:
            self._sink.state(run, told)
        return {
            "run": run,
            "status": told.status,
            "epoch": news.last,
            "event": news.event,
            "version": news.version if news.whole else UNTOLD,
            "ended": news.whole and told.terminal,
        }

    def _run_of_sweep(self, told: JobTold) -> str | None:
        """Give the run of a job's sweep, made where it is missing; None of a job without one."""
        sweep_id = told.facts.get("sweep_id")
        if sweep_id is None:
            return None
        with self._database.read() as session:
            cursor, sweep = self._of_sweep(session, sweep_id)
            about = None if sweep is None else reading.sweep_told(session, sweep)
        if about is None or (cursor is not None and cursor.run is not None):
            return None if cursor is None else cursor.run
        if cursor is None:
            self._write(lambda session: repository.add(session, self._sink.name, [sweep_id], kind="sweep"))
        run = self._sink.begin_sweep(about, fresh=cursor is None)
        self._write(lambda session: repository.move(session, self._sink.name, {sweep_id: {"run": run}}))
        return run

    def _of_sweep(self, session: Session, sweep_id: str) -> tuple[TrackerCursor | None, Sweep | None]:
        cursor = session.get(TrackerCursor, (self._sink.name, sweep_id))
        return cursor, sweeps.find(session, sweep_id)

    def _write(self, work: Callable[[Session], None]) -> None:
        with self._database.write() as session:
            if not repository.touch(session, self._sink.name, holder=self._holder):
                raise NotOurs
            work(session)

    def sweep(self, cursor: TrackerCursor) -> Move:
        """Tell how a sweep ended."""
        with self._database.read() as session:
            sweep = sweeps.find(session, cursor.subject)
            told = None if sweep is None else reading.sweep_told(session, sweep)
        if told is not None and cursor.run is not None:
            self._sink.end_sweep(cursor.run, told)
        return {"ended": True}

    def gone(self, cursor: TrackerCursor) -> Move:
        """Close the run of what was removed before its end was told."""
        if cursor.run is not None:
            self._sink.abandon(cursor.run)
        return {"ended": True}
