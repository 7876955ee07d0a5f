"""What callers can do with jobs. Nothing here commits: whoever opened the session does."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.datasets import service as datasets
from service.db import drawn_id, now
from service.exceptions import (
    CheckpointNotFound,
    DatasetNotFound,
    IdempotencyConflict,
    InvalidRequest,
    InvalidSpec,
    JobNotFound,
    NoParameters,
    Problem,
    StateConflict,
)
from service.jobs import causes, checkpoints, queue, quotas, repository
from service.jobs.lifecycle import CANCEL, PAUSE, RESUME, TERMINAL, Status, StopReason
from service.jobs.orm import Checkpoint, Job, JobParameters
from service.jobs.repository import JobFilter
from service.jobs.uses import job_that_starts_from, keep_parameters
from service.spec.plan import Plan
from service.spec.shape import shape_of
from service.spec.stored import StoredData

__all__ = [
    "PartOf",
    "Texts",
    "cancel",
    "checkpoint_of",
    "checkpoints_of",
    "delete",
    "get",
    "list_jobs",
    "new_id",
    "parameters_of",
    "pause",
    "repeated",
    "resume",
    "status_of",
    "submit",
]


@dataclass(frozen=True, slots=True)
class PartOf:
    """What a job belongs to.

    Attributes:
        sweep_id: The sweep.
        trial: The job's number in it: no other has the same.
    """

    sweep_id: str
    trial: int


@dataclass(frozen=True, slots=True)
class Texts:
    """What is kept of a submission's words. Megabytes take a while: make it before others wait for the transaction.

    Attributes:
        sent: The spec as it was sent.
        effective: The completed spec.
        digest: SHA-256 of what was sent: what is sent again under the same key must have the same.
    """

    sent: str
    effective: str
    digest: str

    @classmethod
    def of(cls, plan: Plan, body: bytes, *, digest: str | None = None) -> "Texts":
        """Write down a spec.

        Args:
            plan: Of the effective spec.
            body: The spec as it was sent.
            digest: Of all that was sent, where that is more than the spec.
        """
        return cls(
            body.decode(), plan.spec.to_text(without=UNFITTED), digest or hashlib.sha256(body).hexdigest()
        )


UNFITTED = ("name", "metadata", "priority")
"""Fields that say nothing about what is fitted: they are kept beside the effective spec."""


def submit(  # noqa: PLR0913 - all that one submission carries, by keyword
    session: Session,
    *,
    plan: Plan,
    body: bytes,
    owner: str,
    idempotency_key: str | None = None,
    rerun_of: str | None = None,
    part_of: PartOf | None = None,
    bounds: quotas.Bounds = quotas.UNBOUNDED,
    texts: Texts | None = None,
    job_id: str | None = None,
) -> Job:
    """Queue a job. Once the session's transaction is committed, the job will be trained.

    Args:
        session: A writing session.
        plan: Of the effective spec.
        body: The body it was read from.
        owner: Whose job it is.
        idempotency_key: The same key with the same body gives the job that was submitted first.
        rerun_of: The job whose spec it repeats.
        part_of: The sweep that it is a trial of.
        bounds: How many jobs there may be with it; a repetition adds none.
        texts: What is kept of plan and body; written here when left out.
        job_id: The id that it gets, from `new_id`; drawn here if left out.

    Returns:
        The job; the one that was submitted first, where the key was used before.

    Raises:
        IdempotencyConflict: The key was used with another body.
        QueueFull: The service has as many waiting jobs as it takes.
        QuotaExceeded: The owner has as many unfinished jobs as allowed.
        InvalidSpec: The dataset, or the job to start from, was deleted meanwhile.
    """
    texts = texts or Texts.of(plan, body)
    if idempotency_key is not None:
        known = repeated(session, owner=owner, key=idempotency_key, digest=texts.digest)
        if known is not None:
            return known
    quotas.check(session, owner=owner, bounds=bounds)
    spec = plan.spec
    dataset_id = spec.data.id if isinstance(spec.data, StoredData) else None
    if dataset_id is not None:
        _keep_dataset(session, dataset_id, owner=owner)
    init_job_id = spec.model.init_from_job
    if init_job_id is not None and not keep_parameters(session, init_job_id, owner=owner):
        raise _gone(init_job_id)
    job = {
        "id": job_id or new_id(),
        "owner": owner,
        "name": spec.name,
        "idempotency_key": idempotency_key,
        "request_digest": texts.digest,
        "status": Status.QUEUED,
        "created_at": now(),
        "priority": spec.priority,
        "turn": queue.next_turn(session, spec.priority),
        "shape": shape_of(plan),
        "rerun_of": rerun_of,
        "sweep_id": part_of.sweep_id if part_of else None,
        "trial": part_of.trial if part_of else None,
        "seed": spec.training.seed,
        "max_seconds": spec.training.max_seconds,
        "epochs": plan.epochs,
        "dataset_id": dataset_id,
        "init_job_id": init_job_id,
    }
    try:
        # The same key may be on its way to its commit elsewhere. Refused for that, the rest of the transaction holds.
        with session.begin_nested() if idempotency_key else contextlib.nullcontext():
            return repository.insert(
                session, job, sent=texts.sent, effective=texts.effective, metadata=spec.metadata
            )
    except IntegrityError:
        key = idempotency_key or ""
        known = repeated(session, owner=owner, key=key, digest=texts.digest)
        if known is None:
            raise
        return known


def _keep_dataset(session: Session, dataset_id: str, *, owner: str) -> None:
    """Make sure that a dataset is still there, and stays until the job that needs it is committed.

    Raises:
        InvalidSpec: It was deleted since the spec was checked.
    """
    try:
        datasets.get(session, dataset_id, owner=owner, keep=True)
    except DatasetNotFound as error:
        raise InvalidSpec([Problem("/data/id", "unknown_dataset", error.message, error.hint)]) from None


def _gone(init_job_id: str) -> InvalidSpec:
    """Say that a job to start from was deleted since the spec was checked."""
    message = f"There is no job `{init_job_id}` that left parameters to start from any more."
    hint = "GET /v1/jobs?status=succeeded lists the jobs that did."
    return InvalidSpec([Problem("/model/init_from", "unknown_job", message, hint)])


def repeated(session: Session, *, owner: str, key: str, digest: str) -> Job | None:
    """Look up the job that the same was submitted for before, under the same key.

    Raises:
        IdempotencyConflict: The key was used for something else.
    """
    known = repository.find_by_idempotency_key(session, owner=owner, key=key)
    if known is not None and known.request_digest != digest:
        raise IdempotencyConflict
    return known


def new_id() -> str:
    """Draw the id of a job."""
    return drawn_id("job")


def get(session: Session, job_id: str, *, owner: str, hold: bool = False) -> Job:
    """Look up a job.

    Args:
        session: Any session; a writing one if the job is to be held.
        job_id: The job.
        owner: Whose.
        hold: Let nobody change it before this transaction ends: what is decided by its state then stays true.

    Raises:
        JobNotFound: There is none with this id, or it is somebody else's.
    """
    job = repository.find(session, job_id, owner=owner, hold=hold)
    if job is None:
        raise JobNotFound(f"There is no job `{job_id[:80]}`.")
    return job


def status_of(session: Session, job_id: str, *, owner: str) -> Status:
    """Look up the state of a job, and nothing else.

    Raises:
        JobNotFound: There is none with this id, or it is somebody else's.
    """
    status = repository.status_of(session, job_id, owner=owner)
    if status is None:
        raise JobNotFound(f"There is no job `{job_id[:80]}`.")
    return status


def list_jobs(
    session: Session, *, owner: str, limit: int, after: str | None, only: JobFilter
) -> tuple[Sequence[Job], bool]:
    """List jobs, newest first.

    Args:
        session: Any session.
        owner: Whose jobs.
        limit: At most so many.
        after: Id of the last job of the page before.
        only: Which jobs.

    Returns:
        The jobs, and whether more follow.

    Raises:
        InvalidRequest: `after` is not the id of a job.
    """
    cursor = None if after is None else repository.find(session, after, owner=owner)
    if after is not None and cursor is None:
        hint = (
            "Send the `next_after` of the page before; if that job was deleted, start again without `after`."
        )
        raise InvalidRequest(
            [Problem(None, "unknown_cursor", f"`{after[:80]}` is not a job.", hint, "after")]
        )
    found = repository.page(session, owner=owner, limit=limit + 1, before=cursor, only=only)
    return found[:limit], len(found) > limit


def cancel(session: Session, job_id: str, *, owner: str) -> Job:
    """Ask for a job to stop: at once if no worker has it, else as soon as its worker hears of it.

    Asking again while it is being cancelled changes nothing.

    Raises:
        JobNotFound: There is no such job.
        StateConflict: The job has ended already.
    """
    hint = "A job that has ended stays as it is; DELETE removes it."
    return _ask(session, job_id, CANCEL, "cancelled", owner=owner, hint=hint, cancel_requested_at=now())


def pause(session: Session, job_id: str, *, owner: str) -> Job:
    """Ask for a job to stand still: at once if no worker has it, else after its next checkpoint.

    Asking again changes nothing.

    Raises:
        JobNotFound: There is no such job.
        StateConflict: The job has ended, or is about to.
    """
    hint = "Only a job that is queued or running can be paused."
    return _ask(session, job_id, PAUSE, "paused", owner=owner, hint=hint)


def resume(session: Session, job_id: str, *, owner: str) -> Job:
    """Let a paused job go on from where it stood, or call a pause off that its worker has not heard of yet.

    Raises:
        JobNotFound: There is no such job.
        StateConflict: The job is not paused.
    """
    hint = "Only a job that is paused, or about to be, can be resumed."
    return _ask(session, job_id, RESUME, "resumed", owner=owner, hint=hint)


def _ask(
    session: Session,
    job_id: str,
    ways: Mapping[Status, Status],
    what: str,
    *,
    owner: str,
    hint: str,
    **values: Any,  # noqa: ANN401 - columns
) -> Job:
    """Move a job as its owner asks."""
    # Held: a worker that claims it at this moment passes it over, or is waited for and has made it running.
    job = get(session, job_id, owner=owner, hold=True)
    source = Status(job.status)
    target = ways.get(source)
    if target is source:
        return job
    if target is None:
        raise StateConflict(f"The job is {source}: it cannot be {what}.", hint=hint)
    reason = StopReason.CANCELLED if target is Status.CANCELLED else None
    moved = repository.move(
        session, job.id, target, sources={source}, cause=causes.REQUESTED, stop_reason=reason, **values
    )
    if moved is None:
        raise AssertionError("a job that is held has changed its state")
    if target is Status.CANCELLED:
        checkpoints.drop(session, moved)
    return moved


def checkpoints_of(session: Session, job: Job) -> Sequence[Checkpoint]:
    """List the checkpoints of a job, the newest first; none once it has ended."""
    return checkpoints.newest_first(session, job)


def checkpoint_of(session: Session, job: Job, number: int) -> Checkpoint:
    """Look up one checkpoint of a job.

    Raises:
        CheckpointNotFound: There is none, or not any more: only the newest ones are kept, and none after the end.
    """
    found = checkpoints.find(session, job, number)
    if found is None:
        raise CheckpointNotFound(f"The job has no checkpoint {number}.")
    return found


def delete(session: Session, job_id: str, *, owner: str) -> None:
    """Remove a job that has ended, with its history, events and parameters.

    Raises:
        JobNotFound: There is no such job.
        StateConflict: The job has not ended, or one that has not starts from its parameters, or it is part of a sweep.
    """
    job = get(session, job_id, owner=owner)
    if job.sweep_id is not None:
        raise StateConflict(
            f"The job is trial {job.trial} of the sweep {job.sweep_id}, and is deleted with it.",
            hint=f"DELETE /v1/sweeps/{job.sweep_id} removes the sweep with all its jobs.",
        )
    if not repository.delete(session, job):
        raise StateConflict(
            f"The job is {job.status}: only a job that has ended can be deleted.",
            hint=f"POST /v1/jobs/{job.id}/cancel first, and wait until it has ended.",
        )
    # Asked after the row is gone: a job that is submitted at this moment was seen or will find no parameters.
    user = job_that_starts_from(session, job_id)
    if user is not None:
        raise StateConflict(
            f"The job {user} starts from the parameters of this one and has not ended.",
            hint=f"Wait for its end, or cancel it with POST /v1/jobs/{user}/cancel.",
        )


def parameters_of(session: Session, job: Job) -> JobParameters:
    """Read the trained tensors of a job.

    Raises:
        StateConflict: The job has not ended yet.
        NoParameters: It ended without any.
    """
    found = repository.parameters(session, job)
    if found is not None:
        return found
    if Status(job.status) not in TERMINAL:
        raise StateConflict(
            f"The job is {job.status}: it has no parameters yet.",
            hint=f"GET /v1/jobs/{job.id}?wait=30 answers when it has ended.",
        )
    raise NoParameters(f"The job ended {job.status} before it had any parameters.", hint="Submit it again.")
