"""Jobs: submit, validate, list, get, delete."""

import re
import time
from typing import Annotated, Any, NamedTuple

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from service import failpoints
from service.api import examples
from service.api.bodies import INLINE_BYTES, declared_type, json_body, request_body
from service.api.changes import News
from service.api.context import Calling, Context, Owner, Running, bounds_of
from service.api.enclosed import enclosed
from service.api.forms import FORM
from service.api.keyring import Caller
from service.api.pages import fitting, listed
from service.api.problems import documented
from service.api.schemas import Job as JobOut
from service.api.schemas import JobList, Validation
from service.api.submissions import MAX_WAIT_SECONDS, IdempotencyKey, Prefer, accepted_view, preferred_wait
from service.api.views import job_view, job_views, json_response, new_job_view
from service.db import after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED
from service.exceptions import InvalidRequest, Problem
from service.exports.store import ExportStore
from service.jobs import repository, service, workers
from service.jobs.library import DatabaseLibrary
from service.jobs.lifecycle import TERMINAL, Status
from service.jobs.orm import Job
from service.jobs.repository import JobFilter
from service.spec.advice import advice
from service.spec.estimates import estimated_seconds, job_bytes
from service.spec.intake import check, parse, read
from service.spec.job import JobSpec
from service.spec.library import EmptyLibrary
from service.spec.plan import Plan
from service.spec.stored import StoredData

__all__ = ["accepted", "router"]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MAX_METADATA = 16
_METADATA = re.compile(r"metadata\[(.+)\]", re.DOTALL)
_JOB: dict[str, Any] = {"model": JobOut}


async def _plan(request: Request, running: Running, owner: Owner) -> tuple[bytes, Plan]:
    """Read the spec from the body and check it; off the event loop where it is large or refers to something."""
    limits = running.settings.limits
    body = await json_body(request, max_bytes=limits.max_body_bytes)
    if len(body) > INLINE_BYTES:
        return body, await run_in_threadpool(_checked, body, running, owner)
    spec = read(body, limits)
    if isinstance(spec.data, StoredData) or spec.model.init_from_job is not None:
        return body, await run_in_threadpool(_checked, body, running, owner)
    return body, check(spec, limits, EmptyLibrary())


def _checked(body: bytes, running: Context, owner: str) -> Plan:
    with running.database.read() as session:
        return parse(body, running.settings.limits, DatabaseLibrary(session, owner))


Sent = Annotated[tuple[bytes, Plan], Depends(_plan)]


def _submission() -> dict[str, Any]:
    """Describe the two forms of a submission."""
    described = request_body(JobSpec, examples.JOBS)
    described["requestBody"]["content"][FORM] = {
        "schema": {
            "type": "object",
            "required": ["spec", "data"],
            "properties": {
                "spec": {"type": "string", "description": "The spec as JSON, without the rows."},
                "data": {
                    "type": "string",
                    "format": "binary",
                    "description": "The rows, in any format of POST /v1/datasets.",
                },
            },
        }
    }
    return described


