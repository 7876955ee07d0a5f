"""Who is calling: the key that was sent, held against the one of the environment and those of the database."""

import asyncio
import functools
import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from service.access import repository
from service.access.orm import ApiKey
from service.access.scopes import Scope, covering
from service.access.service import digest_of, state_of
from service.api.problems import Unauthorized
from service.api.rates import Bucket, Buckets
from service.api.recent import Recent
from service.db import Database, now
from service.exceptions import Forbidden, ServiceError
from service.settings import Settings, is_loopback

__all__ = ["LOCAL_OWNER", "Caller", "Keyring"]

logger = structlog.get_logger(__name__)

LOCAL_OWNER = "local"
"""Whose jobs they are where no managed key is used."""
FRESH_SECONDS = 0.5
"""A key is looked up again after so long: a revoked one works no longer than this."""
TOUCH_EVERY = timedelta(minutes=1)
MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and what they may do.

    Attributes:
        owner: Whose jobs and datasets they see.
        scopes: Everything that they may do.
        key_id: The managed key that they use, if they do.
        max_unfinished_jobs: How many jobs of the owner may be unfinished for another one to be submitted.
    """

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    max_unfinished_jobs: int | None = None

    def need(self, scope: Scope) -> None:
        """Make sure that the caller may do something.

        Raises:
            Forbidden: The key has no scope that includes it.
        """
        if scope not in self.scopes:
            message = f"This needs a key with the scope `{scope}`; the key that was sent has not."
            hint = f"Use another key, or ask the operator for one: fitd keys create --scopes {scope}."
            raise Forbidden(message, hint=hint)


_EVERYTHING = frozenset(Scope)
_LOCAL = Caller(LOCAL_OWNER, _EVERYTHING)


class Keyring:
    """Tells callers apart. What the database said is remembered for half a second, so that a busy key costs no query each."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._admin = settings.admin_secret
        self._everybody = Bucket(settings.requests_per_minute) if settings.requests_per_minute else None
        self._buckets = Buckets()
        self._remembered: Recent[str, ApiKey] = Recent(seconds=FRESH_SECONDS, size=MAX_REMEMBERED)
        self._managed: Recent[None, bool] = Recent(seconds=FRESH_SECONDS, size=1)
        self._is_closed = False
        self._touched: dict[str, float] = {}
        self._touching: set[asyncio.Task[None]] = set()

    async def admit(self, secret: bytes | None, *, server: str | None) -> Caller:
        """Tell who is calling, and count the call.

        Args:
            secret: What was sent as bearer token.
            server: Address of this machine at which the call came in; None for a socket file.

        Raises:
            Unauthorized: A key is needed, and what was sent is none that works.
            RateLimited: There were too many calls.
        """
        caller, key = await self._identified(secret, server)
        if self._everybody is not None:
            self._everybody.take("The service")
        if key is not None:
            if key.requests_per_minute:
                self._buckets.take(key.id, key.requests_per_minute)
            self._touch(key)
        return caller

    async def still_admits(self, caller: Caller, secret: bytes | None) -> bool:
        """Tell whether a caller who was admitted would still be: for answers that last for hours."""
        if caller.key_id is None:
            return True
        key = await self._looked_up(secret or b"")
        return key is not None and state_of(key) == "active"

    async def _identified(self, secret: bytes | None, server: str | None) -> tuple[Caller, ApiKey | None]:
        if self._admin is not None and secret is not None and _same(secret, self._admin):
            return _LOCAL, None
        if self._admin is None and (server is None or is_loopback(server)) and not await self._is_managed():
            return _LOCAL, None
        key = await self._looked_up(secret) if secret else None
        if key is None:
            raise Unauthorized
        if (state := state_of(key)) != "active":
            raise Unauthorized(f"This API key is {state}.")
        return _caller(key), key

    async def _is_managed(self) -> bool:
        """Tell whether there are keys in the database. Revoked ones count: the service must not open when its last key goes."""
        if not self._is_closed:
            self._is_closed = await self._managed.get(None, self._find_any)
        return self._is_closed

    async def _find_any(self) -> bool:
        return await run_in_threadpool(self._any_key)

    def _any_key(self) -> bool:
        with self._database.read() as session:
            return repository.any_key(session)

    async def _looked_up(self, secret: bytes) -> ApiKey | None:
        digest = digest_of(secret)
        try:
            return await self._remembered.get(
                digest, functools.partial(run_in_threadpool, self._find, digest)
            )
        except LookupError:  # What is no key is not remembered: anybody could fill the memory with it.
            return None

    def _find(self, digest: str) -> ApiKey:
        """Read a key.

        Raises:
            LookupError: There is none.
        """
        with self._database.read() as session:
            key = repository.find_by_digest(session, digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            raise LookupError(digest)
        return key

    def _touch(self, key: ApiKey) -> None:
        """Note the use of a key, at most once a minute, beside the request: it neither waits for it nor fails with it."""
        at = time.monotonic()
        if at - self._touched.get(key.id, -TOUCH_EVERY.total_seconds()) < TOUCH_EVERY.total_seconds():
            return
        self._touched[key.id] = at
        task = asyncio.get_running_loop().create_task(run_in_threadpool(self._note_use, key.id))
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    def _note_use(self, key_id: str) -> None:
        try:
            with self._database.write() as session:
                repository.touch(session, key_id, now(), unless_within=TOUCH_EVERY)
        except (ServiceError, SQLAlchemyError, OSError) as error:
            logger.warning("the use of a key could not be noted", key_id=key_id, reason=str(error))


def _caller(key: ApiKey) -> Caller:
    scopes = covering(Scope(scope) for scope in key.scopes.split(","))
    return Caller(key.owner, scopes, key.id, key.max_unfinished_jobs)


def _same(sent: bytes, key: bytes) -> bool:
    """Compare digests in constant time: neither length nor content of the key can be timed."""
    return hmac.compare_digest(hashlib.sha256(sent).digest(), hashlib.sha256(key).digest())
