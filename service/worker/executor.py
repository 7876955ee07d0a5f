"""Where jobs run. The dispatcher knows only this surface, so that a cluster can stand beside the local pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from service.jobs.attempts import JobRef, Start

__all__ = ["Assignment", "Executor", "Exit", "ExitKind", "Resources"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one slot is to do: one job, or several that are trained together.

    Attributes:
        refs: The attempts, each with a life of its own.
        start: What the attempt begins with, where it is only one and the worker has read it with the claim.
    """

    refs: tuple[JobRef, ...]
    start: Start | None = None


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
        alone: Whether the process trained nothing else: only then was a crash surely of this job's making.
    """

    ref: JobRef
    kind: ExitKind
    detail: str = ""
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Resources:
    """What an executor can take now."""

    slots: int


class Executor(Protocol):
    """Places, watches and ends the training of claimed jobs. It decides nothing about retries."""

    def free(self) -> Resources:
        """Tell what could be started at once."""
        ...

    def start(self, assignment: Assignment) -> None:
        """Start one or more attempts on a free slot."""
        ...

    def poll(self) -> list[Exit]:
        """Give the attempts that ended since the last call; never waits."""
        ...

    def warm(self) -> int:
        """Count the slots that are ready to train, idle or not."""
        ...

    def give_way(self, ref: JobRef) -> None:
        """Ask the slot of an attempt to give its jobs back after a checkpoint, so that others have a turn."""
        ...

    def kill(self, ref: JobRef) -> None:
        """End an attempt by force, with all that share its slot; `poll` will report them crashed."""
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
