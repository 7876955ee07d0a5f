"""The clients: one that waits for each answer, one that is awaited. What they can do is written once."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fitd_client import answers
from fitd_client.asking import Asking
from fitd_client.batches import AsyncBatchPrediction, BatchPrediction
from fitd_client.connection import AsyncConnection, Connection
from fitd_client.datasets import AsyncDataset, Dataset
from fitd_client.fits import Training
from fitd_client.jobs import AsyncJob, Job
from fitd_client.kept import Keeping
from fitd_client.local import LOCAL, Borrowed
from fitd_client.operations import Async, Sync, operation
from fitd_client.registry import AsyncModel, Model
from fitd_client.sweeps import AsyncSweep, Sweep
from fitd_client.wire import Request, Retries, Steps, json_body

__all__ = ["AsyncClient", "Client"]

DEFAULT_URL = "http://127.0.0.1:8000"
_TIMEOUT_SECONDS = 60.0


class _Asked(Asking):
    """What both clients can do beside training and keeping."""

    @operation
    def capabilities(self) -> Steps[dict[str, Any]]:
        """Tell everything that a spec can name, and the limits in force."""
        answer = yield from self._read(answers.Answer, "/v1/capabilities")
        return answer.model_dump()

    @operation
    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
    ) -> Steps[bytes]:
        """Send any request, with this client's key, retries and errors, and give the body of the answer.

        Args:
            method: As in `GET`.
            path: As in `/v1/jobs`.
            params: Of the query.
            headers: Beside the client's own.
            json: What to send as JSON.
            content: What to send as it is.
        """
        told = {"Content-Type": "application/json"} if json is not None else {}
        request = Request(
            method=method.upper(),
            path=path,
            params=params or {},
            headers={**told, **(headers or {})},
            body=content if json is None else json_body(json),
        )
        return (yield from self._exchange(request)).content


class _Opened:
    """How both clients find the service.

    Attributes:
        url: Its address.
    """

    _local: Borrowed | None = None
    url: str

    def _options(
        self,
        url: str | None,
        *,
        api_key: str | None,
        timeout: float,
        retries: Retries | int | None,
        data_dir: str | Path | None,
    ) -> dict[str, Any]:
        url = url or os.environ.get("FITD_URL") or DEFAULT_URL
        local = url == LOCAL
        if local:
            self._local = Borrowed(data_dir)
            url = self._local.service.url
        self.url = url
        return {
            "url": url,
            "api_key": None if local else api_key or os.environ.get("FITD_API_KEY"),
            "timeout": timeout,
            "retries": retries
            if isinstance(retries, Retries)
            else Retries(*(() if retries is None else (retries,))),
            "trust_env": not local,
            "release": self._local.give_back if self._local is not None else _nothing,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"


def _nothing() -> None:
    """Nothing is to be given back where the service is no local one."""


class Client(Sync, _Opened, Training[Job, Sweep], Keeping[Dataset, Model, BatchPrediction], _Asked):
    """A client of fitd that waits for each answer.

    Safe to share between threads. Use it in a `with` block, or call `close`; else its connections end with the last of
    the client and its handles.
    """

    _job, _sweep, _dataset, _model, _batch = Job, Sweep, Dataset, Model, BatchPrediction

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = _TIMEOUT_SECONDS,
        retries: Retries | int | None = None,
        data_dir: str | Path | None = None,
    ) -> None:
        """Find the service; nothing is sent yet.

        Args:
            url: Its address; left out, `FITD_URL` or http://127.0.0.1:8000. `":local:"` runs one here, for as long as
                clients use it.
            api_key: Left out, `FITD_API_KEY`.
            timeout: Seconds of silence after which a request is given up; waiting for a job does not count.
            retries: How often a request is sent again where that is safe: a count, or `Retries`.
            data_dir: Of `":local:"`: the folder of the service; a temporary one where it is left out.

        Raises:
            LocalServiceError: Of `":local:"`: fitd is not installed, or does not start.
        """
        self._connection = Connection(
            **self._options(url, api_key=api_key, timeout=timeout, retries=retries, data_dir=data_dir)
        )

    def close(self) -> None:
        """Close the connections, also of all handles; a local service ends with its last client."""
        self._connection.close()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # A copy of whatever holds a client, such as a clone of an estimator, asks the same service.
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # A key is a secret: it is taken from the environment again.
        return type(self), (LOCAL if self._local is not None else self.url,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(
    Async,
    _Opened,
    Training[AsyncJob, AsyncSweep],
    Keeping[AsyncDataset, AsyncModel, AsyncBatchPrediction],
    _Asked,
):
    """A client of fitd whose operations are awaited, under asyncio.

    It has the operations of `Client`, each with `await`, or with `async for` where there is one item after the other.
    """

    _job, _sweep, _dataset = AsyncJob, AsyncSweep, AsyncDataset
    _model, _batch = AsyncModel, AsyncBatchPrediction

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = _TIMEOUT_SECONDS,
        retries: Retries | int | None = None,
        data_dir: str | Path | None = None,
    ) -> None:
        """Find the service, as `Client` does; a local one is waited for here, which holds the event loop up."""
        self._connection = AsyncConnection(
            **self._options(url, api_key=api_key, timeout=timeout, retries=retries, data_dir=data_dir)
        )

    async def close(self) -> None:
        """Close the connections, also of all handles; a local service ends with its last client."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
