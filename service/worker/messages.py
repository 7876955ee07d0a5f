"""What a runner process and its executor say to each other over their pipe."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.jobs.attempts import JobRef
from service.worker.executor import Assignment

__all__ = ["Done", "Drain", "GiveWay", "Ready", "Run", "RunnerConfig"]


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """What a runner process needs to know; travels to it by pickle."""

    database_url: str = field(repr=False)  # It may have a password in it.
    doorbell_dir: Path
    datasets_dir: Path
    checkpoints_dir: Path
    failpoints_dir: Path | None
    checkpoint_seconds: float
    min_free_bytes: int
    memory_bytes: int
    recycle_jobs: int
    recycle_bytes: int
    threads: int
    log_format: str
    log_level: str


@dataclass(frozen=True, slots=True)
class Run:
    """To the runner: train this."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Drain:
    """To the runner: give the present jobs back and exit."""


@dataclass(frozen=True, slots=True)
class GiveWay:
    """To the runner: give these jobs back for now, others have waited for long.

    It may come too late, when they have ended: then it means nothing.
    """

    refs: tuple[JobRef, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """From the runner: torch is loaded and warm."""

    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """From the runner: these attempts have ended, and all they had to record is recorded.

    Attributes:
        refs: All attempts of the present assignment.
        leaving: The process ends now, and a fresh one is to take its place.
    """

    refs: tuple[JobRef, ...]
    leaving: bool = False
