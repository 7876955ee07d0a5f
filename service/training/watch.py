"""Which epoch was the best so far, and whether it is time to stop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from service.spec.training import EarlyStopping
from service.training.checkpoint import copy_into

__all__ = ["Snapshot", "Watch"]


class Snapshot:
    """A copy of tensors that can be taken again and put back, without new memory each time."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._tensors = list(tensors)
        self._kept = [tensor.clone() for tensor in tensors]

    def take(self) -> None:
        """Copy the tensors as they are now."""
        torch._foreach_copy_(self._kept, self._tensors)

    def put_back(self) -> None:
        """Give the tensors the values of the last copy."""
        torch._foreach_copy_(self._tensors, self._kept)

    def state_dict(self) -> dict[str, Any]:
        """Give the copies."""
        return {"kept": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hold the copies that `state_dict` gave.

        Raises:
            ValueError: They are not of such tensors.
        """
        copy_into(self._kept, state["kept"])


@dataclass(slots=True)
class Watch:
    """Early stopping: keeps the best epoch's parameters and counts the epochs without improvement.

    Attributes:
        spec: What is watched, and how patiently.
        best: Copies of the best parameters; None where the last ones are kept.
        best_loss: The lowest loss so far.
        best_epoch: Its epoch in this training, from 1; 0 before the first.
    """

    spec: EarlyStopping
    best: Snapshot | None
    best_loss: float = field(default=float("inf"))
    best_epoch: int = 0

    def is_over(self, epoch: int, values: Mapping[str, float]) -> bool:
        """Hear of a completed epoch, keep its parameters if it is the best, and tell whether the training is to stop."""
        if self.improves(epoch, values[self.spec.monitor]) and self.best is not None:
            self.best.take()
        return self.is_out_of_patience(epoch)

    def improves(self, epoch: int, loss: float) -> bool:
        """Hear of a completed epoch, and tell whether its loss is below the best one by more than `min_delta`."""
        is_better = loss < self.best_loss - self.spec.min_delta
        if is_better:
            self.best_loss, self.best_epoch = loss, epoch
        return is_better

    def is_out_of_patience(self, epoch: int) -> bool:
        """Tell whether the training is to stop after this epoch."""
        return epoch - self.best_epoch >= self.spec.patience

    def state_dict(self) -> dict[str, Any]:
        """Give the best epoch so far."""
        best = None if self.best is None else self.best.state_dict()
        return {"best": best, "best_loss": self.best_loss, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        if self.best is not None:
            self.best.load_state_dict(state["best"])
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]

    def restore(self) -> int | None:
        """Put the best parameters back where the spec wants them.

        Returns:
            The epoch whose parameters are in the network now, or None when they are those of the last one.
        """
        if self.best is None or self.best_epoch == 0:
            return None
        self.best.put_back()
        return self.best_epoch
