"""What workers do with jobs: claim, report, finish, give back. Every write is fenced by the attempt number."""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs import repository
from service.jobs.lifecycle import ACTIVE, Status, StopReason
from service.jobs.orm import Job, JobParameters, Worker
from service.jobs.repository import NewEpochs

__all__ = [
    "Ended",
    "JobRef",
    "Progress",
    "beat",
    "beats",
    "cancelling",
    "claim",
    "crashed",
    "finish",
    "forget_worker",
    "held_by",
    "orphans",
    "register_worker",
    "release",
    "report",
    "resume",
    "spec_of",
    "workers",
]

POISON_HINT = "The training process died again and again, perhaps for lack of memory: make the job smaller."


@dataclass(frozen=True, slots=True)
class JobRef:
    """A claim on a job: writes for it count only while `attempt` is the job's."""

    id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is, and the history since the last report.

    Attributes:
        fraction: Share of the training that is done, from 0 to 1; None while an attempt repeats
            what an earlier one has recorded, so that progress never goes back.
        epochs: The history since the last report, with at least a `train_loss`.
        device: The torch device.
        environment: What must be equal for another attempt to repeat the training bit for bit.
    """

    fraction: float | None
    epochs: NewEpochs
    device: str
    environment: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended: what is recorded as its one result."""

    status: Status
    stop_reason: StopReason
    result: dict[str, Any] | None = None
    parameters: bytes | None = None
    error: dict[str, str] | None = None


def claim(session: Session, *, worker_id: str, limit: int) -> list[JobRef]:
    """Take the jobs that have waited longest, each under a new attempt number."""
    claimed: list[JobRef] = []
    for job_id, started_at in repository.next_queued(session, limit).items():
        moved = repository.move(
            session,
            job_id,
            Status.RUNNING,
            add={"attempt": 1},
            worker_id=worker_id,
            started_at=started_at or now(),
        )
        if moved is not None:
            claimed.append(JobRef(moved.id, moved.attempt))
    return claimed


def spec_of(session: Session, ref: JobRef) -> str | None:
    """Read the effective spec of a claimed job as JSON text; None when the lease is lost."""
    job = repository.find(session, ref.id)
    if job is None or job.attempt != ref.attempt or job.status not in ACTIVE:
        return None
    return repository.spec_text(session, [job.seq])[job.seq]


def resume(session: Session, ref: JobRef, environment: dict[str, Any]) -> int | None:
    """Find out what an earlier attempt has left.

    In an equal environment this attempt repeats the recorded history bit for bit, so it stays and is
    not told again; otherwise it is dropped, and a log event says so.

    Returns:
        The number of epochs whose history is recorded, or None when the lease is lost.
    """
    job = repository.find(session, ref.id)
    if job is None or job.attempt != ref.attempt or job.status not in ACTIVE:
        return None
    if job.epoch == 0 or job.environment == environment:
        return job.epoch
    changed = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, epoch=0, fraction=0.0)
    if changed is None:
        return None
    repository.drop_history(session, changed)
    message = (
        "The job starts again from epoch 1 on another machine or version; its earlier history is dropped."
    )
    repository.add_event(session, changed, "log", {"level": "warning", "message": message})
    return 0


def report(session: Session, ref: JobRef, progress: Progress) -> Status | None:
    """Record progress and history.

    Returns:
        The job's state, by which a cancel is heard; None when the lease is lost and nothing was recorded.
    """
    job = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, **_values(progress))
    if job is None:
        return None
    repository.add_history(session, job, progress.epochs)
    return Status(job.status)


def finish(session: Session, ref: JobRef, progress: Progress, ended: Ended) -> bool:
    """Record the one result of a job with the rest of its history.

    Returns:
        False when the lease is lost and nothing was recorded.
    """
    values = {**_values(progress), "result": ended.result, "error": ended.error}
    job = repository.move(
        session,
        ref.id,
        ended.status,
        fence=ref.attempt,
        epochs=progress.epochs,
        stop_reason=ended.stop_reason,
        **values,
    )
    if job is not None and ended.parameters is not None:
        digest = hashlib.sha256(ended.parameters).hexdigest()
        session.add(JobParameters(job_seq=job.seq, digest=digest, data=ended.parameters))
    return job is not None


def release(session: Session, ref: JobRef) -> bool:
    """Give a job back to the queue, uncounted, because its worker is being stopped.

    A job that is being cancelled ends here.
    """
    return _give_back(session, ref, crashes=0, max_crashes=1) is not None


