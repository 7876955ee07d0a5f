"""What workers do with jobs: claim, report, finish, let go. Every write is fenced by the attempt number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs import causes, checkpoints, queue, repository
from service.jobs.causes import Cause
from service.jobs.lifecycle import ACTIVE, LET_GO, Status, StopReason
from service.jobs.orm import Checkpoint, Job
from service.jobs.queue import InLine
from service.jobs.repository import NewEpochs
from service.spec.shape import MOST, members

__all__ = [
    "Arrived",
    "Claim",
    "Ended",
    "JobRef",
    "NewCheckpoint",
    "Progress",
    "Start",
    "arrived",
    "begin",
    "claim",
    "crashed",
    "finish",
    "keep",
    "let_go",
    "overdue",
    "report",
    "resume",
]

HANDED_CHARACTERS = 64 * 2**10
"""A spec up to this length travels with the claim to whoever trains it: through a pipe, which must not fill up."""
POISON_HINT = (
    "The training process died again and again without getting further, perhaps for lack of memory: "
    "make the job smaller."
)
TIME_HINT = (
    "Raise training.max_seconds, take fewer epochs, or make one step smaller: it has to end to be stopped."
)


@dataclass(frozen=True, slots=True)
class JobRef:
    """A claim on a job: writes for it count only while `attempt` is the job's."""

    id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Start:
    """What an attempt begins with.

    Attributes:
        spec: The effective spec, as JSON text.
        seconds: Training time of the attempts before.
        max_seconds: Training time that all attempts may take together.
        recorded: Epochs whose history is recorded.
        fraction: Share of the training that is recorded as done.
        checkpoints: From which it may go on, the newest first.
    """

    spec: str
    seconds: float
    max_seconds: float | None
    recorded: int
    fraction: float
    checkpoints: Sequence[Checkpoint]


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that was taken.

    Attributes:
        ref: The job and the attempt.
        priority: Of the job.
        seconds_left: Training time that it may still take; None where it has no limit.
        start: What the attempt begins with, where it was read along.
    """

    ref: JobRef
    priority: int
    seconds_left: float | None
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is, and the history since the last report.

    Attributes:
        fraction: Share of the training that is done, from 0 to 1; None while an attempt repeats
            what an earlier one has recorded, so that progress never goes back.
        epochs: The history since the last report, with at least a `train_loss`.
        device: The torch device.
        environment: What must be equal for another attempt to repeat the training bit for bit.
        engine: What makes the steps: `name` and `reason`; None before the first.
        seconds: Training time so far, all attempts together.
    """

    fraction: float | None
    epochs: NewEpochs
    device: str
    environment: dict[str, Any]
    engine: dict[str, str] | None
    seconds: float


