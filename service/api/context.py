"""What endpoints need of the running service, and who is calling."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access.scopes import Scope
from service.api.changes import Changes
from service.api.keyring import Caller, Keyring
from service.api.recent import Recent
from service.api.served import Reference, Resolved
from service.db import Database, SharedWrites
from service.doorbell import Doorbell
from service.inference.cache import PredictorCache
from service.jobs.quotas import Bounds
from service.settings import Settings

__all__ = [
    "CALLER",
    "Accept",
    "Calling",
    "Context",
    "Owner",
    "Running",
    "Secret",
    "admin_required",
    "admitted",
    "bounds_of",
]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running service that endpoints work with.

    Attributes:
        settings: Of the operator.
        database: Of the service.
        shared_writes: Transactions that many small writes share.
        doorbell: Wakes workers and waiting requests.
        changes: Of jobs, as they are heard of.
        predictors: The loaded ones.
        names: Which predictor each name stands for; `served` asks for it.
        prediction_threads: Bounds how many large predictions are made at once.
        keyring: Tells callers apart.
    """

    settings: Settings
    database: Database
    shared_writes: SharedWrites
    doorbell: Doorbell
    changes: Changes
    predictors: PredictorCache
    names: Recent[Reference, Resolved]
    prediction_threads: CapacityLimiter
    keyring: Keyring


# Coroutines, although they wait for nothing: FastAPI would send each plain function to a thread and back.
async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


CALLER = "fitd.caller"
"""Where the scope of a request holds its caller, if that was told before the endpoint is found."""
Running = Annotated[Context, Depends(_context)]
Accept = Annotated[str | None, Header(include_in_schema=False)]

_bearer = HTTPBearer(auto_error=False, description="The API key, where the service needs one.")


async def _secret(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> bytes | None:
    # Headers arrive decoded as Latin-1, one character a byte; what was sent are the bytes.
    return sent.credentials.encode("latin-1") if sent else None


Secret = Annotated[bytes | None, Depends(_secret)]

_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})


async def _caller(request: Request, running: Running, secret: Secret) -> Caller:
    """Tell who is calling, and whether they may call in this way at all.

    Raises:
        Unauthorized: A key is needed, and what was sent is none that works.
        Forbidden: The key may only look.
        RateLimited: There were too many calls.
    """
    known: Caller | None = request.scope.get(CALLER)
    if known is not None:  # Admitted and counted already, on the short way, which could not answer.
        return known
    return await admitted(running, secret, request.scope)


async def admitted(running: Context, secret: bytes | None, scope: MutableMapping[str, Any]) -> Caller:
    """Let a request in, or raise as every endpoint does that takes `Calling`."""
    address = scope.get("server")
    # A socket file has a path for an address and no port: only this machine reaches it.
    server = address[0] if address and address[1] is not None else None
    caller = await running.keyring.admit(secret, server=server)
    caller.need(Scope.READ if scope["method"] in _LOOKING else Scope.WRITE)
    return caller


Calling = Annotated[Caller, Depends(_caller)]


async def _owner(caller: Calling) -> str:
    return caller.owner


Owner = Annotated[str, Depends(_owner)]
"""Whose things the caller sees. Every endpoint under /v1 takes it, or `Calling`, and so needs the key."""


async def admin_required(caller: Calling) -> None:
    """Let only keys with the scope `admin` through: `dependencies=[Depends(admin_required)]`.

    Raises:
        Forbidden: The key has another scope.
    """
    caller.need(Scope.ADMIN)


def bounds_of(running: Context, caller: Caller) -> Bounds:
    """Tell how many jobs there may be for this caller to submit another."""
    return Bounds(running.settings.limits.max_queued_jobs, caller.max_unfinished_jobs)
