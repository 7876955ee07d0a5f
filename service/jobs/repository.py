"""All SQL about jobs, but for the order of the queue, checkpoints and workers. Functions take a session and never commit."""

import functools
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import UtcDateTime, now
from service.jobs.causes import Cause
from service.jobs.history import History, pack, unpack
from service.jobs.lifecycle import ACTIVE, TERMINAL, Status, sources_of
from service.jobs.orm import HistoryChunk, Job, JobEvent, JobMetadata, JobParameters, JobSpecText

__all__ = [
    "JobFilter",
    "NewEpochs",
    "Transition",
    "add_event",
    "add_history",
    "add_parameters",
    "delete",
    "drop_history",
    "events_after",
    "find",
    "find_all",
    "find_by_idempotency_key",
    "history",
    "insert",
    "metadata_of",
    "move",
    "page",
    "parameters",
    "sent_text",
    "spec_sizes",
    "spec_text",
    "status_of",
    "still_there",
    "take",
    "touch",
    "transitions",
]


# Plain inserts: the unit of work would only find out again what order they come in. Of jobs there are hundreds a second.
_JOBS = cast("sa.Table", Job.__table__)
_INSERT_JOB = sa.insert(_JOBS).returning(_JOBS.c.seq)
_INSERT_SPEC = sa.insert(cast("sa.Table", JobSpecText.__table__))
_INSERT_METADATA = sa.insert(cast("sa.Table", JobMetadata.__table__))
_INSERT_PARAMETERS = sa.insert(cast("sa.Table", JobParameters.__table__))
_INSERT_EVENT = sa.insert(cast("sa.Table", JobEvent.__table__))
_INSERT_CHUNK = sa.insert(cast("sa.Table", HistoryChunk.__table__))
_FRESH = {c.key: getattr(c.default, "arg", None) for c in _JOBS.columns if c.key != "seq"}
"""The columns of a job that nobody has touched yet, as its class declares them."""


def insert(
    session: Session, values: Mapping[str, Any], *, sent: str, effective: str, metadata: Mapping[str, str]
) -> Job:
    """Add a queued job with its spec, its metadata and its first event.

    Args:
        session: A writing session.
        values: Columns of the job; what is left out is as in every fresh job.
        sent: The spec as it was sent.
        effective: The spec as it was completed.
        metadata: Pairs to find it by.

    Returns:
        The job, in no session.
    """
    row = {**_FRESH, **values}
    job = Job(seq=session.scalar(_INSERT_JOB, row), **row)
    session.execute(_INSERT_SPEC, {"job_seq": job.seq, "sent": sent, "effective": effective})
    if metadata:
        pairs = [{"job_seq": job.seq, "key": key, "value": value} for key, value in metadata.items()]
        session.execute(_INSERT_METADATA, pairs)
    add_event(session, job, "status", _status_event(job), at=job.created_at)
    return job


def find(session: Session, job_id: str, *, owner: str | None = None, hold: bool = False) -> Job | None:
    """Look a job up by its id, of any owner or of one only.

    Args:
        session: Any session; a writing one if the job is to be held.
        job_id: The job.
        owner: Whose.
        hold: Let nobody change it before this transaction ends. SQLite's writers wait for each other anyway.
    """
    query = sa.select(Job).where(Job.id == job_id)
    query = query if owner is None else query.where(Job.owner == owner)
    held = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(held if hold else query)


def status_of(session: Session, job_id: str, *, owner: str) -> Status | None:
    """Look up the state of a job, and nothing else."""
    status = session.scalar(_STATUS, {"id": job_id, "owner": owner})
    return None if status is None else Status(status)


# Built once: building a query takes longer than running it.
_STATUS = sa.select(Job.status).where(Job.id == sa.bindparam("id"), Job.owner == sa.bindparam("owner"))
_SEQS: sa.BindParameter[Any] = sa.bindparam("seqs", expanding=True)
_METADATA = (
    sa.select(JobMetadata.job_seq, JobMetadata.key, JobMetadata.value)
    .where(JobMetadata.job_seq.in_(_SEQS))
    .order_by(JobMetadata.key)
)
_SPECS = sa.select(JobSpecText.job_seq, JobSpecText.effective).where(JobSpecText.job_seq.in_(_SEQS))
_SHORT_SPECS = _SPECS.where(sa.func.length(JobSpecText.effective) <= sa.bindparam("longest"))
_TRANSITIONS = (
    sa.select(JobEvent.job_seq, JobEvent.data, JobEvent.at, JobEvent.attempt)
    .where(JobEvent.job_seq.in_(_SEQS), JobEvent.type == "status")
    .order_by(JobEvent.id)
)