@dataclass(frozen=True, slots=True)
class NewCheckpoint:
    """A checkpoint whose file is written.

    Attributes:
        number: Counts the checkpoints of the job.
        reason: `interval`, `pause`, `drain` or `yield`.
        epoch: Completed epochs at that moment.
        fraction: Share of the training that was done.
        path: Of the file, below the folder of the checkpoints.
        digest: SHA-256 of the file.
        size: Bytes of the file.
    """

    number: int
    reason: str
    epoch: int
    fraction: float
    path: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """How much of what an attempt has told is recorded.

    Attributes:
        status: The job's state.
        epochs: Epochs whose history is recorded.
        checkpoint: Number of the newest checkpoint; 0 where there is none.
    """

    status: Status
    epochs: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended: what is recorded as its one result."""

    status: Status
    stop_reason: StopReason
    result: dict[str, Any] | None = None
    parameters: bytes | None = None
    error: dict[str, str] | None = None


def claim(session: Session, *, worker_id: str, slots: int, together: int = MOST) -> list[list[Claim]]:
    """Take the jobs whose turn it is, each under a new attempt number.

    Where no more jobs wait than there are free slots, each gets one. Where more do, a slot may get several at once,
    to train them together: the next of the queue, and those behind it of the same shape and priority. Only first
    attempts: what has run before goes on from where it stood, and if it was its process that died, alone, so that no
    job pays for what a neighbour does.

    Args:
        session: A writing session.
        worker_id: Who will train them.
        slots: Slots that are free.
        together: Jobs of one slot at most.

    Returns:
        The jobs of each slot.
    """
    line = queue.next_queued(session, slots * together, hold=True)
    bundles = _bundles(line, slots, together)
    taken = repository.take(session, [one.seq for bundle in bundles for one in bundle], worker_id=worker_id)
    lone = [bundle[0].seq for bundle in bundles if len(bundle) == 1 and bundle[0].attempt == 0]
    specs = repository.spec_text(session, lone, longest=HANDED_CHARACTERS) if lone else {}
    claims = [
        [_claim(row, specs.get(one.seq)) for one in bundle if (row := taken.get(one.seq)) is not None]
        for bundle in bundles
    ]
    return [claim for claim in claims if claim]


def _bundles(line: Sequence[InLine], slots: int, together: int) -> list[list[InLine]]:
    """Share the first jobs of the queue out among the slots."""
    waiting = list(line)
    bundles: list[list[InLine]] = []
    while waiting and len(bundles) < slots:
        first, left = waiting[0], slots - len(bundles)
        alike = [one for one in waiting if _go_together(first, one)] or [first]
        # As many as leave the other free slots their share of them.
        share = math.ceil(len(alike) / left) if len(waiting) > left else 1
        bundle = alike[: min(share, together, members(first.shape))]
        bundles.append(bundle)
        gone = {one.seq for one in bundle}
        waiting = [one for one in waiting if one.seq not in gone]
    return bundles


def _go_together(first: InLine, other: InLine) -> bool:
    same = first.shape is not None and (first.shape, first.priority) == (other.shape, other.priority)
    return same and first.attempt == other.attempt == 0


def _claim(row: sa.Row[Any], spec: str | None) -> Claim:
    left = None if row.max_seconds is None else max(0.0, row.max_seconds - row.seconds)
    start = None
    if spec is not None:
        start = Start(spec, row.seconds, row.max_seconds, row.epoch, row.fraction, checkpoints=())
    return Claim(JobRef(row.id, row.attempt), row.priority, left, start)


def begin(session: Session, refs: Sequence[JobRef]) -> dict[JobRef, Start]:
    """Read what attempts begin with; without those whose lease is lost."""
    found = repository.find_all(session, [ref.id for ref in refs])
    held = {ref: job for ref in refs if (job := found.get(ref.id)) is not None and _holds(job, ref)}
    specs = repository.spec_text(session, [job.seq for job in held.values()])
    return {
        ref: Start(
            spec=specs[job.seq],
            seconds=job.seconds,
            max_seconds=job.max_seconds,
            recorded=job.epoch,
            fraction=job.fraction,
            checkpoints=checkpoints.newest_first(session, job) if ref.attempt > 1 else (),
        )
        for ref, job in held.items()
    }


def arrived(session: Session, ref: JobRef) -> Arrived | None:
    """Tell how much is recorded, for an attempt whose last write was left in doubt; None when the lease is lost."""
    job = _held(session, ref)
    if job is None:
        return None
    newest = next((one.number for one in checkpoints.newest_first(session, job)), 0)
    return Arrived(Status(job.status), job.epoch, newest)


def _held(session: Session, ref: JobRef) -> Job | None:
    job = repository.find(session, ref.id)
    return job if job is not None and _holds(job, ref) else None


def _holds(job: Job, ref: JobRef) -> bool:
    return job.attempt == ref.attempt and job.status in ACTIVE


def resume(
    session: Session,
    ref: JobRef,
    *,
    environment: dict[str, Any],
    checkpoint: Checkpoint | None,
    notes: Sequence[str] = (),
) -> int | None:
    """Fit what an earlier attempt has left to where this one goes on from.

    In an equal environment this attempt repeats bit for bit what is recorded beyond the checkpoint, so it stays
    and is not told again; otherwise it is dropped, and a log event says so.

    Args:
        session: A writing session.
        ref: The attempt.
        environment: What must be equal for that.
        checkpoint: Where it goes on; None where it starts again.
        notes: Warnings to log as events of the job.

    Returns:
        The number of epochs whose history is recorded, or None when the lease is lost.
    """
    job = _held(session, ref)
    if job is None:
        return None
    number, done, fraction = (
        (0, 0, 0.0) if checkpoint is None else (checkpoint.number, checkpoint.epoch, checkpoint.fraction)
    )
    differs = job.environment not in (None, environment) and job.epoch > done
    passed_over = [one for one in checkpoints.newest_first(session, job) if one.number > number]
    if not (differs or passed_over or notes):
        return job.epoch
    changes: dict[str, Any] = {"epoch": done, "fraction": fraction} if differs else {}
    changed = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, **changes)
    if changed is None:
        return None
    # What was passed over is damaged or does not fit: nobody is to go on from it later.
    checkpoints.drop(session, changed, after=number)
    if differs:
        repository.drop_history(session, changed, after=done)
        notes = [*notes, _other_environment(done)]
    for message in notes:
        repository.add_event(session, changed, "log", {"level": "warning", "message": message})
    return changed.epoch


def _other_environment(done: int) -> str:
    return (
        f"The job goes on after epoch {done} on another machine or version, where numbers round differently; "
        "its history beyond that is dropped and told anew."
    )


def report(session: Session, ref: JobRef, progress: Progress) -> Status | None:
    """Record progress and history.

    Returns:
        The job's state, by which a cancel or a pause is heard; None when the lease is lost and nothing was recorded.
    """
    job = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, **_values(progress))
    if job is None:
        return None
    repository.add_history(session, job, progress.epochs)
    return Status(job.status)


def keep(
    session: Session, ref: JobRef, progress: Progress, new: NewCheckpoint
) -> tuple[Status, list[str]] | None:
    """Record a checkpoint together with the history up to it. Progress like this makes earlier crashes forgotten.

    Returns:
        The job's state, and the paths of the files that no row names any more; None when the lease is lost.
    """
    values = {**_values(progress), "crashes": 0}
    job = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, **values)
    if job is None:
        return None
    repository.add_history(session, job, progress.epochs)
    row = Checkpoint(
        job_seq=job.seq,
        number=new.number,
        attempt=ref.attempt,
        reason=new.reason,
        created_at=now(),
        epoch=new.epoch,
        fraction=new.fraction,
        path=new.path,
        digest=new.digest,
        size=new.size,
        environment=progress.environment,
    )
    return Status(job.status), checkpoints.add(session, row)


def finish(session: Session, ref: JobRef, progress: Progress, ended: Ended) -> bool:
    """Record the one result of a job with the rest of its history. Its checkpoints are not needed any more.

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
    if job is None:
        return False
    checkpoints.drop(session, job)
    if ended.parameters is not None:
        repository.add_parameters(session, job, ended.parameters)
    return True


