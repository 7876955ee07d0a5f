"""What callers can do with jobs. Nothing here commits: whoever opened the session does."""

import base64
import hashlib
import secrets
from collections.abc import Sequence

from sqlalchemy.orm import Session

from service.datasets import service as datasets
from service.db import now
from service.exceptions import (
    DatasetNotFound,
    IdempotencyConflict,
    InvalidRequest,
    InvalidSpec,
    JobNotFound,
    NoParameters,
    Problem,
    StateConflict,
)
from service.jobs import repository
from service.jobs.lifecycle import TERMINAL, Status, StopReason
from service.jobs.orm import Job, JobParameters
from service.jobs.repository import JobFilter
from service.jobs.uses import job_that_starts_from, keep_parameters
from service.spec.plan import Plan
from service.spec.stored import StoredData

__all__ = ["cancel", "delete", "get", "list_jobs", "parameters_of", "status_of", "submit"]


def submit(
    session: Session, *, plan: Plan, body: bytes, owner: str, idempotency_key: str | None = None
) -> Job:
    """Queue a job. Once the session's transaction is committed, the job will be trained.

    Args:
        session: A writing session.
        plan: Of the effective spec.
        body: The body it was read from.
        owner: Whose job it is.
        idempotency_key: The same key with the same body gives the job that was submitted first.

    Raises:
        IdempotencyConflict: The key was used with another body.
        InvalidSpec: The dataset, or the job to start from, was deleted meanwhile.
    """
    digest = hashlib.sha256(body).hexdigest()
    if idempotency_key is not None:
        known = repository.find_by_idempotency_key(session, owner=owner, key=idempotency_key)
        if known is not None:
            return _repeated(known, digest)
    spec = plan.spec
    dataset_id = spec.data.id if isinstance(spec.data, StoredData) else None
    if dataset_id is not None:
        _keep_dataset(session, dataset_id, owner=owner)
    init_job_id = spec.model.init_from_job
    if init_job_id is not None and not keep_parameters(session, init_job_id, owner=owner):
        raise _gone(init_job_id)
    job = Job(
        id=_new_id(),
        owner=owner,
        name=spec.name,
        idempotency_key=idempotency_key,
        request_digest=digest,
        status=Status.QUEUED,
        created_at=now(),
        attempt=0,
        seed=spec.training.seed,
        epochs=plan.epochs,
        dataset_id=dataset_id,
        init_job_id=init_job_id,
    )
    return repository.insert(
        session,
        job,
        sent=body.decode(),
        effective=spec.model_dump_json(exclude={"name", "metadata"}),
        metadata=spec.metadata,
    )


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


def _repeated(known: Job, digest: str) -> Job:
    if known.request_digest != digest:
        raise IdempotencyConflict
    return known


def _new_id() -> str:
    return "job_" + base64.b32encode(secrets.token_bytes(15)).decode().lower()


def get(session: Session, job_id: str, *, owner: str) -> Job:
    """Look up a job.

    Raises:
        JobNotFound: There is none with this id, or it is somebody else's.
    """
    job = repository.find(session, job_id, owner=owner)
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
    """Ask for a job to stop: at once if it is queued, else as soon as its worker hears of it.

    Asking again while it is being cancelled changes nothing.

    Raises:
        JobNotFound: There is no such job.
        StateConflict: The job has ended already.
    """
    job = get(session, job_id, owner=owner)
    if job.status in {Status.QUEUED, Status.PAUSED}:
        reason = StopReason.CANCELLED
        moved = repository.move(
            session, job.id, Status.CANCELLED, stop_reason=reason, cancel_requested_at=now()
        )
    elif job.status == Status.CANCELLING:
        moved = job
    else:
        moved = repository.move(session, job.id, Status.CANCELLING, cancel_requested_at=now())
    if moved is None:
        raise StateConflict(f"The job is {job.status}: it cannot be cancelled any more.")
    return moved


def delete(session: Session, job_id: str, *, owner: str) -> None:
    """Remove a job that has ended, with its history, events and parameters.

    Raises:
        JobNotFound: There is no such job.
        StateConflict: The job has not ended, or one that has not starts from its parameters.
    """
    job = get(session, job_id, owner=owner)
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
