"""Request bodies: their declared type, their size, and their content as models, with every problem at once."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from service.api.negotiation import JSON
from service.api.problems import BodyTooLarge, UnsupportedMediaType
from service.exceptions import InvalidRequest
from service.spec.packed import PackedRows, validated
from service.spec.problems import problems_of

Model = TypeVar("Model", bound=BaseModel)

__all__ = ["body_of_type", "declared_type", "json_body", "parsed", "request_body", "too_large", "whole"]

INLINE_BYTES = 64 * 2**10
"""Bodies up to this size are parsed on the event loop: less than a millisecond, and cheaper than a thread."""


async def json_body(request: Request, *, max_bytes: int) -> bytes:
    """Read a body that must be JSON.

    Raises:
        UnsupportedMediaType: Its Content-Type is not a JSON type, or it is compressed.
        BodyTooLarge: It has more than `max_bytes` bytes; no more than that is ever held.
    """
    return (await body_of_type(request, max_bytes=max_bytes))[1]


async def body_of_type(
    request: Request, *, max_bytes: int, others: Collection[str] = ()
) -> tuple[str, bytes]:
    """Read a body of one of several types.

    Args:
        request: The request.
        max_bytes: What a body may have.
        others: Media types that are taken besides JSON.

    Returns:
        The media type and the body; of every JSON type, `application/json`.

    Raises:
        UnsupportedMediaType: Its Content-Type is none of these, or it is compressed.
        BodyTooLarge: It has more than `max_bytes` bytes; no more than that is ever held.
    """
    media = declared_type(request)
    if media not in others and not _is_json(media):
        what = f"declared as {media}" if media else "sent without a Content-Type"
        besides = f" Taken as well are {', '.join(others)}." if others else ""
        raise UnsupportedMediaType(
            f"The body is {what}, not as application/json.",
            hint="Send the header Content-Type: application/json (curl: -H 'Content-Type: application/json')."
            + besides,
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        hint = "Send it as it is; a large table can be sent as a file, which may be compressed: POST /v1/datasets."
        raise UnsupportedMediaType(
            f"The body is compressed with {encoding[:40]}, which is not read.", hint=hint
        )
    return media if media in others else JSON, await whole(request, max_bytes=max_bytes)


def declared_type(request: Request) -> str:
    """Give the media type that a request says its body has, without its parameters; empty where it says none."""
    return request.headers.get("content-type", "").split(";", maxsplit=1)[0].strip().lower()


def _is_json(media: str) -> bool:
    return media == JSON or (media.startswith("application/") and media.endswith("+json"))


async def whole(request: Request, *, max_bytes: int) -> bytes:
    """Read a body as it comes.

    Raises:
        BodyTooLarge: It has more than `max_bytes` bytes; no more than that is ever held.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large(max_bytes)
    return bytes(body)


def too_large(max_bytes: int) -> BodyTooLarge:
    """Say that a body has more bytes than it may have."""
    return BodyTooLarge(
        f"The body is larger than {max_bytes:,} bytes.",
        hint="Send fewer rows, or a table as a file (POST /v1/datasets), or ask the operator to raise "
        "max_body_bytes (GET /v1/capabilities tells all limits).",
    )


async def parsed(
    body: bytes, model: type[Model], *, with_rows: Callable[[Model, PackedRows], Model] | None = None
) -> Model:
    """Validate a JSON body, off the event loop when it is large.

    Args:
        body: The text.
        model: What it is.
        with_rows: Puts many rows of numbers into the model, where it has any: `spec.packed.validated`.

    Raises:
        InvalidRequest: With every problem, by JSON Pointer.
    """
    if len(body) <= INLINE_BYTES:
        return _validated(body, model, with_rows)
    return await run_in_threadpool(_validated, body, model, with_rows)


def _validated(
    body: bytes, model: type[Model], with_rows: Callable[[Model, PackedRows], Model] | None
) -> Model:
    try:
        return validated(model, body, with_rows=with_rows)
    except ValidationError as error:
        raise InvalidRequest(problems_of(error, model)) from None


def request_body(
    model: type[BaseModel], examples: dict[str, Any], *, others: Collection[str] = ()
) -> dict[str, Any]:
    """Describe a body for an endpoint's OpenAPI entry; `app.openapi` adds the model's schema to the components.

    Args:
        model: What the body is.
        examples: By name, as OpenAPI has them: each with a summary and a value.
        others: Media types of files that are taken as well.
    """
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": schema, "examples": examples},
                **{media: {"schema": {"type": "string", "format": "binary"}} for media in others},
            },
        }
    }