class Transition(NamedTuple):
    """A change of state.

    Attributes:
        status: The new state.
        at: When.
        attempt: The attempt at that time.
        cause: Why, where the state alone does not say it.
    """

    status: str
    at: datetime
    attempt: int
    cause: Cause | None


def find_by_idempotency_key(session: Session, *, owner: str, key: str) -> Job | None:
    """Look up the job that was submitted with this key."""
    return session.scalar(sa.select(Job).where(Job.owner == owner, Job.idempotency_key == key))


@dataclass(frozen=True, slots=True)
class NewEpochs:
    """History to append: consecutive epochs.

    Attributes:
        first: Number of the first epoch.
        columns: Series of one length by name; all empty when no epoch is new.
    """

    first: int
    columns: Mapping[str, Sequence[float]]

    def __len__(self) -> int:
        return len(self.columns["train_loss"])


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list: those that meet all of it.

    Attributes:
        statuses: In one of these states; in any when empty.
        name: Of exactly this name.
        metadata: With all these pairs.
        sweep_id: Of this sweep.
    """

    statuses: Collection[Status] = ()
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sweep_id: str | None = None


def page(session: Session, *, owner: str, limit: int, before: Job | None, only: JobFilter) -> Sequence[Job]:
    """List jobs, newest first, from the one submitted before `before` on."""
    query = sa.select(Job).where(Job.owner == owner).order_by(Job.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.seq < before.seq)
    if only.statuses:
        query = query.where(Job.status.in_(only.statuses))
    if only.name is not None:
        query = query.where(Job.name == only.name)
    if only.sweep_id is not None:
        query = query.where(Job.sweep_id == only.sweep_id)
    for key, value in only.metadata.items():
        pair = sa.exists().where(
            JobMetadata.job_seq == Job.seq, JobMetadata.key == key, JobMetadata.value == value
        )
        query = query.where(pair)
    return session.scalars(query).all()


def metadata_of(session: Session, seqs: Sequence[int]) -> dict[int, dict[str, str]]:
    """Read the metadata of several jobs at once."""
    found: dict[int, dict[str, str]] = {seq: {} for seq in seqs}
    for seq, key, value in session.execute(_METADATA, {"seqs": list(seqs)}):
        found[seq][key] = value
    return found


def spec_text(session: Session, seqs: Sequence[int], *, longest: int | None = None) -> dict[int, str]:
    """Read the effective specs of several jobs at once, as JSON text; those with more than `longest` characters not."""
    if longest is None:
        return dict(session.execute(_SPECS, {"seqs": list(seqs)}).all())
    return dict(session.execute(_SHORT_SPECS, {"seqs": list(seqs), "longest": longest}).all())


def find_all(session: Session, job_ids: Collection[str]) -> dict[str, Job]:
    """Look several jobs up by their ids, of any owner."""
    return {job.id: job for job in session.scalars(sa.select(Job).where(Job.id.in_(job_ids)))}


def still_there(session: Session, job_ids: Collection[str]) -> set[str]:
    """Tell which of these jobs there are, whoever owns them."""
    return set(session.scalars(sa.select(Job.id).where(Job.id.in_(job_ids))))


def sent_text(session: Session, job: Job) -> str:
    """Read the spec of a job as it was sent, as JSON text."""
    return session.scalars(sa.select(JobSpecText.sent).where(JobSpecText.job_seq == job.seq)).one()


def spec_sizes(session: Session, seqs: Sequence[int]) -> dict[int, int]:
    """Tell how many characters the effective specs of several jobs have."""
    query = sa.select(JobSpecText.job_seq, sa.func.length(JobSpecText.effective)).where(
        JobSpecText.job_seq.in_(seqs)
    )
    return dict(session.execute(query).all())


_TAKEN = (Job.seq, Job.id, Job.attempt, Job.priority, Job.max_seconds, Job.seconds, Job.epoch, Job.fraction)
_TAKE = (
    sa.update(_JOBS)
    .where(Job.seq.in_(sa.bindparam("seqs", expanding=True)), Job.status == Status.QUEUED)
    .values(
        status=Status.RUNNING,
        attempt=Job.attempt + 1,
        version=Job.version + 1,
        worker_id=sa.bindparam("worker"),
        started_at=sa.func.coalesce(Job.started_at, sa.bindparam("at", type_=UtcDateTime)),
    )
    .returning(*_TAKEN)
)


def take(session: Session, seqs: Sequence[int], *, worker_id: str) -> dict[int, sa.Row[Any]]:
    """Change queued jobs to running, each under a new attempt: as `move` does, for many jobs in one statement.

    Returns:
        By `seq`, what an attempt needs to know of its job; without those that are not queued any more.
    """
    at = now()
    rows: Iterable[Any] = session.execute(_TAKE, {"seqs": list(seqs), "worker": worker_id, "at": at})
    taken: dict[int, sa.Row[Any]] = {row.seq: row for row in rows}
    told = {"status": Status.RUNNING, "terminal": False, "stop_reason": None, "error": None, "cause": None}
    events = [
        {
            "job_seq": row.seq,
            "type": "status",
            "at": at,
            "attempt": row.attempt,
            "data": {**told, "attempt": row.attempt},
            "first_epoch": None,
        }
        for seq in seqs
        if (row := taken.get(seq)) is not None
    ]
    if events:
        session.execute(_INSERT_EVENT, events)
    return taken


def move(  # noqa: PLR0913 - all that one change of state carries, by keyword
    session: Session,
    job_id: str,
    to: Status,
    *,
    sources: Collection[Status] | None = None,
    fence: int | None = None,
    epochs: NewEpochs | None = None,
    cause: Cause | None = None,
    add: Mapping[str, int] | None = None,
    **values: Any,  # noqa: ANN401 - columns
) -> Job | None:
    """Change a job's state: the only place that does, checked against the table of transitions.

    State, progress, history and events change in this one transaction.

    Args:
        session: A writing session.
        job_id: The job; its present state is checked in the database, in the same statement.
        to: The new state.
        sources: The states from which it is to change, when not all that the table allows are meant.
        fence: When a worker asks: its attempt number. Any other in the row refuses the change, and so
            does a state in which no worker holds the job: after a requeue the number is still the old one.
        epochs: History to append before the event of the change.
        cause: Why, where the new state alone does not say it: `code` and `message`.
        add: Numbers to add to columns.
        values: Other columns to set with it.

    Returns:
        The job as it is now, or None when its state or attempt forbids the change.
    """
    if to in TERMINAL:
        values = {"finished_at": now(), "worker_id": None, **values}
    allowed = sources_of(to) if fence is None else sources_of(to) & ACTIVE
    allowed = allowed if sources is None else allowed & frozenset(sources)
    changed = touch(session, job_id, sources=allowed, fence=fence, add=add, status=to, **values)
    if changed is not None:
        add_history(session, changed, epochs)
        add_event(session, changed, "status", _status_event(changed, cause))
    return changed


def touch(
    session: Session,
    job_id: str,
    *,
    sources: frozenset[Status],
    fence: int | None = None,
    add: Mapping[str, int] | None = None,
    **values: Any,  # noqa: ANN401 - columns
) -> Job | None:
    """Set columns of a job, if it is in one of the given states and (where given) still on the attempt `fence`.

    Args:
        session: A writing session.
        job_id: The job.
        sources: The states in which it may be.
        fence: The attempt on which it must be.
        add: Numbers to add to columns.
        values: Columns to set.

    Returns:
        The job as it is now, or None when the condition did not hold and nothing was changed.
    """
    steps = {"version": 1, **(add or {})}
    statement = _update(tuple(values), tuple(steps), sources, fenced=fence is not None)
    parameters: dict[str, Any] = {"job_id": job_id} if fence is None else {"job_id": job_id, "fence": fence}
    parameters |= {f"set_{name}": value for name, value in values.items()}
    parameters |= {f"add_{name}": step for name, step in steps.items()}
    # The row comes back whole; looking through the session for objects to bring up to date would be for nothing.
    options = {"populate_existing": True, "synchronize_session": False}
    changed: Job | None = session.scalar(statement, parameters, execution_options=options)
    return changed


@functools.cache
def _update(
    columns: tuple[str, ...], steps: tuple[str, ...], sources: frozenset[Status], *, fenced: bool
) -> sa.UpdateBase:
    """Build each form of the update once: building it takes longer than running it."""
    statement = sa.update(Job).where(Job.id == sa.bindparam("job_id"), Job.status.in_(sources))
    if fenced:
        statement = statement.where(Job.attempt == sa.bindparam("fence"))
    changes: dict[str, Any] = {name: sa.bindparam(f"set_{name}") for name in columns}
    counted = {name: getattr(Job, name) + sa.bindparam(f"add_{name}") for name in steps}
    return statement.values({**changes, **counted}).returning(Job)


def delete(session: Session, job: Job) -> bool:
    """Remove a job and all it owns, if its state is terminal; tell whether it was."""
    statement = sa.delete(Job).where(Job.seq == job.seq, Job.status.in_(TERMINAL)).returning(Job.seq)
    return session.scalar(statement) is not None


def add_event(
    session: Session,
    job: Job,
    kind: str,
    data: dict[str, Any],
    *,
    first_epoch: int | None = None,
    at: datetime | None = None,
) -> None:
    """Append an event. The job's row is changed first in each transaction, which orders the events of a job."""
    event = {"job_seq": job.seq, "type": kind, "at": at or now(), "attempt": job.attempt, "data": data}
    session.execute(_INSERT_EVENT, {**event, "first_epoch": first_epoch})


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
    rows: Iterable[tuple[JobEvent, HistoryChunk | None]] = session.execute(query)
    # A chunk holds what was recorded; told alone, it still has every column that a history has.
    return [(event, None if chunk is None else History.joined([_unpacked(chunk)])) for event, chunk in rows]


