"""Writes of several threads in one transaction, so that they share the cost of its commit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.orm import Session

from service.db.database import Database
from service.exceptions import DatabaseBusy, ServiceError

__all__ = ["SharedWrites"]

logger = structlog.get_logger(__name__)

MOST = 32
"""Writes in one transaction: the rest goes into the next, so that nobody waits for a crowd."""

Written = TypeVar("Written")


class _Write(Generic[Written]):
    def __init__(self, work: Callable[[Session], Written]) -> None:
        self.work = work
        self.result: Future[Written] = Future()


class SharedWrites:
    """Hands each write to whichever thread comes to the database next: it takes along all that wait by then.

    A write alone is a transaction like any other. Nobody waits for company: it gathers by itself while the
    transaction before is being committed, which is when there is something to gain.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Write[Any]] = []
        self._guard = threading.Lock()
        self._turn = threading.Lock()

    def write(self, work: Callable[[Session], Written]) -> Written:
        """Do one write, and return after its transaction is committed.

        Args:
            work: Gets a writing session. What it raises undoes what it did, and nothing else.

        Raises:
            DatabaseBusy: As `Database.write`.
        """
        own = _Write(work)
        with self._guard:
            self._waiting.append(own)
        with self._turn:
            while not own.result.done():
                self._write_next()
        return own.result.result()

    def _write_next(self) -> None:
        with self._guard:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if len(batch) > 1 and self._went_together(batch):
            return
        for one in batch:
            self._write_alone(one)

    def _write_alone(self, one: _Write[Any]) -> None:
        try:
            with self._database.write() as session:
                value = one.work(session)
        except Exception as error:  # noqa: BLE001 - it goes to whoever waits for the result
            one.result.set_exception(error)
        else:
            one.result.set_result(value)

    def _went_together(self, batch: list[_Write[Any]]) -> bool:
        """Write all in one transaction; False where one of them broke it, and nothing is written."""
        try:
            with self._database.write() as session:
                outcomes = [(one, _outcome(session, one)) for one in batch]
        except DatabaseBusy as error:
            for one in batch:
                one.result.set_exception(error)
            return True
        except Exception as error:  # noqa: BLE001 - it is told to who made it, when each writes for itself
            logger.warning("writes are repeated one by one", error=type(error).__name__)
            return False
        for one, value in outcomes:
            if isinstance(value, ServiceError):
                one.result.set_exception(value)
            else:
                one.result.set_result(value)
        return True


def _outcome(session: Session, one: _Write[Any]) -> Any:  # noqa: ANN401 - whatever the work gives
    """Do one of several writes; what it refuses to do is undone, and is its own matter."""
    try:
        with session.begin_nested():
            return one.work(session)
    except DatabaseBusy:
        raise
    except ServiceError as error:
        return error
