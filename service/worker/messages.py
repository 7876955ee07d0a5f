"""What a runner process and its executor say to each other over their pipe."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.jobs.attempts import JobRef

__all__ = ["Done", "Drain", "Ready", "Run", "RunnerConfig"]


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

    ref: JobRef


@dataclass(frozen=True, slots=True)
class Drain:
    """To the runner: give the present job back and exit."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From the runner: torch is loaded and warm."""

    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """From the runner: this attempt has ended, and all it had to record is recorded.

    Attributes:
        ref: The attempt.
        leaving: The process ends now, and a fresh one is to take its place.
    """

    ref: JobRef
    leaving: bool = False
