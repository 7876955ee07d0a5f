"""Sweeps: submit, list, get, delete, and ask for all of one's jobs to stop, to pause and to go on."""

import contextlib
import functools
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service import failpoints
from service.api import examples
from service.api.bodies import json_body, request_body
from service.api.context import Calling, Context, Owner, Running, bounds_of
from service.api.keyring import Caller
from service.api.pages import fitting, listed
from service.api.problems import documented
from service.api.submissions import (
    MAX_WAIT_SECONDS,
    IdempotencyKey,
    Prefer,
    accepted_view,
    end_awaited,
    preferred_wait,
)
from service.api.sweep_schemas import Sweep as SweepOut
from service.api.sweep_schemas import SweepList
from service.api.sweep_views import sweep_view, sweep_views
from service.api.views import json_response
from service.db import after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED
from service.exceptions import DatabaseBusy
from service.jobs.library import DatabaseLibrary
from service.sweeps import repository, service
from service.sweeps.advancing import Advancer
from service.sweeps.intake import check, read
from service.sweeps.lifecycle import TERMINAL, SweepStatus
from service.sweeps.orm import Sweep
from service.sweeps.spec import SweepSpec

__all__ = ["router"]

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

STEPS = 4
"""Transactions that a request makes for the jobs of a sweep; what is left of a large one is the workers' work."""
_SWEEP: dict[str, Any] = {"model": SweepOut}
_ASKED: dict[int | str, dict[str, Any]] = {202: _SWEEP, **documented(401, 404, 409)}


@router.post(
    "",
    operation_id="submit_sweep",
    summary="Submit a sweep",
    status_code=202,
    responses={
        200: {**_SWEEP, "description": "The sweep, ended within the time that Prefer: wait gave."},
        202: {
            **_SWEEP,
            "description": "The sweep, accepted: its trials will be trained, whatever happens to the service.",
        },
        **documented(401, 413, 415, 422),
    },
    openapi_extra=request_body(SweepSpec, examples.SWEEPS),
)
async def submit(
    running: Running,
    caller: Calling,
    request: Request,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Begin a sweep and answer 202, or wait for its end as `Prefer: wait` asks."""
    body = await json_body(request, max_bytes=running.settings.limits.max_body_bytes)
    sweep_id = await run_in_threadpool(_submit, running, caller, body, idempotency_key)
    wait = preferred_wait(prefer)
    view = await _when_ended(running, caller.owner, sweep_id, wait)
    return accepted_view(view, wait)


def _submit(running: Context, caller: Caller, body: bytes, key: str | None) -> str:
    spec = read(body)
    with running.database.read() as session:
        check(spec, running.settings.limits, DatabaseLibrary(session, caller.owner))
    with running.database.write() as session:
        sweep = service.submit(
            session,
            spec=spec,
            body=body,
            owner=caller.owner,
            idempotency_key=key,
            bounds=bounds_of(running, caller),
        )
        # A worker that hears it brings the sweep on, whatever becomes of this process.
        after_commit(session, lambda: running.doorbell.ring(JOB_QUEUED))
    failpoints.hit("submitted")
    _advance(running, sweep.id)
    return sweep.id


def _advance(running: Context, sweep_id: str) -> None:
    """Begin at once with what a worker does at its next look: of most sweeps, the answer then tells all of it."""
    advancer = Advancer(running.database, limits=running.settings.limits, doorbell=running.doorbell)
    with contextlib.suppress(DatabaseBusy):
        advancer.advance(sweep_id, steps=STEPS)


async def _when_ended(running: Context, owner: str, sweep_id: str, seconds: float) -> dict[str, Any]:
    """Give the sweep's view once it has ended, or as it is after the time given."""
    ended = functools.partial(_has_ended, running, owner, sweep_id)
    await end_awaited(running, sweep_id, seconds, has_ended=ended)
    return await run_in_threadpool(_view, running, owner, sweep_id)


def _has_ended(running: Context, owner: str, sweep_id: str) -> bool:
    with running.database.read() as session:
        return service.status_of(session, sweep_id, owner=owner) in TERMINAL


def _view(running: Context, owner: str, sweep_id: str) -> dict[str, Any]:
    with running.database.read() as session:
        return sweep_view(session, service.get(session, sweep_id, owner=owner))


@router.get(
    "",
    operation_id="list_sweeps",
    summary="List sweeps, newest first",
    responses={200: {"model": SweepList}, **documented(401, 422)},
)
def list_sweeps(
    running: Running,
    owner: Owner,
    *,
    limit: Annotated[int, Query(ge=1, le=100, description="Sweeps in one page.")] = 20,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
    status: Annotated[list[SweepStatus] | None, Query(description="Only these states.")] = None,
    name: Annotated[str | None, Query(description="Only sweeps of this name.")] = None,
) -> Response:
    """List sweeps by cursor, so that new ones do not shift the pages."""
    with running.database.read() as session:
        found, has_more = service.list_sweeps(
            session, owner=owner, limit=limit, after=after, statuses=status or (), name=name
        )
        sizes = repository.spec_sizes(session, [sweep.seq for sweep in found])
        data = sweep_views(session, fitting(found, sizes))
    return listed(data, has_more=has_more or len(data) < len(found))


@router.get(
    "/{sweep_id}",
    operation_id="get_sweep",
    summary="Get a sweep",
    responses={200: _SWEEP, **documented(401, 404, 422)},
)
async def get(
    running: Running,
    owner: Owner,
    sweep_id: str,
    *,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the sweep's end.")
    ] = 0.0,
) -> Response:
    """Tell how a sweep is, with its best trial; with `wait`, answer when it has ended or the time is over."""
    return json_response(await _when_ended(running, owner, sweep_id, wait))


