"""What can go wrong, as exceptions whose text says what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

__all__ = [
    "ApiError",
    "Conflict",
    "FitdError",
    "FitdWarning",
    "Forbidden",
    "InvalidRequest",
    "JobFailed",
    "LocalServiceError",
    "MissingPackage",
    "NotFound",
    "PredictionFailed",
    "Problem",
    "RateLimited",
    "ServerError",
    "SweepFailed",
    "TooLarge",
    "TransportError",
    "Unauthorized",
    "Unavailable",
    "UnreadableData",
    "WaitTimeout",
    "WorkFailed",
    "api_error",
]

_MOST_TEXT = 300


class FitdError(Exception):
    """The root of all errors of this package."""


class FitdWarning(UserWarning):
    """Something that the service says about a fit: it worked, and is doubtful."""


class TransportError(FitdError):
    """There was no answer: the service cannot be reached, or the connection broke."""


class WaitTimeout(FitdError, TimeoutError):
    """The time for waiting is over; what was waited for goes on."""


class LocalServiceError(FitdError):
    """A service of one's own could not be started."""


class MissingPackage(FitdError, ImportError):
    """A package is needed for this, and is not installed."""


class UnreadableData(FitdError, ValueError):
    """The rows are nothing that can be sent."""


class WorkFailed(FitdError):
    """What was waited for has ended without success.

    Attributes:
        id: Of the job, sweep or prediction.
        code: Stable name of the reason, in snake_case.
        message: The reason.
        hint: What to do about it.
    """

    def __init__(self, id: str, *, code: str, message: str, hint: str = "") -> None:  # noqa: A002 - the field's name
        super().__init__(f"{id} has failed: {message} ({code}) {hint}".rstrip())
        self.id, self.code, self.message, self.hint = id, code, message, hint


class JobFailed(WorkFailed):
    """A job has failed."""


class SweepFailed(WorkFailed):
    """A sweep has failed."""


class PredictionFailed(WorkFailed):
    """A prediction of a whole dataset has failed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request.

    Attributes:
        pointer: JSON Pointer to its place in the body; None where the body is not the matter.
        parameter: Name of the query parameter or header, where it is one.
        code: Stable name, in snake_case.
        message: What is wrong.
        hint: What to do about it.
    """

    pointer: str | None = None
    parameter: str | None = None
    code: str = ""
    message: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = self.pointer or self.parameter
        told = f"{place}: {self.message}" if place else self.message
        return f"{told} ({self.code}) {self.hint}".rstrip()


@dataclass(eq=False)
class ApiError(FitdError):
    """The service refused a request; the text has all problems that it names, each with its hint.

    Attributes:
        status: HTTP status.
        code: Stable name of the error, in snake_case.
        detail: What is wrong.
        hint: What to do about it.
        problems: Each thing that is wrong with the request, where there are several.
    """

    status: int
    code: str
    detail: str
    hint: str = ""
    problems: tuple[Problem, ...] = field(default=())

    def __post_init__(self) -> None:
        super().__init__(str(self))

    def __str__(self) -> str:
        # A single problem says by itself what the whole is about.
        told = len(self.problems) == 1 and self.problems[0].message in self.detail
        head = f"{self.status} {self.code}: {'' if told else self.detail} {'' if told else self.hint}".rstrip(
            " "
        )
        return "\n  ".join([head, *(str(problem) for problem in self.problems)])

    def __reduce__(self) -> tuple[type["ApiError"], tuple[object, ...]]:
        return type(self), (self.status, self.code, self.detail, self.hint, self.problems)


class InvalidRequest(ApiError):
    """The request is wrong: the spec, the rows, a parameter."""


class Unauthorized(ApiError):
    """The service wants an API key, and not this one."""


class Forbidden(ApiError):
    """The key does not allow this."""


class NotFound(ApiError):
    """There is no such thing, or it is another owner's."""


class Conflict(ApiError):
    """Not in this state."""


class TooLarge(ApiError):
    """More than the service accepts."""


class RateLimited(ApiError):
    """Too many requests, or too many unfinished jobs."""


class ServerError(ApiError):
    """The service itself has failed."""


class Unavailable(ServerError):
    """The service cannot do this at the moment."""


_OF_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_FIRST_SERVER_ERROR = 500


def api_error(status: int, content: bytes) -> ApiError:
    """Make the exception of an answer that is none of success.

    Args:
        status: HTTP status.
        content: Body of the answer: a problem (RFC 9457), or whatever a proxy on the way wrote.

    Returns:
        The exception that fits the status, with all that the problem says.
    """
    otherwise = ServerError if status >= _FIRST_SERVER_ERROR else InvalidRequest
    kind = _OF_STATUS.get(status, otherwise)
    said = _problem(content)
    if said is None:
        text = content[:_MOST_TEXT].decode("utf-8", "replace").strip()
        return kind(status, f"http_{status}", text or "The answer has no body.")
    problems = tuple(_field_problem(one) for one in said.get("errors") or ())
    return kind(
        status, str(said["code"]), str(said.get("detail") or ""), str(said.get("hint") or ""), problems
    )


def _problem(content: bytes) -> dict[str, Any] | None:
    try:
        said = from_json(content)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "code" in said else None


def _field_problem(said: Mapping[str, Any]) -> Problem:
    texts = {name: str(said.get(name) or "") for name in ("code", "message", "hint")}
    return Problem(said.get("pointer"), said.get("parameter"), **texts)
