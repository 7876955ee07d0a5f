"""Where jobs run. The dispatcher knows only this surface, so that a cluster can stand beside the local pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from service.jobs.attempts import JobRef

__all__ = ["Executor", "Exit", "ExitKind", "Resources"]


class ExitKind(StrEnum):
    """How the execution of an attempt ended, as its executor sees it."""

    RETURNED = "returned"
    """The runner is done with it: whatever it had to record is recorded."""
    CRASHED = "crashed"
    """The process died first."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one attempt's execution.

    Attributes:
        ref: The attempt.
        kind: How it ended.
        detail: Of a crash, what is known of it, as a sentence.
    """

    ref: JobRef
    kind: ExitKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """What an executor can take now."""

    slots: int


class Executor(Protocol):
    """Places, watches and ends the training of claimed jobs. It decides nothing about retries."""

    def free(self) -> Resources:
        """Tell what could be started at once."""
        ...

    def start(self, ref: JobRef) -> None:
        """Start an attempt on a free slot."""
        ...

    def poll(self) -> list[Exit]:
        """Give the attempts that ended since the last call; never waits."""
        ...

    def warm(self) -> int:
        """Count the slots that are ready to train, idle or not."""
        ...

    def kill(self, ref: JobRef) -> None:
        """End an attempt by force; `poll` will report it crashed."""
        ...

    def running(self) -> set[JobRef]:
        """Tell which attempts are under way."""
        ...

    def about(self) -> dict[str, Any]:
        """Tell what the slots reported when they were warm: devices, versions, seconds of one step."""
        ...

    def waitables(self) -> Sequence[Any]:
        """Give the objects on which `multiprocessing.connection.wait` wakes when `poll` has news."""
        ...

    def close(self, drain_seconds: float) -> list[Exit]:
        """Stop all: ask the runners to give their jobs back, and kill those that have not after the time given."""
        ...
