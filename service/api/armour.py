"""What protects every answer and every request alike: headers that bind browsers, and no character NUL."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import error_response, problem_response
from service.exceptions import InvalidRequest, Problem
from service.spec.base import NUL_HINT

__all__ = ["PAGES", "NoNul", "SecurityHeaders"]

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_CSP = b"content-security-policy"
_NOTHING = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STRICT = [*_ALWAYS, (_CSP, _NOTHING + b"; sandbox")]
# A picture opened by itself is a document: it may look as it does, and nothing else.
_PICTURE = [*_ALWAYS, (_CSP, _NOTHING + b"; style-src 'unsafe-inline'; sandbox")]
_SVG = b"image/svg+xml"

PAGES = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
"""Pages with scripts, all of them from this service. Their styles are set by those scripts."""
_PAGE = (
    _NOTHING + b"; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    b"connect-src 'self'; worker-src 'self' blob:; script-src 'self'"
)
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


class SecurityHeaders:
    """Middleware around all others, so that no answer leaves without its headers: none of an error, none of a guard."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in PAGES:
            await self._app(scope, receive, _Page(send).send)
            return

        async def armoured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                message["headers"] = headers + _added(dict(headers))
            await send(message)

        await self._app(scope, receive, armoured)


def _added(headers: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    if _CSP in headers:  # An endpoint knows better what its answer needs.
        return _ALWAYS
    return _PICTURE if headers.get(b"content-type", b"").startswith(_SVG) else _STRICT


class _Page:
    """Sends a page of the documentation with a policy that lets its own scripts run, by their digests, and no others."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Hold the start back until the page is there: it comes in one piece."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            policy = b" ".join([_PAGE, *_digests(message.get("body", b""))])
            self._start["headers"] = [*self._start.get("headers", ()), *_ALWAYS, (_CSP, policy)]
            await self._send(self._start)
            self._start = None
        await self._send(message)


def _digests(page: bytes) -> Iterator[bytes]:
    for script in _INLINE.findall(page):
        yield b"'sha256-" + base64.b64encode(hashlib.sha256(script).digest()) + b"'"


class NoNul:
    """Middleware that refuses the character NUL wherever a request is not its body.

    PostgreSQL's text cannot hold it, and no name, id or key of this service has it. Bodies are held against
    the pattern of the spec.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            if "\0" in scope["path"]:
                # No path of the service has it, so there is nothing at this one.
                hint = "GET /openapi.json lists every path."
                answer = problem_response(404, code="not_found", detail="Not Found.", hint=hint)
                await answer(scope, receive, send)
                return
            if b"%00" in scope["query_string"] or b"\0" in scope["query_string"] or _in_headers(scope):
                await error_response(InvalidRequest(_problems(scope)))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _in_headers(scope: Scope) -> bool:
    return b"\0" in b"".join([value for _, value in scope["headers"]])


def _problems(scope: Scope) -> list[Problem]:
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    named = [name for name, value in pairs if "\0" in name + value]
    named += [name.decode("latin-1") for name, value in scope["headers"] if b"\0" in value]
    return [
        Problem(None, "invalid_text", f"`{shown}` has the character NUL in it.", NUL_HINT, shown)
        for shown in (name.replace("\0", "\\0")[:80] for name in named)
    ]
