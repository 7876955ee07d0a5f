"""All SQL about jobs. Functions take a session and never commit."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs.history import History, pack, unpack
from service.jobs.lifecycle import TERMINAL, Status, sources_of
from service.jobs.orm import HistoryChunk, Job, JobEvent, JobMetadata, JobParameters, JobSpecText

__all__ = [
    "JobFilter",
    "add_event",
    "add_history",
    "delete",
    "drop_history",
    "events_after",
    "find",
    "find_by_idempotency_key",
    "history",
    "insert",
    "jobs_ahead",
    "metadata_of",
    "move",
    "next_queued",
    "page",
    "parameters",
    "spec_text",
    "touch",
]


def insert(session: Session, job: Job, *, sent: str, effective: str, metadata: Mapping[str, str]) -> Job:
    """Add a queued job with its spec, its metadata and its first event."""
    session.add(job)
    session.flush()
    session.add(JobSpecText(job_seq=job.seq, sent=sent, effective=effective))
    session.add_all(JobMetadata(job_seq=job.seq, key=key, value=value) for key, value in metadata.items())
    add_event(session, job, "status", _status_event(job))
    return job


def find(session: Session, job_id: str, *, owner: str | None = None) -> Job | None:
    """Look a job up by its id, of any owner or of one only."""
    query = sa.select(Job).where(Job.id == job_id)
    return session.scalar(query if owner is None else query.where(Job.owner == owner))


def find_by_idempotency_key(session: Session, *, owner: str, key: str) -> Job | None:
    """Look up the job that was submitted with this key."""
    return session.scalar(sa.select(Job).where(Job.owner == owner, Job.idempotency_key == key))


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list: those that meet all of it.

    Attributes:
        statuses: In one of these states; in any when empty.
        name: Of exactly this name.
        metadata: With all these pairs.
    """

    statuses: Collection[Status] = ()
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def page(session: Session, *, owner: str, limit: int, before: Job | None, only: JobFilter) -> Sequence[Job]:
    """List jobs, newest first, from the one submitted before `before` on."""
    query = sa.select(Job).where(Job.owner == owner).order_by(Job.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.seq < before.seq)
    if only.statuses:
        query = query.where(Job.status.in_(only.statuses))
    if only.name is not None:
        query = query.where(Job.name == only.name)
    for key, value in only.metadata.items():
        pair = sa.exists().where(
            JobMetadata.job_seq == Job.seq, JobMetadata.key == key, JobMetadata.value == value
        )
        query = query.where(pair)
    return session.scalars(query).all()


def metadata_of(session: Session, seqs: Sequence[int]) -> dict[int, dict[str, str]]:
    """Read the metadata of several jobs at once."""
    found: dict[int, dict[str, str]] = {seq: {} for seq in seqs}
    rows = session.scalars(
        sa.select(JobMetadata).where(JobMetadata.job_seq.in_(seqs)).order_by(JobMetadata.key)
    )
    for row in rows:
        found[row.job_seq][row.key] = row.value
    return found


def spec_text(session: Session, seqs: Sequence[int]) -> dict[int, str]:
    """Read the effective specs of several jobs at once, as JSON text."""
    query = sa.select(JobSpecText.job_seq, JobSpecText.effective).where(JobSpecText.job_seq.in_(seqs))
    return dict(session.execute(query).tuples().all())


def jobs_ahead(session: Session, job: Job) -> int:
    """Count the queued jobs that a worker takes before this one."""
    query = sa.select(sa.func.count()).where(Job.status == Status.QUEUED, Job.seq < job.seq)
    return session.scalar(query) or 0


def next_queued(session: Session, limit: int) -> Sequence[Job]:
    """Give the queued jobs that have waited longest."""
    query = sa.select(Job).where(Job.status == Status.QUEUED).order_by(Job.seq).limit(limit)
    return session.scalars(query).all()


def move(
    session: Session,
    job_id: str,
    to: Status,
    *,
    fence: int | None = None,
    **values: Any,  # noqa: ANN401 - columns
) -> Job | None:
    """Change a job's state: the only place that does, checked against the table of transitions.

    State, progress and event change in this one transaction.

    Args:
        session: A writing session.
        job_id: The job; its present state is checked in the database, in the same statement.
        to: The new state.
        fence: When a worker asks: its attempt number. Any other in the row refuses the change.
        values: Other columns to set with it.

    Returns:
        The job as it is now, or None when its state or attempt forbids the change.
    """
    if to in TERMINAL:
        values = {"finished_at": now(), "worker_id": None, **values}
    changed = touch(session, job_id, sources=sources_of(to), fence=fence, status=to, **values)
    if changed is not None:
        add_event(session, changed, "status", _status_event(changed))
    return changed


