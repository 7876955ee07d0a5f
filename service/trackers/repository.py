"""All SQL about trackers. Functions take a session and never commit."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs.history import History, unpack
from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import HistoryChunk, Job, JobEvent, Worker
from service.sweeps.lifecycle import TERMINAL as SWEEP_TERMINAL
from service.sweeps.orm import Sweep
from service.trackers.orm import Tracker, TrackerCursor
from service.trackers.sink import Points

__all__ = [
    "State",
    "Stranger",
    "add",
    "adopt",
    "drop_orphans",
    "due_jobs",
    "due_sweeps",
    "failed",
    "gone",
    "hold",
    "holder_of",
    "last_event",
    "move",
    "points_after",
    "register",
    "retold_from",
    "states",
    "strangers",
    "touch",
]

MARGIN = 1000
"""PostgreSQL gives numbers away before it commits: so far behind the last job a late one is still looked for."""
CHUNKS = 500
"""Recordings of history that are read at once; each holds what a training did between two reports."""


def register(session: Session, name: str, *, target: str) -> None:
    """Make a tracker known, or start it anew where it is another than before.

    From then on it is told of jobs that come, and of those that are there and have not ended.
    """
    known = session.get(Tracker, name)
    if known is not None and known.target == target:
        return
    session.execute(sa.delete(TrackerCursor).where(TrackerCursor.tracker == name))
    last = session.scalar(sa.select(sa.func.max(Job.seq))) or 0
    values = {"target": target, "first_seq": last, "seen_seq": last, "error": None, "failing_since": None}
    if known is None:
        session.add(Tracker(name=name, **values))
        session.flush()
    else:
        session.execute(sa.update(Tracker).where(Tracker.name == name).values(**values))
    unfinished = session.scalars(sa.select(Job.id).where(Job.status.not_in(TERMINAL), Job.seq <= last)).all()
    add(session, name, unfinished, kind="job")


def add(session: Session, name: str, subjects: Iterable[str], *, kind: str) -> None:
    """Add cursors of which nothing is told yet."""
    fresh = {"epoch": 0, "event": 0, "version": -1, "ended": False, "kind": kind, "tracker": name}
    rows = [{**fresh, "subject": subject} for subject in subjects]
    if rows:
        session.execute(sa.insert(TrackerCursor), rows)


def holder_of(session: Session, name: str) -> str | None:
    """Name the worker that serves a tracker, if it is in the list of the living."""
    query = sa.select(Tracker.holder).join(Worker, Worker.id == Tracker.holder).where(Tracker.name == name)
    return session.scalar(query)


def hold(session: Session, name: str, worker_id: str) -> bool:
    """Give a tracker to a worker, unless another one that lives has it; tell whether it is his now."""
    living = sa.select(Worker.id)
    free = sa.or_(Tracker.holder.is_(None), Tracker.holder == worker_id, Tracker.holder.not_in(living))
    statement = (
        sa.update(Tracker)
        .where(Tracker.name == name, free, sa.literal(worker_id).in_(living))
        .values(holder=worker_id)
        .returning(Tracker.name)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(statement) is not None


def touch(session: Session, name: str, *, holder: str, **values: Any) -> bool:  # noqa: ANN401 - columns
    """Set columns of a tracker, if it is still this worker's; every write about it begins so.

    It sets the holder at least, so that nobody else takes the tracker before this transaction ends.
    """
    statement = (
        sa.update(Tracker)
        .where(Tracker.name == name, Tracker.holder == holder)
        .values(holder=holder, **values)
        .returning(Tracker.name)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(statement) is not None


class Stranger(NamedTuple):
    """A job that a tracker has never heard of."""

    seq: int
    id: str


def strangers(session: Session, name: str, *, limit: int) -> Sequence[Stranger]:
    """List the oldest jobs that have no cursor yet."""
    tracker = session.get_one(Tracker, name)
    after = max(tracker.first_seq, tracker.seen_seq - MARGIN)
    known = sa.exists().where(TrackerCursor.tracker == name, TrackerCursor.subject == Job.id)
    query = sa.select(Job.seq, Job.id).where(Job.seq > after, ~known).order_by(Job.seq).limit(limit)
    return [Stranger(*row) for row in session.execute(query)]


def adopt(session: Session, name: str, jobs: Sequence[Stranger], *, holder: str) -> bool:
    """Give jobs their cursors; False where the tracker is not this worker's."""
    last = max(job.seq for job in jobs)
    highest = sa.case((Tracker.seen_seq > last, Tracker.seen_seq), else_=last)
    if not touch(session, name, holder=holder, seen_seq=highest):
        return False
    add(session, name, [job.id for job in jobs], kind="job")
    return True


def due_jobs(
    session: Session, name: str, *, limit: int, without: Collection[str] = ()
) -> Sequence[TrackerCursor]:
    """List cursors of jobs of which there is something to tell, the oldest job first."""
    query = (
        sa.select(TrackerCursor)
        .join(Job, Job.id == TrackerCursor.subject)
        .where(*_open(name, "job"), TrackerCursor.version != Job.version)
        .where(TrackerCursor.subject.not_in(without))
        .order_by(Job.seq)
        .limit(limit)
    )
    return session.scalars(query).all()


