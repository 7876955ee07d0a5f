"""The two ways to the service: both do what operations yield, one at once and one in an event loop."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from fitd_client.errors import TransportError
from fitd_client.wire import (
    Effect,
    Emit,
    Form,
    Hear,
    Heard,
    Items,
    Listen,
    NeverSent,
    Pause,
    Request,
    Response,
    Retries,
    Steps,
)

__all__ = ["AsyncConnection", "Connection"]

T = TypeVar("T")
E = TypeVar("E")
_CONNECT_SECONDS = 10.0
_BETWEEN_EVENTS_SECONDS = 60.0
"""The service says something every 15 seconds; after so long a silence the line is taken for dead."""
_PIECE = 2**18
_STREAM = "text/event-stream"
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class _Address:
    """What both connections know of the service."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: Retries,
        trust_env: bool,
        release: Callable[[], None],
    ) -> None:
        self._release = release
        self.url = url.rstrip("/")
        self.retries = retries
        self._timeout = timeout
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._options: dict[str, Any] = {"base_url": self.url, "headers": headers, "trust_env": trust_env}

    def _sent(self, request: Request, *, silence: float = 0.0) -> dict[str, Any]:
        timeout = httpx2.Timeout(self._timeout + request.wait + silence, connect=_CONNECT_SECONDS)
        return {
            "method": request.method,
            "url": request.path,
            "params": dict(request.params),
            "headers": dict(request.headers),
            "timeout": timeout,
            **_content(request.body),
        }

    @contextlib.contextmanager
    def _translated(self, request: Request) -> Iterator[None]:
        try:
            yield
        except _NEVER_SENT as error:
            message = f"There is no connection to fitd at {self.url}: {error}. Is it running?"
            raise NeverSent(message) from error
        except (httpx2.TransportError, httpx2.DecodingError, OSError) as error:
            what = str(error) or type(error).__name__
            message = f"The connection to fitd at {self.url} broke at {request.method} {request.path}: {what}"
            raise TransportError(message) from error
        except httpx2.InvalidURL as error:
            raise TransportError(f"{self.url} is no address: {error}") from error


def _content(body: bytes | Form | Path | None) -> dict[str, Any]:
    if isinstance(body, Form):
        data = (body.filename, body.data, body.media)
        return {"files": {"spec": (None, body.spec, "application/json"), "data": data}}
    return {} if body is None or isinstance(body, Path) else {"content": body}


def _response(answer: httpx2.Response) -> Response:
    return Response(answer.status_code, answer.headers, answer.content)


def _is_stream(answer: httpx2.Response) -> bool:
    return answer.headers.get("content-type", "").startswith(_STREAM)


class Connection(_Address):
    """A connection that waits for each answer.

    It lives as long as anything that asks over it, a client or a handle, and ends with the last of them.
    """

    def __init__(self, url: str, **options: Any) -> None:  # noqa: ANN401 - those of the address
        super().__init__(url, **options)
        self._http = httpx2.Client(**self._options)
        # Whoever forgot to close it, as in a notebook, need not hear of sockets.
        self._end = weakref.finalize(self, _ended, self._http, self._release)

    def close(self) -> None:
        """Close the connections to the service, and do without a local one."""
        self._end()

    def run(self, steps: Steps[T]) -> T:
        """Do what an operation yields, and give what it returns."""
        with contextlib.ExitStack() as streams:
            doing = _Doing(self, streams)
            reply: Callable[[], Effect] = lambda: next(steps)  # noqa: E731 - the first step has no reply
            while True:
                try:
                    effect = reply()
                except StopIteration as end:
                    result: T = end.value
                    return result
                reply = _replied(steps, doing, effect)

    def iterate(self, steps: Items[T]) -> Iterator[T]:
        """Do what an iteration yields, and hand its items on."""
        with contextlib.ExitStack() as streams:
            doing = _Doing(self, streams)
            reply: Callable[[], Effect | Emit[T]] = lambda: next(steps)  # noqa: E731 - the first step has no reply
            while True:
                try:
                    effect = reply()
                except StopIteration:
                    return
                if isinstance(effect, Emit):
                    yield effect.item
                    reply = lambda: next(steps)  # noqa: E731 - an item has no reply
                else:
                    reply = _replied(steps, doing, effect)

    def send(self, request: Request) -> Response:
        """Send one request, once."""
        sent = self._sent(request)
        with contextlib.ExitStack() as files, self._translated(request):
            if isinstance(request.body, Path):
                sent["content"] = files.enter_context(request.body.open("rb"))
            return _response(self._http.request(**sent))

    def listen(self, request: Request, streams: contextlib.ExitStack) -> tuple[Response, Iterator[Heard]]:
        """Open a stream of events, which `streams` closes."""
        sent = self._sent(request, silence=_BETWEEN_EVENTS_SECONDS)
        with self._translated(request):
            answer = streams.enter_context(self._http.stream(**sent))
            if not _is_stream(answer):
                answer.read()
                return _response(answer), iter(())
            return Response(answer.status_code, answer.headers, b""), self._heard(answer, request)

    def _heard(self, answer: httpx2.Response, request: Request) -> Iterator[Heard]:
        with self._translated(request):
            for event in httpx2.EventSource(answer, max_event_size=None):
                yield Heard(event.id, event.data)


