"""What a training tells while it runs, and how it can be asked to stop."""

from dataclasses import dataclass, field

__all__ = ["Callback", "Pulse", "Stop"]


@dataclass(slots=True)
class Pulse:
    """What happened since the last pulse: completed epochs, and how far the current one is.

    Attributes:
        first_epoch: Number of the first epoch in `train_loss`, from 1.
        train_loss: Loss of each completed epoch: the mean over its rows, each batch taken before its step.
        learning_rate: Learning rate of each completed epoch.
        fraction: Share of the whole training that is done, from 0 to 1.
    """

    first_epoch: int
    train_loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    fraction: float = 0.0


class Stop(Exception):
    """Raised by a callback to end the training at once; what is trained so far stays in the network."""


class Callback:
    """Hooks of a training: each does nothing until overridden."""

    def on_start(self) -> None:
        """The network is built, the first step comes next."""

    def on_pulse(self, pulse: Pulse) -> None:
        """Some 20 times a second, and after the last epoch.

        Raises:
            Stop: End the training here.
        """

    def on_end(self) -> None:
        """The training has ended, for whatever reason but an error."""
