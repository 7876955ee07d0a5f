"""The names of this service: which Host headers are for it, and which pages of other sites may call it.

Both rules are for browsers. A page of any site can have its visitor's browser call 127.0.0.1. It can also have
its own name lead there (DNS rebinding): then the browser takes the service for a part of that site, and only the
Host header still tells the truth.
"""

import functools
import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import error_response
from service.exceptions import CrossOrigin, WrongHost
from service.settings import Settings, is_loopback

__all__ = ["Authority", "CrossOriginGuard", "HostGuard", "allowed_host", "authority_of", "same_place"]

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{0,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Authority(NamedTuple):
    """A host, in one way of writing, and a port: None where none is written."""

    host: str
    port: int | None


def authority_of(text: str) -> Authority | None:
    """Read what stands in a Host header, such as `[::1]:8000`; None for what is none.

    Case and a trailing dot mean nothing, and an address has many spellings: all come out as one.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host = found["host"].lower().removesuffix(".")
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            return None
    return Authority(host, int(found["port"]) if found["port"] else None) if host else None


def allowed_host(settings: Settings) -> Callable[[bytes], bool]:
    """Give the test that a Host header has to pass. It remembers what it saw: nearly all callers send the same."""
    if "*" in settings.allowed_hosts:
        return lambda _header: True
    named = {authority_of(name) or Authority(name.lower(), None) for name in settings.allowed_hosts}
    # The address that is listened on, which for IPv6 is written without brackets.
    own = authority_of(settings.host) or authority_of(f"[{settings.host}]")
    hosts = {one.host for one in named if one.port is None} | ({own.host} if own else set())
    everywhere = settings.host in {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not listened on

    @functools.lru_cache(maxsize=1024)
    def allowed(header: bytes) -> bool:
        sent = authority_of(header.decode("latin-1"))
        if sent is None:
            return False
        # Which addresses are this machine's is not known when it listens on all. An address is no name that
        # somebody could have lead here, so that any of them is as good.
        known = sent.host in hosts or sent in named or is_loopback(sent.host)
        return known or (everywhere and _is_address(sent.host))

    return allowed


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class HostGuard:
    """Middleware that answers only requests for a name of this service; 421 for others."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._allowed = allowed_host(settings)
        self._any = "*" in settings.allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan" or self._any:
            await self._app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        # A request with two hosts means one thing to a proxy and another to what stands behind it.
        if len(hosts) == 1 and self._allowed(hosts[0]):
            await self._app(scope, receive, send)
            return
        name = hosts[0].decode("latin-1")[:80] if len(hosts) == 1 else ""
        what = f"`{name}` is not a name of this service." if name else "The request does not name one host."
        await error_response(WrongHost(what))(scope, receive, send)


@functools.lru_cache(maxsize=1024)
def same_place(origin: bytes, host: bytes) -> bool:
    """Tell whether an Origin header names the place that a Host header does.

    The scheme may differ: behind a proxy with TLS only the browser knows it. A host without a port means
    the default port of the origin's scheme.
    """
    scheme, _, rest = origin.decode("latin-1").partition("://")
    there, here = authority_of(rest), authority_of(host.decode("latin-1"))
    default = _DEFAULT_PORTS.get(scheme.lower())
    if there is None or here is None or default is None:
        return False
    return there.host == here.host and (there.port or default) == (here.port or default)


_EXPOSED = (
    b"ETag, Location, Preference-Applied, Retry-After, Content-Disposition, Link, Fitd-Model-Version, "
    b"Fitd-Checkpoint-Epoch, Inference-Header-Content-Length"
)
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        (
            b"Authorization, Content-Type, Content-Encoding, Idempotency-Key, If-Match, If-None-Match, "
            b"Inference-Header-Content-Length, Last-Event-ID, Prefer"
        ),
    ),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]


class CrossOriginGuard:
    """Middleware that refuses changes which a page of another site asks for, unless its origin is listed.

    Listed origins also get the answers that a browser wants before it lets a page read anything (CORS).
    Credentials are not among them: a key is sent in a header, by a page that has one.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._listed = frozenset(origin.lower().encode() for origin in settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = site = host = preflight = None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"host":
                host = value
            elif name == b"access-control-request-method":
                preflight = value
        if origin is not None and origin.lower() in self._listed:
            await self._serve_listed(scope, receive, send, origin=origin, preflight=preflight is not None)
            return
        foreign = site == b"cross-site" or (origin is not None and not same_place(origin, host or b""))
        if foreign and scope["method"] not in _SAFE:
            await error_response(_refusal(origin))(scope, receive, send)
            return
        await self._app(scope, receive, _varying(send) if self._listed else send)

    async def _serve_listed(
        self, scope: Scope, receive: Receive, send: Send, *, origin: bytes, preflight: bool
    ) -> None:
        shared = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        if preflight and scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": [*shared, *_PREFLIGHT]})
            await send({"type": "http.response.body", "body": b""})
            return
        added = [*shared, (b"access-control-expose-headers", _EXPOSED)]

        async def sharing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, sharing)


def _varying(send: Send) -> Send:
    """Tell caches that a listed origin would have got another answer."""

    async def varying(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"vary", b"Origin")]
        await send(message)

    return varying


def _refusal(origin: bytes | None) -> CrossOrigin:
    who = f"A page of `{origin.decode('latin-1')[:80]}`" if origin else "A page of another site"
    return CrossOrigin(f"{who} asked for a change of what is kept here.")
