"""What a runner process and its executor say to each other over their pipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.jobs.attempts import JobRef

__all__ = ["Done", "Drain", "Ready", "Run", "RunnerConfig"]


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """What a runner process needs to know; travels to it by pickle."""

    database_url: str
    doorbell_dir: Path
    datasets_dir: Path
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
    """From the runner: this attempt has ended, and all it had to record is recorded."""

    ref: JobRef