def due_sweeps(
    session: Session, name: str, *, limit: int, without: Collection[str] = ()
) -> Sequence[TrackerCursor]:
    """List cursors of sweeps that have ended, and whose end was not told."""
    query = (
        sa.select(TrackerCursor)
        .join(Sweep, Sweep.id == TrackerCursor.subject)
        .where(*_open(name, "sweep"), Sweep.status.in_(SWEEP_TERMINAL))
        .where(TrackerCursor.subject.not_in(without))
        .order_by(Sweep.seq)
        .limit(limit)
    )
    return session.scalars(query).all()


def gone(
    session: Session, name: str, *, limit: int, without: Collection[str] = ()
) -> Sequence[TrackerCursor]:
    """List cursors of jobs and sweeps that were removed before their end was told."""
    query = (
        sa.select(TrackerCursor)
        .where(TrackerCursor.tracker == name, TrackerCursor.ended.is_(False), *_IS_GONE)
        .where(TrackerCursor.subject.not_in(without))
        .limit(limit)
    )
    return session.scalars(query).all()


_IS_GONE = (
    ~sa.exists().where(Job.id == TrackerCursor.subject),
    ~sa.exists().where(Sweep.id == TrackerCursor.subject),
)


def drop_orphans(session: Session, name: str) -> None:
    """Forget the cursors of jobs and sweeps that have ended and were removed since."""
    statement = sa.delete(TrackerCursor).where(
        TrackerCursor.tracker == name,
        TrackerCursor.ended.is_(True),
        *_IS_GONE,
    )
    session.execute(statement, execution_options={"synchronize_session": False})


def _open(name: str, kind: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (TrackerCursor.tracker == name, TrackerCursor.ended.is_(False), TrackerCursor.kind == kind)


def move(session: Session, name: str, moves: Mapping[str, Mapping[str, Any]]) -> None:
    """Set columns of cursors, by subject."""
    for subject, values in moves.items():
        statement = sa.update(TrackerCursor).where(
            TrackerCursor.tracker == name, TrackerCursor.subject == subject
        )
        session.execute(statement.values(**values), execution_options={"synchronize_session": False})


def last_event(session: Session, job: Job) -> int:
    """Give the number of a job's last event; 0 where retention has removed all."""
    return session.scalar(sa.select(sa.func.max(JobEvent.id)).where(JobEvent.job_seq == job.seq)) or 0


def retold_from(session: Session, job: Job, cursor: TrackerCursor) -> int | None:
    """Give the lowest epoch that was recorded since the cursor was moved; None where none was.

    Where it is not beyond the cursor, history was dropped, and told anew: the job went on elsewhere.
    """
    query = sa.select(sa.func.min(JobEvent.first_epoch)).where(
        JobEvent.job_seq == job.seq, JobEvent.id > cursor.event
    )
    return session.scalar(query)


def points_after(session: Session, job: Job, epoch: int, *, limit: int) -> Points:
    """Read history after an epoch, at most `limit` epochs, each with the moment at which it was recorded.

    Where retention has removed the events, that is the end of the job.
    """
    told = sa.and_(JobEvent.job_seq == HistoryChunk.job_seq, JobEvent.first_epoch == HistoryChunk.first_epoch)
    query = (
        sa.select(HistoryChunk, JobEvent.at)
        .outerjoin(JobEvent, told)
        .where(
            HistoryChunk.job_seq == job.seq,
            HistoryChunk.first_epoch + HistoryChunk.epochs > epoch + 1,
            HistoryChunk.first_epoch <= epoch + limit,
        )
        .order_by(HistoryChunk.first_epoch)
        .limit(CHUNKS)
    )
    histories, times = [History.joined([])], [np.empty(0)]
    rows: Iterable[tuple[HistoryChunk, datetime | None]] = session.execute(query)
    for chunk, at in rows:
        unpacked = unpack(chunk.data, names=chunk.columns, first_epoch=chunk.first_epoch)
        part = unpacked.between(epoch + 1, epoch + limit)
        histories.append(part)
        times.append(np.full(len(part.epochs), (at or job.finished_at or job.created_at).timestamp()))
    joined = History.joined(histories)
    return Points(joined.epochs, np.concatenate(times), joined.columns)


class State(NamedTuple):
    """How a tracker is doing.

    Attributes:
        tracker: Its row.
        behind: Jobs of which there is something to tell.
        served: Whether a worker that lives serves it.
    """

    tracker: Tracker
    behind: int
    served: bool


def states(session: Session) -> list[State]:
    """Tell how each tracker is doing that is or was switched on."""
    behind = (
        sa.select(TrackerCursor.tracker, sa.func.count().label("jobs"))
        .join(Job, Job.id == TrackerCursor.subject)
        .where(TrackerCursor.ended.is_(False), TrackerCursor.version != Job.version)
        .group_by(TrackerCursor.tracker)
        .subquery()
    )
    served = sa.exists().where(Worker.id == Tracker.holder)
    query = (
        sa.select(Tracker, sa.func.coalesce(behind.c.jobs, 0), served)
        .outerjoin(behind, behind.c.tracker == Tracker.name)
        .order_by(Tracker.name)
    )
    return [State(*row) for row in session.execute(query)]


def failed(session: Session, name: str, *, holder: str, error: str) -> bool:
    """Note that a tracker is away, and since when."""
    since = sa.func.coalesce(
        Tracker.failing_since, sa.bindparam("at", now(), type_=Tracker.failing_since.type)
    )
    return touch(session, name, holder=holder, failing_since=since, error=error[:500])
