"""What a training tells while it runs, and how it can be asked to stop."""

import functools
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.training.checkpoint import Checkpoint
from service.training.training import Engine

__all__ = ["Callback", "Pulse", "Pulses", "Stop"]

PULSE_SECONDS = 0.025
"""How often the callbacks hear of the training; cancel, progress and history are as fine as this."""


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
            unless it is called.
    """

    first_epoch: int
    columns: dict[str, list[float]]
    fraction: float
    engine: Engine | None
    checkpoint: Callable[[], Checkpoint]

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
        """Some 20 times a second, and after the last epoch.

        Raises:
            Stop: End the training here.
        """

    def on_end(self) -> None:
        """The training has ended, for whatever reason but an error."""


@dataclass(slots=True)
class Pulses:
    """Gathers what the callbacks are to hear, and tells them when it is time.

    Attributes:
        callbacks: Hear of the training in this order.
        names: Of the series; what an epoch does not give is NaN there.
        state: Gives what a checkpoint is to hold.
        share: Share of the whole job that one training has.
    """

    callbacks: Sequence[Callback]
    names: Sequence[str]
    state: Callable[[], Mapping[str, Any]]
    share: float = 1.0
    epoch: int = 0
    """Completed epochs, over all trainings of the job."""
    begun: float = 0.0
    """Share of the whole job that the trainings before this one had."""
    engine: Engine | None = None
    """What makes the steps of the present training."""
    _columns: dict[str, list[float]] = field(default_factory=dict)
    _due: float = 0.0
    _moment: int = 0
    """Counts where pulses begin and end."""

    def start(self) -> None:
        """Tell that the training starts."""
        self._columns = {name: [] for name in self.names}
        for callback in self.callbacks:
            callback.on_start()
        self._due = time.perf_counter() + PULSE_SECONDS

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
        count = len(self._columns["train_loss"])
        fraction = min(1.0, self.begun + done * self.share)
        self._moment += 1
        checkpoint = functools.partial(self._checkpoint, self._moment, fraction)
        pulse = Pulse(self.epoch - count + 1, self._columns, fraction, self.engine, checkpoint)
        self._columns = {name: [] for name in self.names}
        for callback in self.callbacks:
            callback.on_pulse(pulse)
        self._moment += 1
        self._due = time.perf_counter() + PULSE_SECONDS

    def _checkpoint(self, moment: int, fraction: float) -> Checkpoint:
        if moment != self._moment:
            raise RuntimeError("the pulse is over, and the training has gone on")
        return Checkpoint(self.epoch, fraction, self.state())
