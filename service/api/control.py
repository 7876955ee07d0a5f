"""Asking for a job to do something else: cancel, pause, resume, and run it again."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service import failpoints
from service.api.bodies import json_body
from service.api.context import Calling, Context, Owner, Running, bounds_of
from service.api.jobs import accepted
from service.api.keyring import Caller
from service.api.problems import documented
from service.api.schemas import Job as JobOut
from service.api.submissions import IdempotencyKey, Prefer
from service.api.views import job_view, json_response
from service.db import after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED
from service.exceptions import InvalidRequest, Problem
from service.jobs import repository, service
from service.jobs.library import DatabaseLibrary
from service.jobs.orm import Job
from service.spec.intake import parse

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_ASKED: dict[int | str, dict[str, Any]] = {202: {"model": JobOut}, **documented(401, 404, 409)}


@router.post(
    "/{job_id}/cancel", operation_id="cancel_job", summary="Cancel a job", status_code=202, responses=_ASKED
)
def cancel(running: Running, owner: Owner, job_id: str) -> Response:
    """Ask a job to stop: a queued or paused one ends at once, a running one keeps what it has learnt so far."""
    return _asked(running, owner, job_id, service.cancel)


@router.post(
    "/{job_id}/pause", operation_id="pause_job", summary="Pause a job", status_code=202, responses=_ASKED
)
def pause(running: Running, owner: Owner, job_id: str) -> Response:
    """Ask a job to stand still: a running one takes a checkpoint first, and gives its slot to others."""
    return _asked(running, owner, job_id, service.pause)


@router.post(
    "/{job_id}/resume", operation_id="resume_job", summary="Resume a job", status_code=202, responses=_ASKED
)
def resume(running: Running, owner: Owner, job_id: str) -> Response:
    """Let a paused job go on where it stood; it waits in the queue at its old place."""
    return _asked(running, owner, job_id, service.resume)


def _asked(running: Context, owner: str, job_id: str, verb: Callable[..., Job]) -> Response:
    with running.database.write() as session:
        job = verb(session, job_id, owner=owner)
        after_commit(session, lambda: running.doorbell.ring(JOB_CHANGED, job.id))
        after_commit(session, lambda: running.doorbell.ring(JOB_QUEUED))
        view = job_view(session, job)
    return json_response(view, 202)


async def _patch(request: Request, running: Running) -> bytes:
    """Read the body, which may be left out."""
    if request.headers.get("content-length") == "0" or not (
        "content-length" in request.headers or "transfer-encoding" in request.headers
    ):
        return b""
    return await json_body(request, max_bytes=running.settings.limits.max_body_bytes)


@router.post(
    "/{job_id}/rerun",
    operation_id="rerun_job",
    summary="Run a job again",
    status_code=202,
    responses={
        200: {"model": JobOut, "description": "The new job, ended within the time that Prefer: wait gave."},
        202: {"model": JobOut, "description": "The new job, accepted."},
        **documented(401, 404, 413, 415, 422),
    },
    openapi_extra={
        "requestBody": {
            "required": False,
            "description": "What is to be different, as a merge patch (RFC 7396) of the spec as it was sent.",
            "content": {
                "application/merge-patch+json": {
                    "schema": {"type": "object"},
                    "examples": {
                        "lower": {
                            "summary": "The same with a lower learning rate",
                            "value": {"optimizer": {"lr": 0.001}},
                        }
                    },
                }
            },
        }
    },
)
async def rerun(
    running: Running,
    caller: Calling,
    job_id: str,
    patch: Annotated[bytes, Depends(_patch)],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Submit the spec of a job once more, with the same seed: it repeats the fit, but for what the body changes."""
    new_id = await run_in_threadpool(_rerun, running, caller, job_id, patch, idempotency_key)
    return await accepted(running, caller.owner, new_id, prefer)


def _rerun(running: Context, caller: Caller, job_id: str, patch: bytes, key: str | None) -> str:
    owner = caller.owner
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        body = _body_again(session, job, patch)
        plan = parse(body, running.settings.limits, DatabaseLibrary(session, owner))
    texts = service.Texts.of(plan, body)
    with running.database.write() as session:
        again = service.submit(
            session,
            plan=plan,
            body=body,
            owner=owner,
            idempotency_key=key,
            rerun_of=job.id,
            bounds=bounds_of(running, caller),
            texts=texts,
        )
        after_commit(session, lambda: running.doorbell.ring(JOB_QUEUED))
    failpoints.hit("submitted")
    return again.id


def _body_again(session: Session, job: Job, patch: bytes) -> bytes:
    try:
        return orjson.dumps(_spec_again(session, job, patch))
    except (orjson.JSONEncodeError, RecursionError):
        message = "The changes are nested more deeply than any spec is."
        raise InvalidRequest([Problem("", "invalid_json", message, "Send fewer levels.")]) from None


def _spec_again(session: Session, job: Job, patch: bytes) -> Any:  # noqa: ANN401 - JSON
    """Give the spec to submit: the completed one as it is, or the one that was sent with changes.

    What the service filled in follows from the rest, so it must not outlive a change; but the seed stays.
    """
    if not patch:
        named = {
            "name": job.name,
            "metadata": repository.metadata_of(session, [job.seq])[job.seq],
            "priority": job.priority,
        }
        return {**named, **orjson.loads(repository.spec_text(session, [job.seq])[job.seq])}
    sent = orjson.loads(repository.sent_text(session, job))
    sent.setdefault("training", {}).setdefault("seed", job.seed)
    return merged(sent, _read_patch(patch))


def _read_patch(patch: bytes) -> Mapping[str, Any]:
    try:
        changes = orjson.loads(patch)
    except orjson.JSONDecodeError as error:
        message = f"The body is no JSON: {error}."
        raise InvalidRequest(
            [Problem("", "invalid_json", message, "Send JSON, or no body at all.")]
        ) from None
    if not isinstance(changes, dict):
        hint = 'Send what is to be different, such as {"optimizer": {"lr": 0.001}}.'
        raise InvalidRequest([Problem("", "wrong_type", "The changes are no object.", hint)])
    return changes


def merged(value: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """Apply a merge patch (RFC 7396): objects are merged, null removes a member, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result
