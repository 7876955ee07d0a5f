"""What one training is given: the same for every engine."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from service.spec.estimates import largest_batch
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.training.callbacks import Pulses
from service.training.objective import Objective
from service.training.rows import Rows
from service.training.watch import Snapshot, Watch

__all__ = ["Case", "Further"]

Further = Callable[[int], dict[str, float]]
"""Gives further series after an epoch, by the epoch's number."""


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Attributes:
        plan: Of the effective spec.
        network: With its initial parameters.
        rows: The training rows, on the network's device.
        dev: Rows for the dev loss after each epoch.
        seed: Of the row order and of the augmentation.
        objective: The loss.
        pulses: Hear of each epoch.
        further: Gives further series after an epoch.
    """

    plan: Plan
    network: torch.nn.Module
    rows: Rows
    dev: Rows | None
    seed: int
    objective: Objective
    pulses: Pulses
    further: Further | None = None

    @property
    def spec(self) -> JobSpec:
        """The effective spec."""
        return self.plan.spec

    @property
    def batch_rows(self) -> int:
        """Rows of one full step."""
        size = self.spec.training.batch_size
        if size == "auto":
            raise ValueError("an effective spec has a batch size: send it through service.spec.intake first")
        return len(self.rows) if size == "full" else min(size, len(self.rows))

    @property
    def block(self) -> int:
        """Rows that are alive at once: rows that are read when they are asked for may be too many for one block."""
        return self.batch_rows if self.rows.is_resident else min(self.batch_rows, largest_batch(self.plan))

    def watch(self, state: list[torch.Tensor]) -> Watch | None:
        """Give what stops the training early, if anything does.

        Args:
            state: The tensors of which the best are kept.
        """
        stopping = self.spec.training.early_stopping
        if stopping is None or (stopping.monitor == "dev_loss" and self.dev is None):
            # The final training after the folds has all rows, so that there is no dev loss to watch.
            return None
        return Watch(stopping, Snapshot(state) if stopping.restore_best else None)
