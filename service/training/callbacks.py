"""What a training tells while it runs, and how it can be asked to stop."""

import contextlib
import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.training.checkpoint import Checkpoint
from service.training.training import Engine

__all__ = ["Callback", "Phase", "Pulse", "Pulses", "Stop"]

PULSE_SECONDS = 0.025
"""How often the callbacks hear of the training; cancel, progress and history are as fine as this."""
READING_SECONDS = 0.25
"""After so long without a pulse they hear also in the middle of a step, or of a pass over the rows beside the steps."""

Phase = Literal["preparing", "training", "scoring"]


@dataclass(slots=True)
class Pulse:
    """What happened since the last pulse: completed epochs, and how far the current one is.

    Attributes:
        first_epoch: Number of the first epoch in `columns`, from 1; all trainings of a job count on.
        columns: Series of one length by name; `train_loss` (the mean over the epoch's rows, each batch taken
            before its step) and `learning_rate` always, and the same names in all pulses of a job.
        fraction: Share of the whole job that is done, from 0 to 1.
        engine: What makes the steps; None before the first training.
        checkpoint: Gives the job as it stands at this very moment; only while `on_pulse` runs, and at no cost
            unless it is called. None where the job is not between two steps, but reads rows.
        phase: What the job is at. Before and after its steps, rows that are read from disk take their time.
    """

    first_epoch: int
    columns: dict[str, list[float]]
    fraction: float
    engine: Engine | None
    checkpoint: Callable[[], Checkpoint] | None
    phase: Phase = "training"

    @property
    def train_loss(self) -> list[float]:
        """Loss of each completed epoch."""
        return self.columns["train_loss"]

    @property
    def learning_rate(self) -> list[float]:
        """Learning rate of each completed epoch."""
        return self.columns["learning_rate"]


class Stop(Exception):
    """Raised by a callback to end the training at once; what is trained so far stays in the network.

    Attributes:
        reason: Why, in snake_case: it becomes the reason for which the training, and the job, ended.
    """

    def __init__(self, reason: str = "stopped") -> None:
        super().__init__(reason)
        self.reason = reason


class Callback:
    """Hooks of a training: each does nothing until overridden.

    What a hook raises, but for `Stop`, ends everything at once: nothing is scored, and `Trainer.fit` raises it.
    """

    def on_start(self) -> None:
        """The data is ready, the first step comes next."""

    def on_pulse(self, pulse: Pulse) -> None:
        """Some 20 times a second, and after the last epoch; less often while rows are read from disk.

        Raises:
            Stop: End the training here. While rows are scored there is no training to end: they are left unscored.
        """

    def on_end(self) -> None:
        """The training has ended, for whatever reason but an error."""


@dataclass(slots=True)
class _Pass:
    """What is read of an expected number of rows, and what all of them are worth."""

    rows: int = 0
    since: float = 0.0
    until: float = 0.0
    read: int = 0

    @property
    def done(self) -> float:
        return self.since + (self.until - self.since) * min(1.0, self.read / max(1, self.rows))


@dataclass(slots=True)
class Pulses:
    """Gathers what the callbacks are to hear, and tells them when it is time.

    Attributes:
        callbacks: Hear of the training in this order.
        names: Of the series; what an epoch does not give is NaN there.
        state: Gives what a checkpoint is to hold.
        share: Share of the whole job that the present phase of a training has.
    """

    callbacks: Sequence[Callback]
    names: Sequence[str]
    state: Callable[[], Mapping[str, Any]]
    share: float = 1.0
    epoch: int = 0
    """Completed epochs, over all trainings of the job."""
    begun: float = 0.0
    """Share of the whole job that was done when this phase began."""
    phase: Phase = "training"
    engine: Engine | None = None
    """What makes the steps of the present training."""
    _columns: dict[str, list[float]] = field(default_factory=dict)
    _due: float = 0.0
    _moment: int = 0
    """Counts where pulses begin and end."""
    _last: float = 0.0
    """When the callbacks heard last."""
    _pass: _Pass = field(default_factory=_Pass)

    def start(self) -> None:
        """Tell that the training starts."""
        self._columns = {name: [] for name in self.names}
        for callback in self.callbacks:
            callback.on_start()
        self._last = time.perf_counter()
        self._due = self._last + PULSE_SECONDS

    def enter(self, phase: Phase, *, begun: float, share: float) -> None:
        """Begin a phase of one training.

        Args:
            phase: Which.
            begun: Share of the whole job that is done.
            share: Share of the whole job that this phase has.
        """
        self.phase, self.begun, self.share = phase, begun, share
        self._pass = _Pass()

    def expect(self, rows: int, *, since: float = 0.0, until: float = 1.0) -> None:
        """Say what reading so many rows from here on is worth, as shares of this phase: from `since` to `until`."""
        self._pass = _Pass(rows, since, until)

    def heard(self, rows: int) -> None:
        """Note that rows are read, and tell the callbacks so if they have not heard for long.

        Raises:
            Stop: A callback wants the training to end.
        """
        self._pass.read += rows
        if time.perf_counter() - self._last >= READING_SECONDS:
            self._tell(self._pass.done, None)

    def leave(self) -> None:
        """Tell that a phase is over; what callbacks want of it comes too late."""
        with contextlib.suppress(Stop):
            self._tell(1.0, None)

    def end(self) -> None:
        """Tell that the training has ended."""
        for callback in self.callbacks:
            callback.on_end()

    def record(self, values: Mapping[str, float]) -> None:
        """Note what one completed epoch gave."""
        self.epoch += 1
        for name, series in self._columns.items():
            series.append(values.get(name, math.nan))

    def record_all(self, columns: Mapping[str, Sequence[float]], count: int) -> None:
        """Note what several completed epochs gave: series of `count` numbers each."""
        self.epoch += count
        for name, series in self._columns.items():
            series.extend(columns.get(name) or itertools.repeat(math.nan, count))

    def tell_if_due(self, done: float) -> None:
        """Tell the callbacks what is new, if the last pulse is long enough ago.

        Args:
            done: Share of this one training that is done.

        Raises:
            Stop: A callback wants the training to end.
        """
        if time.perf_counter() >= self._due:
            self.tell(done)

    def tell(self, done: float) -> None:
        """Tell the callbacks what is new. They may take long, so the next pulse is timed from their end.

        Raises:
            Stop: A callback wants the training to end.
        """
        self._moment += 1
        self._pass = _Pass(since=done, until=done)
        self._tell(done, functools.partial(self._checkpoint, self._moment, self._fraction(done)))
        self._moment += 1
        self._due = time.perf_counter() + PULSE_SECONDS

    def _tell(self, done: float, checkpoint: Callable[[], Checkpoint] | None) -> None:
        first = self.epoch - len(self._columns["train_loss"]) + 1
        pulse = Pulse(first, self._columns, self._fraction(done), self.engine, checkpoint, self.phase)
        self._columns = {name: [] for name in self.names}
        for callback in self.callbacks:
            callback.on_pulse(pulse)
        self._last = time.perf_counter()

    def _fraction(self, done: float) -> float:
        return min(1.0, self.begun + done * self.share)

    def _checkpoint(self, moment: int, fraction: float) -> Checkpoint:
        if moment != self._moment:
            raise RuntimeError("the pulse is over, and the training has gone on")
        return Checkpoint(self.epoch, fraction, self.state())
