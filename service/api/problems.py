"""Errors as problem+json (RFC 9457): the one place where an exception becomes a status code."""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from service import exceptions
from service.exceptions import InvalidRequest, Problem, ServiceError

__all__ = [
    "STATUS_OF",
    "ProblemDetails",
    "UnsupportedMediaType",
    "documented",
    "error_response",
    "install",
    "problem_response",
]

logger = structlog.get_logger(__name__)

Handler = Callable[[Request, Exception], Awaitable[Response]]
MEDIA_TYPE = "application/problem+json"


class UnsupportedMediaType(ServiceError):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"


class Unauthorized(ServiceError):
    """This service wants an API key."""

    code = "unauthorized"
    hint = "Send `Authorization: Bearer <key>`. The operator has the keys: `fitd keys create` makes one."


class BodyTooLarge(ServiceError):
    """The body is larger than this service accepts."""

    code = "body_too_large"


STATUS_OF: dict[type[ServiceError], int] = {
    exceptions.InvalidSpec: 422,
    exceptions.InvalidRequest: 422,
    exceptions.ColumnMismatch: 422,
    exceptions.JobNotFound: 404,
    exceptions.SweepNotFound: 404,
    exceptions.PredictionNotFound: 404,
    exceptions.NoResult: 409,
    exceptions.RangeNotSatisfiable: 416,
    exceptions.ResultDamaged: 500,
    exceptions.ModelNotFound: 404,
    exceptions.ModelInUse: 409,
    exceptions.InvalidDataset: 422,
    exceptions.DatasetNotFound: 404,
    exceptions.DatasetInUse: 409,
    exceptions.DatasetTooLarge: 413,
    exceptions.DatasetDamaged: 500,
    exceptions.CheckpointDamaged: 500,
    exceptions.DiskFull: 507,
    exceptions.StorageBusy: 503,
    exceptions.PictureNotAvailable: 404,
    exceptions.ExportNotAvailable: 409,
    exceptions.ExportFailed: 409,
    exceptions.ExportsBusy: 503,
    exceptions.NoGroups: 404,
    exceptions.CheckpointNotFound: 404,
    exceptions.NoParameters: 409,
    exceptions.StateConflict: 409,
    exceptions.IdempotencyConflict: 422,
    exceptions.NotAcceptable: 406,
    exceptions.TrainingFailed: 422,
    exceptions.DatabaseNotReady: 503,
    exceptions.DatabaseBusy: 503,
    UnsupportedMediaType: 415,
    Unauthorized: 401,
    exceptions.Forbidden: 403,
    exceptions.CrossOrigin: 403,
    exceptions.WrongHost: 421,
    exceptions.QuotaExceeded: 429,
    exceptions.QueueFull: 429,
    exceptions.RateLimited: 429,
    BodyTooLarge: 413,
}
"""The status of each error that can reach a caller; anything else is a 500, and a fault of the service."""

_HEADERS: dict[type[ServiceError], dict[str, str]] = {
    Unauthorized: {"WWW-Authenticate": "Bearer"},
    exceptions.DatabaseBusy: {"Retry-After": "1"},
    exceptions.StorageBusy: {"Retry-After": "1"},
}

_OF_HTTP = {
    404: ("not_found", "GET /openapi.json lists every path."),
    405: ("method_not_allowed", "The Allow header lists the methods of this path."),
}


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str | None = None
    """JSON Pointer into the body."""
    parameter: str | None = None
    """The query parameter or header, where it is not the body."""
    code: str
    """Stable name in snake_case."""
    message: str
    hint: str


