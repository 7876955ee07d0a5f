"""What a tracker can be told, whichever it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from service.trackers.flattening import Plain

__all__ = ["Extras", "JobTold", "Place", "Points", "Sink", "SinkAway", "SinkRefused", "SweepTold", "is_told"]


class SinkAway(Exception):
    """The tracker cannot be told anything at the moment: it is to be tried again later."""


class SinkRefused(Exception):
    """The tracker will never take this run, such as one that somebody deleted there: others go on."""


class Place(NamedTuple):
    """Where the telling of a job goes on.

    Attributes:
        run: What the tracker calls the job.
        epoch: The last epoch that need not be told again.
    """

    run: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Points:
    """The history of some epochs.

    Attributes:
        epochs: Numbers from 1, ascending; shape (n,).
        times: Seconds since 1970 at which each was recorded; the same whenever it is asked; shape (n,).
        columns: Series by name, each of shape (n,); NaN where nothing was recorded.
    """

    epochs: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    columns: Mapping[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.epochs)


@dataclass(frozen=True, slots=True)
class JobTold:
    """What is told of a job beside its history: no rows, no classes.

    Attributes:
        id: Of the job.
        name: As its owner calls it; else None.
        status: Its state, as in the API.
        terminal: Whether that is its last.
        began: Whether it has ever been taken by a worker.
        started_at: When its first attempt began; of one that never did, when it was submitted.
        finished_at: When it ended.
        epoch: Epochs whose history is recorded.
        facts: What describes it, by name: owner, seed, device, engine, sweep and the like.
        metadata: Its owner's pairs.
        parameters: The flattened spec; empty where the tracker has it.
        figures: The final numbers of its result.
    """

    id: str
    name: str | None
    status: str
    terminal: bool
    began: bool
    started_at: datetime
    finished_at: datetime | None
    epoch: int
    facts: Mapping[str, str]
    metadata: Mapping[str, str]
    parameters: Mapping[str, Plain]
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SweepTold:
    """What is told of a sweep: its trials are jobs.

    Attributes:
        id: Of the sweep.
        name: As its owner calls it; else None.
        status: Its state, as in the API.
        started_at: When it was submitted.
        finished_at: When it ended.
        facts: What describes it, by name.
        metadata: Its owner's pairs.
        parameters: The flattened search.
        figures: The value of the objective of the best trial, once there is one.
    """

    id: str
    name: str | None
    status: str
    started_at: datetime
    finished_at: datetime | None
    facts: Mapping[str, str]
    metadata: Mapping[str, str]
    parameters: Mapping[str, Plain]
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Extras:
    """Files of a job that has ended.

    Attributes:
        files: Contents by file name.
    """

    files: Mapping[str, bytes]


class Sink(Protocol):
    """A tracker. Every call may raise SinkAway; those about one run may raise SinkRefused."""

    name: str
    """As the table of trackers calls it."""
    wants_extras: bool
    """Whether files are stored with a run that has ended."""
    takes_back: bool
    """Whether what was told can be taken back. Else an epoch keeps what was told of it first."""

    def begin(self, told: JobTold, *, sweep: str | None, fresh: bool) -> Place:
        """Make the run of a job, with its parameters.

        Args:
            told: The job.
            sweep: The run of its sweep.
            fresh: False where it may be there already: whoever was here before was killed, perhaps after making it.
        """

    def resume(self, run: str, epoch: int) -> int:
        """Find out how far a run was told by somebody who was killed, or see to it that what he told last is void.

        Args:
            run: Of a job.
            epoch: That far it was told for sure.

        Returns:
            The last epoch that need not be told again.
        """

    def rewind(self, run: str, *, to: int) -> None:
        """Take back what was told after an epoch: history was dropped, and is told anew."""

    def points(self, run: str, points: Points) -> None:
        """Tell epochs that follow upon those before."""

    def state(self, run: str, told: JobTold) -> None:
        """Tell a change of state that is not the last."""

    def end(self, run: str, told: JobTold, extras: Extras) -> None:
        """Tell how a job ended."""

    def begin_sweep(self, told: SweepTold, *, fresh: bool) -> str:
        """Make the run of a sweep, to which those of its jobs belong."""

    def end_sweep(self, run: str, told: SweepTold) -> None:
        """Tell how a sweep ended."""

    def abandon(self, run: str) -> None:
        """Close a run whose job was removed before its end was told."""


def is_told(name: str, value: float) -> bool:
    """Tell whether a number of the history was recorded: what is not is NaN, but a train loss always is, NaN or not."""
    return not math.isnan(value) or name == "train_loss"
