"""What submissions have in common, of jobs, sweeps and predictions: their headers, the wait for the end, the answer."""

import re
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Response
from starlette.concurrency import run_in_threadpool

from service.api.context import Context
from service.api.views import json_response

__all__ = ["MAX_WAIT_SECONDS", "IdempotencyKey", "Prefer", "accepted_view", "end_awaited", "preferred_wait"]

MAX_WAIT_SECONDS = 60.0
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="The same key with the same body gives the same job again."
    ),
]
Prefer = Annotated[
    str | None,
    Header(description="`wait=10` answers when the job has ended, or after 10 seconds, whichever is first."),
]


def preferred_wait(prefer: str | None) -> float:
    """Read `wait` from a Prefer header (RFC 7240); what is not understood is ignored, as the RFC asks."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d+)?)", prefer or "")
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else 0.0


async def end_awaited(
    running: Context, thing: str, seconds: float, *, has_ended: Callable[[], bool], end_only: bool = False
) -> None:
    """Wait until something has ended, or the time given is over, or the service stops.

    Args:
        running: The service.
        thing: Id of what is waited for.
        seconds: How long at most.
        has_ended: Looks; called in a thread, whenever there is news.
        end_only: Sleep through its progress.
    """
    until = time.monotonic() + seconds
    with running.changes.of(thing, end_only=end_only) as news:
        while seconds and time.monotonic() < until and not running.changes.stopping:
            if await run_in_threadpool(has_ended):
                return
            await news.wait(until)


def accepted_view(view: dict[str, Any], wait: float) -> Response:
    """Answer with what was submitted: 202, or 200 if it has ended within the time that was asked for."""
    headers = {"Location": view["links"]["self"]}
    if wait:
        headers["Preference-Applied"] = f"wait={wait:g}"
    return json_response(view, 200 if wait and view["terminal"] else 202, headers)