class ProblemDetails(BaseModel):
    """What is wrong, and what to do about it."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    type: str
    """A URN that names the kind of problem; docs/reference/problems.md explains each."""
    title: str
    """The status in words."""
    status: int
    detail: str
    """What is wrong, for people."""
    code: str
    """Stable name in snake_case, for programs."""
    hint: str | None = None
    """What to do about it."""
    errors: list[FieldProblem] | None = None
    """Every problem of the request, all at once."""
    error: str | None = None
    """`detail` and `hint` in one, for clients of the open inference protocol; only below `/v2`."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problem responses of an endpoint for its OpenAPI entry.

    Where a key is asked for, it may also be one that does not allow the call, or not so often.
    """
    if HTTPStatus.UNAUTHORIZED in statuses:
        statuses = (*statuses, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)
    }


def problem_response(
    status: int,
    *,
    code: str,
    detail: str,
    hint: str = "",
    problems: list[Problem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build a problem+json response."""
    body: dict[str, Any] = {
        "type": f"urn:fitd:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        body["hint"] = hint
    if problems is not None:
        body["errors"] = [_field(problem) for problem in problems]
    return Response(orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _field(problem: Problem) -> dict[str, Any]:
    where = {"parameter": problem.parameter} if problem.parameter else {"pointer": problem.pointer}
    return {**where, "code": problem.code, "message": problem.message, "hint": problem.hint}


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let every error leave the app as problem+json.

    Args:
        app: The application.
        routes: Those of its routers: they tell which methods a path allows.
    """
    app.add_exception_handler(ServiceError, _in_protocol(_service_error))
    app.add_exception_handler(RequestValidationError, _in_protocol(_validation_error))
    app.add_exception_handler(HTTPException, _in_protocol(functools.partial(_http_exception, routes)))
    app.add_exception_handler(Exception, _in_protocol(_unexpected))


def _in_protocol(handler: Handler) -> Handler:
    """Let problems below /v2 also say `error`, which is all that clients of that protocol read."""

    async def handled(request: Request, error: Exception) -> Response:
        answer = await handler(request, error)
        path = request.url.path
        if path != "/v2" and not path.startswith("/v2/"):
            return answer
        body = orjson.loads(bytes(answer.body))
        body["error"] = " ".join(filter(None, (body["detail"], body.get("hint"))))
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return Response(orjson.dumps(body), status_code=answer.status_code, headers=headers)

    return handled


async def _service_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ServiceError):
        raise error
    return error_response(error)


def error_response(error: ServiceError) -> Response:
    """Build the answer that tells an error: for handlers, and for middleware, which no handler stands above."""
    problems = error.problems if isinstance(error, InvalidRequest) else None
    headers = dict(_HEADERS.get(type(error), {}))
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return problem_response(
        STATUS_OF[type(error)],
        code=error.code,
        detail=error.message,
        hint=error.hint,
        problems=problems,
        headers=headers,
    )


async def _validation_error(_request: Request, error: Exception) -> Response:
    """Answer for path, query and header parameters, which FastAPI checks; bodies are read by `api.bodies`."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems = [
        Problem(
            None,
            "invalid_parameter",
            f"{one['msg'].rstrip('.')}.",
            f"Sent was {one['input']!r:.80}.",
            str(one["loc"][1]),
        )
        for one in error.errors()
    ]
    detail = "; ".join(f"{p.parameter}: {p.message}" for p in problems)
    return problem_response(422, code="invalid_parameter", detail=detail, problems=problems)


async def _http_exception(routes: Sequence[BaseRoute], request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code, hint = _OF_HTTP.get(error.status_code, ("http_error", ""))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(routes, request)
    return problem_response(
        error.status_code, code=code, detail=f"{error.detail}.", hint=hint, headers=headers
    )


def _allowed(routes: Sequence[BaseRoute], request: Request) -> str:
    """List the methods of a path over all its routes; the framework names those of the first route only."""
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(
        sorted({method for route in matching for method in getattr(route, "methods", None) or ()})
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("request failed unexpectedly", path=request.url.path, method=request.method, exc_info=error)
    return problem_response(
        500,
        code="internal_error",
        detail="The service failed at this request. The log has the details.",
        hint="This is a fault of the service: please report it.",
    )
