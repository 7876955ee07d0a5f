"""The short way of predictions in foreign protocols: no search for the route, no dependencies, all else as ever.

To find one route among all, and to resolve what its endpoint depends on, takes a framework longer than these requests
take themselves. What answers is the same function that the endpoint calls.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.context import CALLER, Context, admitted
from service.api.lane import CountedAs, bearer_secret, plain_headers
from service.api.scoring import scored
from service.api.tensor_protocol import LENGTH, Called, inferred
from service.exceptions import ServiceError

__all__ = ["ProtocolLane"]

_INFER = CountedAs("/v2/models/{name}/infer")
_INFER_VERSION = CountedAs("/v2/models/{name}/versions/{version}/infer")
_SCORE = CountedAs("/invocations")
_SCORE_MODEL = CountedAs("/v1/models/{name}/invocations")
_LENGTH = LENGTH.lower().encode()
_OF_MODEL = re.compile(rb"(?:model=(?P<name>[A-Za-z0-9._-]{1,200}))?")
"""The queries of /invocations that need no decoding."""
Answer = Callable[[Context, str, Request], Awaitable[Response]]
"""Answers the request of an owner."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A request for a prediction.

    Attributes:
        route: The one that it would take.
        secret: What was sent as bearer token.
        answer: Gives the answer to an owner.
    """

    route: CountedAs
    secret: bytes | None
    answer: Answer


class ProtocolLane:
    """Middleware that answers predictions in foreign protocols, and hands all other requests on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        call = _call_of(scope) if scope["type"] == "http" else None
        if call is None:
            await self._app(scope, receive, send)
            return
        running: Context = scope["app"].state.context
        request = Request(scope, receive)
        scope["route"] = call.route
        try:
            caller = scope[CALLER] = await admitted(running, call.secret, scope)
            answer = await call.answer(running, caller.owner, request)
        except ServiceError as error:
            answer = await scope["app"].exception_handlers[ServiceError](request, error)
        await answer(scope, receive, send)


def _call_of(scope: Scope) -> _Call | None:
    """Look at a request; None where it is not for the short way."""
    if scope["method"] != "POST" or not scope["path"].endswith(("/infer", "/invocations")):
        return None
    headers = plain_headers(scope["headers"])
    secret = None if headers is None else bearer_secret(headers.get(b"authorization"))
    found = None if headers is None or secret == b"" else _asked(scope, headers)
    return None if found is None else _Call(found[0], secret, found[1])


def _asked(scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[CountedAs, Answer] | None:
    """Tell by path and query what is asked for."""
    parts, query = scope["path"].split("/"), scope["query_string"]
    if not all(parts[1:]) or (query and len(parts) > 2):  # noqa: PLR2004 - only /invocations takes any
        return None
    match parts:
        case ["", "v2", "models", name, "infer"]:
            return _INFER, _inferring(name, None, headers)
        case ["", "v2", "models", name, "versions", version, "infer"]:
            return _INFER_VERSION, _inferring(name, version, headers)
        case ["", "v1", "models", name, "invocations"]:
            return _SCORE_MODEL, _scoring(name)
        case ["", "invocations"]:
            plain = _OF_MODEL.fullmatch(query)
            return None if plain is None else (_SCORE, _scoring(plain["name"]))
        case _:
            return None


def _inferring(name: str, version: str | None, headers: Mapping[bytes, bytes]) -> Answer:
    sent = headers.get(_LENGTH)
    length = None if sent is None else sent.decode("latin-1")

    async def answer(running: Context, owner: str, request: Request) -> Response:
        return await inferred(running, request, Called(owner, name, version, length))

    return answer


def _scoring(name: str | bytes | None) -> Answer:
    model = name.decode("ascii") if isinstance(name, bytes) else name

    async def answer(running: Context, owner: str, request: Request) -> Response:
        return await scored(running, owner, request, (model, None))

    return answer
