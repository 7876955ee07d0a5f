"""What submissions have in common, of jobs and of sweeps: their headers, and the answer to them."""

import re
from typing import Annotated, Any

from fastapi import Header, Response

from service.api.views import json_response

__all__ = ["MAX_WAIT_SECONDS", "IdempotencyKey", "Prefer", "accepted_view", "preferred_wait"]

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


def accepted_view(view: dict[str, Any], wait: float) -> Response:
    """Answer with what was submitted: 202, or 200 if it has ended within the time that was asked for."""
    headers = {"Location": view["links"]["self"]}
    if wait:
        headers["Preference-Applied"] = f"wait={wait:g}"
    return json_response(view, 200 if wait and view["terminal"] else 202, headers)