def _ended(http: httpx2.Client, release: Callable[[], None]) -> None:
    http.close()
    release()


class _Doing:
    """Does one effect after the other, and keeps the stream that is open."""

    def __init__(self, connection: Connection, streams: contextlib.ExitStack) -> None:
        self._connection = connection
        self._streams = streams
        self._events: Iterator[Heard] = iter(())

    def do(self, effect: Effect) -> object:
        match effect:
            case Request():
                return self._connection.send(effect)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Listen(request):
                self._streams.close()
                answer, self._events = self._connection.listen(request, self._streams)
                return answer
            case Hear():
                return next(self._events, None)
        raise AssertionError(effect)


def _replied(steps: Generator[E, Any, Any], doing: _Doing, effect: Effect) -> Callable[[], E]:
    """Do what was yielded, and tell how the generator goes on: with what came of it, or with what went wrong."""
    try:
        done = doing.do(effect)
    except BaseException as error:  # noqa: BLE001 - also Ctrl-C, of which an operation may have something to say
        failure = error
        return lambda: steps.throw(failure)
    return lambda: steps.send(done)


class AsyncConnection(_Address):
    """A connection that is awaited, under asyncio."""

    def __init__(self, url: str, **options: Any) -> None:  # noqa: ANN401 - those of the address
        super().__init__(url, **options)
        self._http = httpx2.AsyncClient(**self._options)
        # Sockets are closed by whoever awaits `close`; a local service must end without that too.
        self._end = weakref.finalize(self, self._release)

    async def close(self) -> None:
        """Close the connections to the service, and do without a local one."""
        await self._http.aclose()
        self._end()

    async def run(self, steps: Steps[T]) -> T:
        """Do what an operation yields, and give what it returns."""
        async with contextlib.AsyncExitStack() as streams:
            doing = _AsyncDoing(self, streams)
            reply: Callable[[], Effect] = lambda: next(steps)  # noqa: E731 - the first step has no reply
            while True:
                try:
                    effect = reply()
                except StopIteration as end:
                    result: T = end.value
                    return result
                reply = await _replied_async(steps, doing, effect)

    async def iterate(self, steps: Items[T]) -> AsyncIterator[T]:
        """Do what an iteration yields, and hand its items on."""
        async with contextlib.AsyncExitStack() as streams:
            doing = _AsyncDoing(self, streams)
            reply: Callable[[], Effect | Emit[T]] = lambda: next(steps)  # noqa: E731 - the first step has no reply
            while True:
                try:
                    effect = reply()
                except StopIteration:
                    return
                if isinstance(effect, Emit):
                    yield effect.item
                    reply = lambda: next(steps)  # noqa: E731 - an item has no reply
                else:
                    reply = await _replied_async(steps, doing, effect)

    async def send(self, request: Request) -> Response:
        """Send one request, once."""
        sent = self._sent(request)
        with self._translated(request):
            if isinstance(request.body, Path):
                sent["content"] = _pieces(request.body)
            return _response(await self._http.request(**sent))

    async def listen(
        self, request: Request, streams: contextlib.AsyncExitStack
    ) -> tuple[Response, AsyncIterator[Heard]]:
        """Open a stream of events, which `streams` closes."""
        sent = self._sent(request, silence=_BETWEEN_EVENTS_SECONDS)
        with self._translated(request):
            answer = await streams.enter_async_context(self._http.stream(**sent))
            if not _is_stream(answer):
                await answer.aread()
                return _response(answer), _nothing()
            return Response(answer.status_code, answer.headers, b""), self._heard(answer, request)

    async def _heard(self, answer: httpx2.Response, request: Request) -> AsyncIterator[Heard]:
        with self._translated(request):
            async for event in httpx2.EventSource(answer, max_event_size=None):
                yield Heard(event.id, event.data)


class _AsyncDoing:
    """Does one effect after the other, and keeps the stream that is open."""

    def __init__(self, connection: AsyncConnection, streams: contextlib.AsyncExitStack) -> None:
        self._connection = connection
        self._streams = streams
        self._events: AsyncIterator[Heard] = _nothing()

    async def do(self, effect: Effect) -> object:
        match effect:
            case Request():
                return await self._connection.send(effect)
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Listen(request):
                await self._streams.aclose()
                answer, self._events = await self._connection.listen(request, self._streams)
                return answer
            case Hear():
                return await anext(self._events, None)
        raise AssertionError(effect)


async def _replied_async(
    steps: Generator[E, Any, Any], doing: _AsyncDoing, effect: Effect
) -> Callable[[], E]:
    try:
        done = await doing.do(effect)
    except BaseException as error:  # noqa: BLE001 - also a cancelled task, of which an operation may have something to say
        failure = error
        return lambda: steps.throw(failure)
    return lambda: steps.send(done)


async def _nothing() -> AsyncIterator[Heard]:
    nothing: tuple[Heard, ...] = ()
    for heard in nothing:
        yield heard


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
