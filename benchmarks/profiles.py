"""What the time of a training goes to, where it is long against its target: functions by their own time."""

import cProfile
import pstats
from collections.abc import Sequence
from pathlib import Path

from benchmarks.jobs import Job, jobs
from benchmarks.page import table
from service.training.trainer import Trainer

__all__ = ["section"]

PROFILED = ("J2", "J3", "J4", "J5")
MOST = 7


def section(*, only: Sequence[str] = (), quick: bool = False) -> str:
    """Profile the trainings; give a table for each."""
    chosen = [job for job in jobs(quick=quick) if job.name in (only or PROFILED)]
    return "\n".join(_profiled(job) for job in chosen)


def _profiled(job: Job) -> str:
    training = next(Trainer(job.plan(), job.frame).trainings())
    profile = cProfile.Profile()
    profile.runcall(training.run)
    stats = pstats.Stats(profile)
    total: float = stats.total_tt  # type: ignore[attr-defined] # it is there, and in no stub
    timings: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = stats.stats  # type: ignore[attr-defined]
    longest = sorted(timings.items(), key=lambda one: -one[1][2])[:MOST]
    rows = [[_named(*where), f"{calls:,}", f"{own / total:.0%}"] for where, (calls, _, own, *_) in longest]
    return table((f"{job.name}: {job.what}", "calls", "of the time, the profiler's own included"), rows)


def _named(file: str, line: int, name: str) -> str:
    return f"`{name}`" if file == "~" else f"`{Path(file).name}:{line} {name}`"