def touch(
    session: Session,
    job_id: str,
    *,
    sources: Collection[Status],
    fence: int | None = None,
    **values: Any,  # noqa: ANN401 - columns
) -> Job | None:
    """Set columns of a job, if it is in one of the given states and (where given) still on the attempt `fence`.

    Returns:
        The job as it is now, or None when the condition did not hold and nothing was changed.
    """
    statement = sa.update(Job).where(Job.id == job_id, Job.status.in_(sources))
    if fence is not None:
        statement = statement.where(Job.attempt == fence)
    statement = statement.values(version=Job.version + 1, **values).returning(Job)
    return session.scalar(statement, execution_options={"populate_existing": True})


def delete(session: Session, job: Job) -> bool:
    """Remove a job and all it owns, if its state is terminal; tell whether it was."""
    statement = sa.delete(Job).where(Job.seq == job.seq, Job.status.in_(TERMINAL)).returning(Job.seq)
    return session.scalar(statement) is not None


def add_event(
    session: Session, job: Job, kind: str, data: dict[str, Any], *, first_epoch: int | None = None
) -> None:
    """Append an event. The job's row is changed first in each transaction, which orders the events of a job."""
    session.add(
        JobEvent(
            job_seq=job.seq, type=kind, at=now(), attempt=job.attempt, data=data, first_epoch=first_epoch
        )
    )


def events_after(
    session: Session, job: Job, event_id: int, *, limit: int
) -> list[tuple[JobEvent, History | None]]:
    """Give the next events of a job, each history event with the epochs it tells."""
    join = sa.and_(HistoryChunk.job_seq == JobEvent.job_seq, HistoryChunk.first_epoch == JobEvent.first_epoch)
    query = (
        sa.select(JobEvent, HistoryChunk)
        .outerjoin(HistoryChunk, join)
        .where(JobEvent.job_seq == job.seq, JobEvent.id > event_id)
        .order_by(JobEvent.id)
        .limit(limit)
    )
    rows: Iterable[tuple[JobEvent, HistoryChunk | None]] = session.execute(query).tuples()
    # A chunk holds what was recorded; told alone, it still has every column that a history has.
    return [(event, None if chunk is None else History.joined([_unpacked(chunk)])) for event, chunk in rows]


def add_history(
    session: Session, job: Job, *, first_epoch: int, columns: Mapping[str, Sequence[float]]
) -> None:
    """Append the history of consecutive epochs, packed, and the event that tells it."""
    chunk = HistoryChunk(
        job_seq=job.seq,
        first_epoch=first_epoch,
        epochs=len(next(iter(columns.values()))),
        columns=list(columns),
        data=pack(columns),
    )
    session.add(chunk)
    add_event(session, job, "history", {}, first_epoch=first_epoch)


def drop_history(session: Session, job: Job) -> None:
    """Forget the history of a job and the events that told it."""
    session.execute(sa.delete(JobEvent).where(JobEvent.job_seq == job.seq, JobEvent.type == "history"))
    session.execute(sa.delete(HistoryChunk).where(HistoryChunk.job_seq == job.seq))


def history(session: Session, job: Job, *, first: int = 1, last: int | None = None) -> History:
    """Read the history of the epochs from `first` to `last`, both included."""
    query = sa.select(HistoryChunk).where(
        HistoryChunk.job_seq == job.seq, HistoryChunk.first_epoch + HistoryChunk.epochs > first
    )
    if last is not None:
        query = query.where(HistoryChunk.first_epoch <= last)
    chunks: Iterable[HistoryChunk] = session.scalars(query.order_by(HistoryChunk.first_epoch))
    return History.joined(_unpacked(chunk) for chunk in chunks).between(first, last)


def parameters(session: Session, job: Job) -> JobParameters | None:
    """Read the trained tensors of a job, if it has any."""
    return session.get(JobParameters, job.seq)


def _unpacked(chunk: HistoryChunk) -> History:
    return unpack(chunk.data, names=chunk.columns, first_epoch=chunk.first_epoch)


def _status_event(job: Job) -> dict[str, Any]:
    status = Status(job.status)
    return {
        "status": status,
        "terminal": status in TERMINAL,
        "stop_reason": job.stop_reason,
        "attempt": job.attempt,
        "error": job.error,
    }