@router.post(
    "",
    operation_id="submit_job",
    summary="Submit a job",
    status_code=202,
    responses={
        200: {**_JOB, "description": "The job, ended within the time that Prefer: wait gave."},
        202: {
            **_JOB,
            "description": "The job, accepted: it will be trained, whatever happens to the service.",
        },
        **documented(401, 413, 415, 422, 507),
    },
    openapi_extra=_submission(),
)
async def submit(
    request: Request,
    running: Running,
    caller: Calling,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Queue a job and answer 202, or wait for its end as `Prefer: wait` asks.

    The rows may come as a file beside the spec: a form with the parts `spec` and `data`, in this order.
    """
    if declared_type(request) == FORM:
        try:
            coming = await enclosed(request, running, caller.owner, idempotency_key)
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody is there to read it.
        if isinstance(coming, str):
            return await accepted(running, caller.owner, coming, prefer)
        body, plan, texts = coming.body, coming.plan, coming.texts
    else:
        body, plan = await _plan(request, running, caller.owner)
        texts = None
    wait, job_id = preferred_wait(prefer), service.new_id()
    # Watched before it is there: its end is not missed, and it need not be looked at before.
    with running.changes.of(job_id, end_only=True) as news:
        seen = await run_in_threadpool(_submit, running, caller, body, plan, texts, idempotency_key, job_id)
        if seen.view["id"] == job_id:
            seen = await _ended(running, caller.owner, seen, news, time.monotonic() + wait)
            return accepted_view(seen.view, wait)
    return await accepted(running, caller.owner, seen.view["id"], prefer)


async def accepted(running: Context, owner: str, job_id: str, prefer: str | None) -> Response:
    """Answer for a job that is queued: 202 at once, or when it has ended as `Prefer: wait` asks."""
    wait = preferred_wait(prefer)
    seen = await _when_ended(running, owner, job_id, wait)
    return accepted_view(seen.view, wait)


def _submit(
    running: Context,
    caller: Caller,
    body: bytes,
    plan: Plan,
    texts: service.Texts | None,
    key: str | None,
    job_id: str,
) -> "_Seen":
    texts = texts or service.Texts.of(plan, body)

    def queue(session: Session) -> Job:
        job = service.submit(
            session,
            plan=plan,
            body=body,
            owner=caller.owner,
            idempotency_key=key,
            bounds=bounds_of(running, caller),
            texts=texts,
            job_id=job_id,
        )
        after_commit(session, lambda: running.doorbell.ring(JOB_QUEUED))
        return job

    job = running.shared_writes.write(queue)
    failpoints.hit("submitted")
    with running.database.read() as session:
        if job.id == job_id:
            return _Seen(new_job_view(session, job, texts.effective, plan.spec.metadata), job.version)
        return _Seen(job_view(session, job), job.version)


class _Seen(NamedTuple):
    """A job as it was at some moment."""

    view: dict[str, Any]
    version: int


async def _when_ended(running: Context, owner: str, job_id: str, seconds: float) -> _Seen:
    """Give the job's view and version once it has ended, or as it is after the time given."""
    until = time.monotonic() + seconds
    with running.changes.of(job_id, end_only=True) as news:
        seen = await run_in_threadpool(_view, running, owner, job_id)
        return await _ended(running, owner, seen, news, until)


async def _ended(running: Context, owner: str, seen: _Seen, news: News, until: float) -> _Seen:
    """Wait for the end of a job that was seen since `news` watches it."""
    while not seen.view["terminal"] and time.monotonic() < until and not running.changes.stopping:
        await news.wait(until)
        is_over = time.monotonic() >= until or running.changes.stopping
        seen = await run_in_threadpool(_look, running, owner, seen, is_over)
    return seen


def _look(running: Context, owner: str, seen: _Seen, is_over: bool) -> _Seen:  # noqa: FBT001 - a thread's function takes its arguments by position
    """Look at the state alone while it has not ended: a waiting request looks often, and a spec may be megabytes."""
    job_id = seen.view["id"]
    with running.database.read() as session:
        if not is_over and service.status_of(session, job_id, owner=owner) not in TERMINAL:
            return seen
    return _view(running, owner, job_id)


def _view(running: Context, owner: str, job_id: str) -> _Seen:
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        return _Seen(job_view(session, job), job.version)


@router.post(
    "/validate",
    operation_id="validate_job",
    summary="Check a spec without running it",
    responses={200: {"model": Validation}, **documented(401, 413, 415, 422)},
    openapi_extra=request_body(JobSpec, examples.JOBS),
)
async def validate(running: Running, _owner: Owner, sent: Sent) -> Response:
    """Tell every problem of a spec at once, or its completed form with what it will take."""
    return json_response(await run_in_threadpool(_validation, running, sent[1]))


def _validation(running: Context, plan: Plan) -> dict[str, Any]:
    with running.database.read() as session:
        measured = [worker.about.get("step_seconds") for worker in workers.listed(session)]
    step_seconds = next((one for one in measured if one), None)
    return {
        "object": "validation",
        "valid": True,
        "spec": orjson.Fragment(plan.spec.to_text()),
        "parameters": plan.parameter_count,
        "peak_bytes": job_bytes(plan),
        "estimated_seconds": estimated_seconds(plan, step_seconds=step_seconds),
        "warnings": advice(plan),
    }


def _metadata_filter(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.items():
        if name.startswith("metadata"):
            match = _METADATA.fullmatch(name)
            if match is None:
                hint = "Write metadata[key]=value, with the brackets escaped as %5B and %5D where your client wants it."
                raise InvalidRequest(
                    [Problem(None, "invalid_parameter", f"`{name[:80]}` is no filter.", hint, name[:80])]
                )
            found[match[1]] = value
    if len(found) > MAX_METADATA:
        message = f"There are {len(found)} metadata filters; no job has more than {MAX_METADATA} pairs."
        raise InvalidRequest([Problem(None, "limit_exceeded", message, "Ask for fewer.", "metadata")])
    return found


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs, newest first",
    responses={200: {"model": JobList}, **documented(401, 422)},
    openapi_extra={
        "parameters": [
            {
                "name": "metadata",
                "in": "query",
                "style": "deepObject",
                "explode": True,
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
                "description": "`metadata[key]=value`: only jobs with this pair; several must all match.",
            }
        ]
    },
)
def list_jobs(  # noqa: PLR0913 - one argument for each query parameter
    running: Running,
    owner: Owner,
    metadata: Annotated[dict[str, str], Depends(_metadata_filter)],
    *,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs in one page.")] = 20,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
    status: Annotated[list[Status] | None, Query(description="Only these states.")] = None,
    name: Annotated[str | None, Query(description="Only jobs of this name.")] = None,
    sweep: Annotated[str | None, Query(description="Only the jobs of this sweep, by its id.")] = None,
) -> Response:
    """List jobs by cursor, so that new jobs do not shift the pages."""
    only = JobFilter(statuses=status or (), name=name, metadata=metadata, sweep_id=sweep)
    with running.database.read() as session:
        jobs, has_more = service.list_jobs(session, owner=owner, limit=limit, after=after, only=only)
        sizes = repository.spec_sizes(session, [job.seq for job in jobs])
        data = job_views(session, fitting(jobs, sizes))
    return listed(data, has_more=has_more or len(data) < len(jobs))


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Get a job",
    responses={
        200: _JOB,
        304: {"description": "Not changed since the ETag in If-None-Match."},
        **documented(401, 404, 422),
    },
)
async def get(
    running: Running,
    owner: Owner,
    job_id: str,
    *,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the job's end.")
    ] = 0.0,
    if_none_match: Annotated[
        str | None, Header(description="An ETag: 304 if the job has not changed.")
    ] = None,
) -> Response:
    """Tell how a job is; with `wait`, answer when it has ended or the time is over."""
    view, version = await _when_ended(running, owner, job_id, wait)
    ahead = view["queue"]["jobs_ahead"] if view["queue"] else 0
    # Weak, because the queue in front of a job moves without a change of the job itself.
    etag = f'W/"{version}-{ahead}"'
    known = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    if etag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers={"ETag": etag})
    return json_response(view, headers={"ETag": etag})


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    summary="Delete a job that has ended",
    status_code=204,
    responses={204: {"description": "The job and all it owned are gone."}, **documented(401, 404, 409)},
)
def delete(running: Running, owner: Owner, job_id: str) -> Response:
    """Remove a job with its history, events and parameters."""
    with running.database.write() as session:
        service.delete(session, job_id, owner=owner)
        after_commit(session, lambda: running.doorbell.ring(JOB_CHANGED, job_id))
        after_commit(session, running.names.forget)
    ExportStore(running.settings.exports_dir, max_bytes=0).remove(job_id)
    return Response(status_code=204)
