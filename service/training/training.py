"""What an engine is to the trainer: one training that runs, tells, and can be put down and taken up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

__all__ = ["Engine", "Trained", "Training"]


@dataclass(frozen=True, slots=True)
class Engine:
    """What makes the steps.

    Attributes:
        name: `eager` is plain torch, the reference; the others compute the same training faster.
        reason: Why this one, as a sentence.
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trained:
    """How one training ended.

    Attributes:
        reason: `completed`, `early_stopped` or `diverged`; or what a callback gave that ended it before: `stopped`,
            unless it said otherwise.
        epochs: Completed epochs of this training.
        first_loss: Loss of its first epoch; None if it was not finite.
        kept_epoch: Epoch whose parameters were put back, by early stopping or after divergence; None where the
            last ones are kept.
    """

    reason: str
    epochs: int
    first_loss: float | None
    kept_epoch: int | None = None


class Training(Protocol):
    """One training of one network.

    Attributes:
        stop: The reason that a callback gave to end everything here; None where none did.
        trained: How it ended; None before.
    """

    stop: str | None
    trained: Trained | None

    @property
    def network(self) -> torch.nn.Module:
        """What is trained: with the parameters after the last step, or the best ones after early stopping."""
        ...

    def run(self) -> None:
        """Run all epochs, or fewer if a callback or early stopping ends them, or the loss stops being a number."""
        ...

    def back_to_finite(self) -> Trained:
        """Put back the parameters from before the last epoch: the last ones whose loss is known to be finite."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Give all that the rest of this training depends on, between two steps: its very tensors, not copies.

        The process's own random numbers are not among it (`service.training.randomness`).
        """
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken, in a training of the same job by the same engine.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: It was taken from another job.
        """
        ...
