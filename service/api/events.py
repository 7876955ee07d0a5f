"""A job's events as a stream (server-sent events), resumable without gap or repeat."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Response
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.api.context import Calling, Context, Running, Secret
from service.api.keyring import Caller
from service.api.problems import documented
from service.api.views import event_view
from service.exceptions import DatabaseBusy
from service.jobs import repository, service
from service.jobs.lifecycle import TERMINAL, Status
from service.jobs.orm import JobEvent

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["results"])

BATCH = 100
KEEPALIVE_SECONDS = 15.0
"""A comment is sent after so long a silence, so that proxies keep the connection."""

LastEventId = Annotated[
    int,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=2**63 - 1,
        description="Id of the last event seen: what follows is sent.",
    ),
]


@router.get(
    "/{job_id}/events",
    operation_id="stream_events",
    summary="Follow a job",
    response_class=Response,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/EventMessage"}}},
            "description": "Messages; the `data` of each is an Event as JSON. The stream ends after the job's last event.",
        },
        204: {"description": "The last event was seen: there is nothing to follow any more."},
        **documented(401, 404, 422),
    },
)
async def events(
    running: Running, caller: Calling, secret: Secret, job_id: str, last_event_id: LastEventId = 0
) -> Response:
    """Stream status changes, history and log lines as they happen, from the beginning or after `Last-Event-ID`."""
    first, ended = await run_in_threadpool(_load, running, caller.owner, job_id, last_event_id)
    if ended and not first:
        # A browser's EventSource reconnects for ever, unless it is told that there is no content.
        return Response(status_code=204)
    stream = _stream(running, caller, secret, job_id, last_event_id)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _stream(
    running: Context, caller: Caller, secret: bytes | None, job_id: str, last: int
) -> AsyncIterator[bytes]:
    """Send what is there, wait for news, repeat; no database session is held while waiting.

    A key that is revoked meanwhile ends the stream: who holds it is told so when he comes back.
    """
    spoke = time.monotonic()
    with running.changes.of(job_id) as news:
        while not running.changes.stopping:
            try:
                if not await running.keyring.still_admits(caller, secret):
                    return
                loaded, ended = await run_in_threadpool(_load, running, caller.owner, job_id, last)
            except DatabaseBusy:
                loaded, ended = [], False  # It passes: whoever follows need not notice.
            for event_id, chunk in loaded:
                yield chunk
                last = event_id
            if ended and len(loaded) < BATCH:
                return
            spoke = time.monotonic() if loaded else spoke
            if time.monotonic() - spoke > KEEPALIVE_SECONDS:
                yield KEEPALIVE_COMMENT
                spoke = time.monotonic()
            if len(loaded) < BATCH:
                await news.wait()


def _load(running: Context, owner: str, job_id: str, last: int) -> tuple[list[tuple[int, bytes]], bool]:
    """Read the next events, ready to send, and whether the job has ended."""
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        loaded = repository.events_after(session, job, last, limit=BATCH)
        chunks = [(event.id, _encoded(event, event_view(event, history))) for event, history in loaded]
        return chunks, Status(job.status) in TERMINAL


def _encoded(event: JobEvent, view: dict[str, object]) -> bytes:
    data = orjson.dumps(view, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z).decode()
    return format_sse_event(data_str=data, event=event.type, id=str(event.id))