def add_history(session: Session, job: Job, epochs: NewEpochs | None) -> None:
    """Append history, packed, and the event that tells it; nothing if there is none."""
    if epochs is None or len(epochs) == 0:
        return
    chunk = {
        "job_seq": job.seq,
        "first_epoch": epochs.first,
        "epochs": len(epochs),
        "columns": list(epochs.columns),
        "data": pack(epochs.columns),
    }
    session.execute(_INSERT_CHUNK, chunk)
    add_event(session, job, "history", {}, first_epoch=epochs.first)


def drop_history(session: Session, job: Job, *, after: int) -> None:
    """Forget the history after an epoch, and the events that told it; a chunk across that epoch is cut."""
    session.execute(sa.delete(JobEvent).where(JobEvent.job_seq == job.seq, JobEvent.first_epoch > after))
    owned = HistoryChunk.job_seq == job.seq
    session.execute(sa.delete(HistoryChunk).where(owned, HistoryChunk.first_epoch > after))
    across = session.scalar(
        sa.select(HistoryChunk).where(owned).order_by(HistoryChunk.first_epoch.desc()).limit(1)
    )
    if across is not None and across.first_epoch + across.epochs - 1 > after:
        rest = _unpacked(across).between(across.first_epoch, after)
        across.epochs = len(rest.epochs)
        across.data = pack({name: rest.columns[name].tolist() for name in across.columns})


