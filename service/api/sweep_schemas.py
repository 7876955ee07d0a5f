"""What the API answers about sweeps, as models for its OpenAPI document."""

from datetime import datetime
from typing import Any, Literal

from service.api.schemas import JobError, Wire
from service.jobs.lifecycle import Status, StopReason
from service.sweeps.lifecycle import SweepStatus
from service.sweeps.spec import SweepSpec

__all__ = ["Sweep", "SweepList", "TrialList"]


class EffectiveSweep(SweepSpec):
    """The body with every default and the seed filled in: sent again, it repeats the sweep."""


class SweepProgress(Wire):
    """How far a sweep is."""

    trials: int
    """Trials of the whole search, at most: where too few succeed, rungs of successive halving stay shorter."""
    added: int
    """Trials that are queued, trained or ended."""
    ended: int
    """Trials that have ended."""
    fraction: float
    """Share of the trials that is done, from 0 to 1; what is half trained counts as a half."""
    seconds: float
    """Training time so far, all trials together."""
    eta_seconds: float | None
    """Time that the rest will take at the pace so far, with as many at once as are trained now."""


class Best(Wire):
    """The trial with the best value of the objective so far."""

    trial: int
    job_id: str
    values: dict[str, Any]
    """Of each parameter, by its pointer."""
    objective: float
    train_loss: float | None
    dev_loss: float | None


class Sweep(Wire):
    """Many trainings of one spec."""

    id: str
    object: Literal["sweep"]
    name: str | None
    status: SweepStatus
    terminal: bool
    """Whether the sweep has ended, so that no client needs a list of states."""
    created_at: datetime
    finished_at: datetime | None
    progress: SweepProgress
    jobs: dict[Status, int]
    """How many of its jobs are in each state that any is in."""
    best: Best | None
    seed: int
    """Seed of the search, and of each training whose spec leaves it open."""
    spec: EffectiveSweep
    error: JobError | None
    metadata: dict[str, str]
    links: dict[str, str]
    """Paths of what belongs to the sweep."""


class SweepList(Wire):
    """A page of sweeps, newest first."""

    object: Literal["list"]
    data: list[Sweep]
    has_more: bool
    next_after: str | None
    """Send it as `after` to get the next page."""


class Trial(Wire):
    """One training of a sweep."""

    trial: int
    """Its number, from 0."""
    job_id: str | None
    """Its job; null where its spec was refused."""
    status: Status
    stop_reason: StopReason | None
    values: dict[str, Any]
    """Of each parameter, by its pointer."""
    objective: float | None
    """What the sweep compares; null where the job has not succeeded."""
    train_loss: float | None
    """Of the result, or else of the last epoch."""
    dev_loss: float | None
    epoch: int
    """Epochs that are done."""
    epochs: int | None
    """Epochs in all."""
    seconds: float
    """Training time so far."""
    rung: int
    """Of successive halving, from 0; 0 in other searches."""
    repeats: int | None
    """Of successive halving: the trial of the rung before that this one repeats with more epochs."""
    error: JobError | None


class TrialList(Wire):
    """All trials of a sweep."""

    object: Literal["list"]
    data: list[Trial]
    has_more: Literal[False]
    next_after: None