def let_go(session: Session, ref: JobRef, *, cause: Cause, gives_way: bool = False) -> Status | None:
    """Give a job back, uncounted: to the queue, or to where it was asked to go.

    Args:
        session: A writing session.
        ref: The attempt.
        cause: Why.
        gives_way: Queue it behind those who wait already, instead of where it was.

    Returns:
        The job's new state, or None when the attempt had ended or lost its lease before.
    """
    job = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, worker_id=None)
    if job is None:
        return None
    turn = max(job.turn, queue.next_turn(session, job.priority)) + 1 if gives_way else job.turn
    return _goes(session, job, ref, cause, turn=turn)


def crashed(session: Session, ref: JobRef, *, max_crashes: int, cause: Cause) -> Status | None:
    """Record that the process of an attempt died: as `let_go`, but failed when it died too often without progress.

    Returns:
        The job's new state, or None when the attempt had ended or lost its lease before.
    """
    job = repository.touch(
        session, ref.id, sources=ACTIVE, fence=ref.attempt, add={"crashes": 1}, worker_id=None
    )
    if job is None:
        return None
    if job.status != Status.RUNNING or job.crashes < max_crashes:
        return _goes(session, job, ref, cause)
    error = {
        "code": "worker_crashed",
        "message": f"The training process died {job.crashes} times in a row. {cause['message']}",
        "hint": POISON_HINT,
    }
    return _fails(session, ref, StopReason.ERROR, error)


def overdue(session: Session, ref: JobRef) -> Status | None:
    """Record that a job was ended by force, because it did not stop by itself when its time was over.

    Returns:
        The job's new state, or None when the attempt had ended or lost its lease before.
    """
    job = _held(session, ref)
    if job is None or job.status != Status.RUNNING:
        return None if job is None else let_go(session, ref, cause=causes.KILLED)
    message = f"The job was still in one step when its {job.max_seconds:g} seconds were over."
    error = {"code": "max_runtime", "message": message, "hint": TIME_HINT}
    return _fails(session, ref, StopReason.MAX_RUNTIME, error)


def _goes(session: Session, job: Job, ref: JobRef, cause: Cause, *, turn: int | None = None) -> Status | None:
    target = LET_GO[Status(job.status)]
    reason = StopReason.CANCELLED if target is Status.CANCELLED else None
    moved = repository.move(
        session, ref.id, target, fence=ref.attempt, cause=cause, stop_reason=reason, turn=turn or job.turn
    )
    if moved is not None and target is Status.CANCELLED:
        checkpoints.drop(session, moved)
    return None if moved is None else target


def _fails(session: Session, ref: JobRef, reason: StopReason, error: Mapping[str, str]) -> Status | None:
    moved = repository.move(
        session, ref.id, Status.FAILED, fence=ref.attempt, stop_reason=reason, error=dict(error)
    )
    if moved is None:
        return None
    checkpoints.drop(session, moved)
    return Status.FAILED


def _values(progress: Progress) -> dict[str, Any]:
    values: dict[str, Any] = {
        "progress_at": now(),
        "device": progress.device,
        "environment": progress.environment,
        "seconds": progress.seconds,
    }
    if progress.engine is not None:
        values["engine"] = progress.engine
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