def transitions(session: Session, seqs: Sequence[int]) -> dict[int, list[Transition]]:
    """Read the changes of state of several jobs at once. Those of an earlier version have no cause."""
    found: dict[int, list[Transition]] = {seq: [] for seq in seqs}
    for seq, data, at, attempt in session.execute(_TRANSITIONS, {"seqs": list(seqs)}):
        found[seq].append(Transition(data["status"], at, attempt, data.get("cause")))
    return found


def history(session: Session, job: Job, *, first: int = 1, last: int | None = None) -> History:
    """Read the history of the epochs from `first` to `last`, both included."""
    query = sa.select(HistoryChunk).where(
        HistoryChunk.job_seq == job.seq, HistoryChunk.first_epoch + HistoryChunk.epochs > first
    )
    if last is not None:
        query = query.where(HistoryChunk.first_epoch <= last)
    chunks: Iterable[HistoryChunk] = session.scalars(query.order_by(HistoryChunk.first_epoch))
    return History.joined(_unpacked(chunk) for chunk in chunks).between(first, last)


def add_parameters(session: Session, job: Job, data: bytes) -> None:
    """Add the trained tensors of a job."""
    row = {"job_seq": job.seq, "digest": hashlib.sha256(data).hexdigest(), "data": data}
    session.execute(_INSERT_PARAMETERS, row)


def parameters(session: Session, job: Job) -> JobParameters | None:
    """Read the trained tensors of a job, if it has any."""
    return session.get(JobParameters, job.seq)


def _unpacked(chunk: HistoryChunk) -> History:
    return unpack(chunk.data, names=chunk.columns, first_epoch=chunk.first_epoch)


def _status_event(job: Job, cause: Cause | None = None) -> dict[str, Any]:
    status = Status(job.status)
    return {
        "status": status,
        "terminal": status in TERMINAL,
        "stop_reason": job.stop_reason,
        "attempt": job.attempt,
        "error": job.error,
        "cause": cause,
    }