@router.delete(
    "/{sweep_id}",
    operation_id="delete_sweep",
    summary="Delete a sweep that has ended",
    status_code=204,
    responses={204: {"description": "The sweep and its jobs are gone."}, **documented(401, 404, 409)},
)
def delete(running: Running, owner: Owner, sweep_id: str) -> Response:
    """Remove a sweep with its jobs, and their history, events and parameters."""
    with running.database.write() as session:
        service.delete(session, sweep_id, owner=owner)
        after_commit(session, lambda: running.doorbell.ring(JOB_CHANGED, sweep_id))
        after_commit(session, running.names.forget)
    return Response(status_code=204)


@router.post(
    "/{sweep_id}/cancel",
    operation_id="cancel_sweep",
    summary="Cancel a sweep",
    status_code=202,
    responses=_ASKED,
)
def cancel(running: Running, owner: Owner, sweep_id: str) -> Response:
    """Ask a sweep to stop: no trial is added, and all that have not ended are cancelled. Those that have keep their results."""
    return _asked(running, owner, sweep_id, service.cancel)


@router.post(
    "/{sweep_id}/pause",
    operation_id="pause_sweep",
    summary="Pause a sweep",
    status_code=202,
    responses=_ASKED,
)
def pause(running: Running, owner: Owner, sweep_id: str) -> Response:
    """Ask a sweep to stand still: no trial is added, and all that have not ended are paused."""
    return _asked(running, owner, sweep_id, service.pause)


@router.post(
    "/{sweep_id}/resume",
    operation_id="resume_sweep",
    summary="Resume a sweep",
    status_code=202,
    responses=_ASKED,
)
def resume(running: Running, owner: Owner, sweep_id: str) -> Response:
    """Let a paused sweep go on, with all of its jobs that stand still."""
    return _asked(running, owner, sweep_id, service.resume)


def _asked(running: Context, owner: str, sweep_id: str, verb: Callable[..., Sweep]) -> Response:
    with running.database.write() as session:
        verb(session, sweep_id, owner=owner)
        after_commit(session, lambda: running.doorbell.ring(JOB_QUEUED))
    _advance(running, sweep_id)
    return json_response(_view(running, owner, sweep_id), 202)
