"""What a doorbell is, and which kind goes with which database."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from service.db import Database
from service.db.postgresql import Postgresql
from service.doorbell.notifications import NotifyDoorbell, NotifyListener
from service.doorbell.pipes import PipeDoorbell, PipeListener

__all__ = ["JOB_CHANGED", "JOB_QUEUED", "UNDER_WAY", "Doorbell", "Listener", "doorbell", "listen"]

JOB_QUEUED = "queued"
"""Topic for workers: there may be a job to claim."""
JOB_CHANGED = "changed"
"""Topic for the API: the job named by the message has news for whoever waits for it."""
UNDER_WAY = "+"
"""Ends a message of `JOB_CHANGED` that is of no use to who waits for the job's end: it has begun, or got further."""


class Listener(Protocol):
    """The receiving end: a file descriptor that becomes readable when somebody rings."""

    def fileno(self) -> int:
        """Give the descriptor to wait on; it stays the same."""
        ...

    def messages(self) -> set[str]:
        """Take everything that was rung since the last call; never waits."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Doorbell(Protocol):
    """The ringing end."""

    def ring(self, topic: str, *messages: str) -> None:
        """Wake all listeners of a topic. Never waits and never fails: it is only a hint.

        Args:
            topic: `JOB_QUEUED` or `JOB_CHANGED`.
            messages: ASCII words, such as the ids of jobs; `-` where there is nothing to name.
        """
        ...

    def close(self) -> None:
        """Ring no more."""
        ...


def doorbell(database: Database, folder: Path) -> Doorbell:
    """Give the ringing end.

    Args:
        database: Whoever uses the same one hears it: on PostgreSQL on all hosts, on SQLite on this one.
        folder: For the named pipes, where the database has no notifications of its own.
    """
    if isinstance(database.system, Postgresql):
        return NotifyDoorbell(database.system.connect)
    return PipeDoorbell(folder)


def listen(database: Database, folder: Path, topic: str) -> Listener:
    """Give a receiving end for a topic; the arguments are those of `doorbell`."""
    if isinstance(database.system, Postgresql):
        return NotifyListener(database.system.connect, topic)
    return PipeListener(folder, topic)