def crashed(session: Session, ref: JobRef, *, max_crashes: int) -> Status | None:
    """Record that the process of an attempt died: back to the queue, or failed when it died too often.

    Returns:
        The job's new state, or None when the attempt had ended or lost its lease before.
    """
    return _give_back(session, ref, crashes=1, max_crashes=max_crashes)


def _give_back(session: Session, ref: JobRef, *, crashes: int, max_crashes: int) -> Status | None:
    job = repository.touch(
        session, ref.id, sources=ACTIVE, fence=ref.attempt, add={"crashes": crashes}, worker_id=None
    )
    if job is None:
        return None
    if job.status == Status.CANCELLING:
        moved = repository.move(
            session, job.id, Status.CANCELLED, fence=ref.attempt, stop_reason=StopReason.CANCELLED
        )
    elif crashes and job.crashes >= max_crashes:
        error = {
            "code": "worker_crashed",
            "message": f"The training process died {job.crashes} times.",
            "hint": POISON_HINT,
        }
        moved = repository.move(
            session, job.id, Status.FAILED, fence=ref.attempt, stop_reason=StopReason.ERROR, error=error
        )
    else:
        moved = repository.move(session, job.id, Status.QUEUED, fence=ref.attempt)
    return None if moved is None else Status(moved.status)


def _values(progress: Progress) -> dict[str, Any]:
    values: dict[str, Any] = {
        "progress_at": now(),
        "device": progress.device,
        "environment": progress.environment,
    }
    if progress.fraction is not None:
        values["fraction"] = progress.fraction
    losses = progress.epochs.columns["train_loss"]
    if losses:
        values |= {"epoch": progress.epochs.first + len(losses) - 1, "train_loss": losses[-1]}
        values["dev_loss"] = _last_number(progress.epochs.columns.get("dev_loss", ()))
    return values


def _last_number(series: Sequence[float]) -> float | None:
    """Give the last value; None where there is none, or it is not a finite number."""
    return series[-1] if series and math.isfinite(series[-1]) else None


def register_worker(session: Session, worker_id: str, *, slots: int) -> None:
    """Make a worker known before it claims anything."""
    session.add(Worker(id=worker_id, started_at=now(), seen_at=now(), beat=0, slots=slots, warm=0, about={}))


def beat(session: Session, worker_id: str, *, warm: int, about: dict[str, Any]) -> bool:
    """Renew all leases of a worker; False when it is not known (any more)."""
    statement = (
        sa.update(Worker)
        .where(Worker.id == worker_id)
        .values(beat=Worker.beat + 1, seen_at=now(), warm=warm, about=about)
        .returning(Worker.id)
    )
    return session.scalar(statement) is not None


def workers(session: Session) -> Sequence[Worker]:
    """List the workers that are, or were until lately, alive."""
    return session.scalars(sa.select(Worker).order_by(Worker.started_at)).all()


def beats(session: Session) -> dict[str, int]:
    """Read the heartbeat counter of each worker; whoever watches them ages them by a clock of his own."""
    return dict(session.execute(sa.select(Worker.id, Worker.beat)).all())


def held_by(session: Session, worker_ids: Collection[str]) -> Sequence[JobRef]:
    """List the jobs whose lease these workers hold."""
    query = sa.select(Job.id, Job.attempt).where(Job.worker_id.in_(worker_ids), Job.status.in_(ACTIVE))
    return [JobRef(job_id, attempt) for job_id, attempt in session.execute(query)]


def orphans(session: Session) -> Sequence[JobRef]:
    """List the jobs under way whose worker is in no list."""
    query = sa.select(Job.id, Job.attempt).where(
        Job.status.in_(ACTIVE), Job.worker_id.is_not(None), Job.worker_id.not_in(sa.select(Worker.id))
    )
    return [JobRef(job_id, attempt) for job_id, attempt in session.execute(query)]


def cancelling(session: Session, worker_id: str) -> Sequence[JobRef]:
    """List the jobs of a worker that were asked to stop and have not yet stopped."""
    query = sa.select(Job.id, Job.attempt).where(Job.worker_id == worker_id, Job.status == Status.CANCELLING)
    return [JobRef(job_id, attempt) for job_id, attempt in session.execute(query)]


def forget_worker(session: Session, worker_id: str) -> None:
    """Take a worker out of the list."""
    session.execute(sa.delete(Worker).where(Worker.id == worker_id))
