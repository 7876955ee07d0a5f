"""Requests and answers as values: what is sent and what is made of the answer, without sending anything.

An operation is written once, as a generator: it yields what is to be done (a `Request`, a `Pause`) and is given what
came of it. `Connection` and `AsyncConnection` do it, each in its own way.
"""

import math
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel
from pydantic_core import to_json

from fitd_client.errors import ApiError, TransportError, api_error

__all__ = [
    "ARROW",
    "CSV",
    "JSON",
    "NPY",
    "PNG",
    "SAFETENSORS",
    "SVG",
    "Effect",
    "Emit",
    "Form",
    "Hear",
    "Heard",
    "Items",
    "Listen",
    "NeverSent",
    "Pause",
    "Request",
    "Response",
    "Retries",
    "Steps",
    "exchange",
    "json_body",
    "parsed",
]

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
SAFETENSORS = "application/vnd.safetensors"
SVG = "image/svg+xml"
PNG = "image/png"

_FIRST_ERROR = 400
_PASSING = frozenset({429, 502, 503, 504})
"""Statuses that pass by themselves."""
_TOO_MANY, _UNAVAILABLE = 429, 503
_PROBLEM = "application/problem+json"

Parameters = Mapping[str, str | int | float | list[str]]
A = TypeVar("A", bound=BaseModel)
T = TypeVar("T")


class NeverSent(TransportError):
    """There was no connection: the request cannot have done anything."""


@dataclass(frozen=True, slots=True)
class Form:
    """A body of several parts: the spec first, then the rows.

    Attributes:
        spec: The spec as JSON.
        data: The rows.
        filename: Of the rows.
        media: Type of the rows.
    """

    spec: bytes
    data: bytes
    filename: str
    media: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be sent.

    Attributes:
        method: As in `GET`.
        path: Beneath the service's address.
        params: Of the query.
        headers: Beside those of the connection.
        body: Bytes, a form, or a file to be read while it is sent.
        repeatable: Whether it may be sent again where the answer was lost: doing it twice does nothing more.
        wait: Seconds that the service may take beyond the usual to answer.
    """

    method: str
    path: str
    params: Parameters = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Form | Path | None = None
    repeatable: bool = False
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream of events: a `Response` comes back, with content only where there is no stream."""

    request: Request


@dataclass(frozen=True, slots=True)
class Hear:
    """Give the next event of the open stream: `Heard`, or None at its end."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event of a stream."""

    id: str
    data: str


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """Hand an item to whoever iterates."""

    item: T


Effect = Request | Pause | Listen | Hear
Steps = Generator[Effect, Any, T]
"""An operation: what it yields is done, what it returns is its result."""
Items = Generator[Effect | Emit[T], Any, None]
"""An iteration: items among its effects."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how fast a request is sent again.

    The time between two tries is drawn evenly between nothing and a bound that doubles (full jitter), so that many
    callers do not come back at one moment.

    Attributes:
        count: Tries after the first one.
        base: Bound of the first pause, in seconds.
        most: Bound of every pause, in seconds.
        longest: A `Retry-After` of more seconds is not waited for.
    """

    count: int = 5
    base: float = 0.25
    most: float = 10.0
    longest: float = 60.0

    def pause(self, tried: int, *, asked: str | None = None) -> float | None:
        """Give the seconds until the next try; None where there is none.

        Args:
            tried: Tries after the first one that were made.
            asked: `Retry-After` of the answer, in seconds.
        """
        if tried >= self.count:
            return None
        jitter = random.uniform(0, min(self.most, self.base * 2**tried))  # noqa: S311 - spreads callers, keeps no secret
        told = _seconds(asked)
        return None if told > self.longest else told + jitter


def _seconds(asked: str | None) -> float:
    """Read `Retry-After`; of a date, or of what is no time at all, the usual pauses do."""
    try:
        told = float(asked or 0)
    except ValueError:
        return 0.0
    return told if math.isfinite(told) and told >= 0 else 0.0


def exchange(request: Request, retries: Retries) -> Steps[Response]:
    """Send a request, again where that is safe, and give the answer of success.

    Raises:
        ApiError: The service refuses it.
        TransportError: There is no answer.
    """
    request = replace(request, repeatable=request.repeatable or request.method == "GET")
    tried = 0
    while True:
        try:
            answer = cast("Response", (yield request))
        except TransportError as error:
            may = request.repeatable or isinstance(error, NeverSent)
            pause = retries.pause(tried) if may else None
            if pause is None:
                raise
        else:
            if answer.status < _FIRST_ERROR:
                return answer
            pause = _pause_after(answer, request, retries, tried)
            if pause is None:
                raise api_error(answer.status, answer.content)
        yield Pause(pause)
        tried += 1


def _pause_after(answer: Response, request: Request, retries: Retries, tried: int) -> float | None:
    may = answer.status in _PASSING if request.repeatable else _nothing_was_done(answer)
    return retries.pause(tried, asked=answer.headers.get("retry-after")) if may else None


def _nothing_was_done(answer: Response) -> bool:
    """Tell whether the answer promises so: a proxy may say 503 of a request that the service has done."""
    if answer.status == _TOO_MANY:
        return True
    return answer.status == _UNAVAILABLE and answer.headers.get("content-type", "").startswith(_PROBLEM)


def parsed(kind: type[A], response: Response) -> A:
    """Read an answer.

    Raises:
        ApiError: It is not what it should be, as where another service answers at this address.
    """
    try:
        return kind.model_validate_json(response.content)
    except ValueError as error:
        detail = f"The answer is no {kind.__name__} of fitd: {str(error)[:200]}"
        raise ApiError(response.status, "unexpected_answer", detail, "Is this the address of fitd?") from None


def json_body(content: object) -> bytes:
    """Write JSON; numbers and arrays of numpy are taken for what they hold.

    NaN and infinities are written as such, so that the service says where they are.
    """
    return to_json(content, inf_nan_mode="constants", fallback=_plain)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON does not know
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()
    message = f"{type(value).__name__} is nothing that JSON can carry: {value!r}"
    raise TypeError(message[:200])
