"""The short way of a small prediction through the API: no routing, no dependencies, no models, the same answer.

What a framework does for each request takes longer than a small prediction does. So the commonest request, a few rows as
plain JSON for a model that is loaded, is answered before the framework sees it. It passes the same guards as all others,
which stand around this one, and the same keyring. As in `spec.packed`, nothing here refuses a body: where anything is
unusual, the request goes on as it came, and the ordinary way tells what is wrong with it.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import CALLER, Context, admitted
from service.api.predicting import by_column, by_row
from service.api.problems import error_response
from service.api.served import INLINE_SECONDS, Reference, Served, hot
from service.exceptions import ServiceError

if TYPE_CHECKING:
    from service.inference.predictor import Predicted

__all__ = ["CountedAs", "PredictLane", "bearer_secret", "plain_headers"]

MOST_BYTES = 16 * 2**10
"""A larger body is no small prediction."""
_PLAIN = frozenset({float, int, str, type(None)})
"""Types of values that are what they seem: a truth value or a list needs a second look."""
_ACCEPTED = frozenset({b"*/*", b"application/json"})
_UNUSUAL = frozenset({b"content-encoding", b"transfer-encoding", b"expect"})


@dataclass(frozen=True, slots=True)
class CountedAs:
    """Stands for the route of the ordinary way, where requests are counted by it."""

    path: str


_ROUTES = {
    "jobs": CountedAs("/v1/jobs/{job_id}/predict"),
    "models": CountedAs("/v1/models/{name}/predict"),
}


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that may be for the short way.

    Attributes:
        kind, name: Of what predicts.
        secret: What was sent as bearer token.
        length: Of the body.
    """

    kind: str
    name: str
    secret: bytes | None
    length: int


class PredictLane:
    """Middleware that answers small predictions, and hands all other requests on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        call = _call_of(scope) if scope["type"] == "http" else None
        if call is None:
            await self._app(scope, receive, send)
            return
        running: Context = scope["app"].state.context
        try:
            caller = scope[CALLER] = await admitted(running, call.secret, scope)
        except ServiceError as error:
            scope["route"] = _ROUTES[call.kind]
            await error_response(error)(scope, receive, send)
            return
        served = hot(running, Reference(caller.owner, call.kind, call.name))
        if served is None or call.length > running.settings.limits.max_body_bytes:
            await self._app(scope, receive, send)
            return
        heard = await _heard(receive)
        answer = _answer(served, b"".join(message.get("body", b"") for message in heard))
        if answer is None:
            await self._app(scope, _again(heard, receive), send)
            return
        scope["route"] = _ROUTES[call.kind]
        await answer(scope, receive, send)


def _call_of(scope: Scope) -> _Call | None:
    """Look at a request; None where it is not for the short way."""
    path: str = scope["path"]
    if scope["method"] != "POST" or scope["query_string"] or not path.endswith("/predict"):
        return None
    parts = path.split("/")
    if len(parts) != 5 or parts[1] != "v1" or parts[2] not in _ROUTES:  # noqa: PLR2004 - /v1/{kind}/{name}/predict
        return None
    headers = plain_headers(scope["headers"])
    if headers is None or headers.get(b"content-type") != b"application/json":
        return None
    if headers.get(b"accept", b"*/*") not in _ACCEPTED:
        return None
    length, secret = headers.get(b"content-length", b""), bearer_secret(headers.get(b"authorization"))
    # Eight digits are more than any number that is small enough.
    if not length.isdigit() or len(length) > 8 or int(length) > MOST_BYTES or secret == b"":  # noqa: PLR2004
        return None
    return _Call(parts[2], parts[3], secret, int(length))


def plain_headers(sent: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes] | None:
    """Give the headers by name; None where one is unusual, or comes twice."""
    found = dict(sent)
    return found if len(found) == len(list(sent)) and _UNUSUAL.isdisjoint(found) else None


def bearer_secret(header: bytes | None) -> bytes | None:
    """Give what stands behind `Bearer`; nothing at all where something else is there."""
    if header is None:
        return None
    scheme, _, secret = header.partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""


async def _heard(receive: Receive) -> list[Message]:
    """Hear a whole body, which is short."""
    heard = [await receive()]
    while heard[-1].get("more_body", False):
        heard.append(await receive())
    return heard


def _again(heard: Sequence[Message], receive: Receive) -> Receive:
    """Let somebody else hear what was heard already."""
    rest = iter(heard)

    async def again() -> Message:
        message = next(rest, None)
        return await receive() if message is None else message

    return again


def _answer(served: Served, body: bytes) -> Response | None:
    """Predict; None where the body is anything but a few right rows."""
    try:
        asked = orjson.loads(body)
        if type(asked) is not dict or len(asked) != 1:
            return None
        columns = asked.get("columns")
        return _of_columns(served, columns) if columns is not None else _of_rows(served, asked.get("rows"))
    except (orjson.JSONDecodeError, ServiceError, TypeError):
        return None


def _of_columns(served: Served, columns: Any) -> Response | None:  # noqa: ANN401 - JSON
    if (
        type(columns) is not dict
        or not columns
        or any(type(values) is not list for values in columns.values())
    ):
        return None
    found = _predicted(served, columns)
    return None if found is None else by_column(found, served.source)


def _of_rows(served: Served, rows: Any) -> Response | None:  # noqa: ANN401 - JSON
    if type(rows) is not list or not rows or any(type(row) is not dict for row in rows):
        return None
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        return None
    found = _predicted(served, {name: [row[name] for row in rows] for name in names})
    return None if found is None else by_row(found, served.source, count=len(rows))


def _predicted(served: Served, columns: dict[str, list[Any]]) -> "Predicted | None":
    """Predict; None where it would take long, the columns are others, or a value is no number, text or gap."""
    # What is wrong with the columns would be found out here only to be found out once more by the ordinary way.
    if len(columns) != len(served.predictor.feature_names):
        return None
    rows = max(map(len, columns.values()), default=0)
    if served.predictor.effort.seconds(rows) > INLINE_SECONDS:
        return None
    if not _PLAIN.issuperset(map(type, itertools.chain.from_iterable(columns.values()))):
        return None
    return served.predictor.predict(columns)
