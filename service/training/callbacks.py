"""What a training tells while it runs, and how it can be asked to stop."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    """

    first_epoch: int
    columns: dict[str, list[float]]
    fraction: float = 0.0

    @property
    def train_loss(self) -> list[float]:
        """Loss of each completed epoch."""
        return self.columns["train_loss"]

    @property
    def learning_rate(self) -> list[float]:
        """Learning rate of each completed epoch."""
        return self.columns["learning_rate"]


class Stop(Exception):
    """Raised by a callback to end the training at once; what is trained so far stays in the network."""


class Callback:
    """Hooks of a training: each does nothing until overridden."""

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
        share: Share of the whole job that one training has.
    """

    callbacks: Sequence[Callback]
    names: Sequence[str]
    share: float = 1.0
    epoch: int = 0
    """Completed epochs, over all trainings of the job."""
    begun: float = 0.0
    """Share of the whole job that the trainings before this one had."""
    _columns: dict[str, list[float]] = field(default_factory=dict)
    _due: float = 0.0

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
        pulse = Pulse(self.epoch - count + 1, self._columns, min(1.0, self.begun + done * self.share))
        self._columns = {name: [] for name in self.names}
        for callback in self.callbacks:
            callback.on_pulse(pulse)
        self._due = time.perf_counter() + PULSE_SECONDS
