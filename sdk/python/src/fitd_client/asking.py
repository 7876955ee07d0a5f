"""What clients and handles have in common: a connection, and how they ask over it."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from fitd_client.answers import Page
from fitd_client.wire import (
    JSON,
    Emit,
    Form,
    Items,
    Parameters,
    Request,
    Response,
    Steps,
    exchange,
    json_body,
    parsed,
)

__all__ = ["Asking", "in_path", "submission"]

A = TypeVar("A", bound=BaseModel)
T = TypeVar("T")
_MOST_IN_PAGE = 100


class Asking:
    """Something with a connection to the service."""

    _connection: Any  # Of the one way or the other: `Sync` and `Async` say which.

    def _exchange(self, request: Request) -> Steps[Response]:
        return exchange(request, self._connection.retries)

    def _get(
        self, path: str, *, params: Parameters | None = None, accept: str = JSON, wait: float = 0.0
    ) -> Steps[bytes]:
        headers = {"Accept": accept}
        request = Request(method="GET", path=path, params=params or {}, headers=headers, wait=wait)
        return (yield from self._exchange(request)).content

    def _read(
        self, kind: type[A], path: str, *, params: Parameters | None = None, wait: float = 0.0
    ) -> Steps[A]:
        params = {**(params or {}), **({"wait": wait} if wait else {})}
        request = Request(method="GET", path=path, params=params, wait=wait)
        return parsed(kind, (yield from self._exchange(request)))

    def _pages(
        self,
        make: Callable[[Any], T],
        path: str,
        *,
        params: Parameters | None = None,
        most: int | None = None,
    ) -> Items[T]:
        """Emit the entries of a list, page by page, until there are no more or so many were given."""
        params, given = dict(params or {}), 0
        params["limit"] = min(most or _MOST_IN_PAGE, _MOST_IN_PAGE)
        while True:
            page = yield from self._read(Page, path, params=params)
            for entry in page.data:
                if most is not None and given >= most:
                    return
                yield Emit(make(entry))
                given += 1
            if not page.has_more or page.next_after is None or given == most:
                return
            params["after"] = page.next_after

    def _send(
        self,
        kind: type[A],
        path: str,
        content: object = None,
        *,
        method: str = "POST",
        media: str = JSON,
        repeatable: bool = False,
        params: Parameters | None = None,
    ) -> Steps[A]:
        body = None if content is None else json_body(content)
        headers = {} if body is None else {"Content-Type": media}
        request = Request(
            method=method, path=path, body=body, headers=headers, repeatable=repeatable, params=params or {}
        )
        return parsed(kind, (yield from self._exchange(request)))

    def _delete(self, path: str) -> Steps[None]:
        yield from self._exchange(Request(method="DELETE", path=path))


def in_path(part: str) -> str:
    """Write a name or id as one part of a path."""
    return quote(part, safe="")


def submission(
    path: str,
    body: object | Form,
    *,
    wait: float = 0.0,
    key: str | None = None,
    media: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Request:
    """Write a submission: with a key of its own, so that it can be sent again and is done once.

    Args:
        path: Where to.
        body: What is submitted: an object, or a form.
        wait: Seconds to wait for the end.
        key: Idempotency key; a new one where it is left out.
        media: Type of an object's JSON.
        headers: Beside these.
    """
    told = {"Idempotency-Key": key or uuid.uuid4().hex, **(headers or {})}
    if wait:
        told["Prefer"] = f"wait={wait:g}"
    if not isinstance(body, Form):
        told["Content-Type"] = media
        body = json_body(body)
    return Request(method="POST", path=path, body=body, headers=told, repeatable=True, wait=wait)
