"""The steps of a training, by autograd and torch's optimizers: the reference that every faster engine must equal."""

import math
from collections.abc import Callable
from typing import Protocol

import torch

from service.training.augmentation import Augmenter
from service.training.case import Case
from service.training.optimization import Clipping, Penalty, build_optimizer
from service.training.rows import Batch, Stretch

__all__ = ["EagerSteps", "MakeSteps", "Steps"]


class Steps(Protocol):
    """Makes the steps of a training.

    Attributes:
        optimizer: Its groups hold the learning rates, which a schedule changes; its state all that it remembers.
    """

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What is stepped."""
        ...

    def __call__(self, batch: Batch | Stretch) -> float:
        """Make one step; give the loss of the batch before it."""
        ...


MakeSteps = Callable[[Case, Augmenter | None], Steps]
"""Builds the steps of a training, with what changes its batches.

Raises:
    TrainingFailed: The network has no such parameter groups.
"""


class EagerSteps:
    """Autograd on any module, and torch's own optimizer."""

    def __init__(self, case: Case, augment: Augmenter | None) -> None:
        self.optimizer = build_optimizer(case.spec.optimizer, case.network)
        self._network, self._objective, self._augment = case.network, case.objective, augment
        self._penalty = Penalty(case.spec.regularization, case.network)
        self._clipping = Clipping(case.spec.regularization, case.network.parameters())
        self._step = self._lbfgs_step if case.spec.optimizer.needs_closure else self._plain_step
        self._block = case.block

    def __call__(self, batch: Batch | Stretch) -> float:
        """Make one step; a batch larger than memory is read piece by piece."""
        if self._augment is not None and isinstance(batch, Batch):
            batch = self._augment(batch)
        try:
            return self._step(batch)
        except RuntimeError as error:
            # Torch refuses a factor, such as lr times weight_decay, that the number format cannot hold.
            if "without overflow" in str(error):
                return math.inf
            raise

    def _plain_step(self, batch: Batch | Stretch) -> float:
        loss = self._gradient(batch)
        self.optimizer.step()
        return float(loss.item())

    def _lbfgs_step(self, batch: Batch | Stretch) -> float:
        """Let LBFGS ask for the loss as often as it needs; the first answer is the loss before the step."""
        asked: list[float] = []

        def closure() -> torch.Tensor:
            loss = self._gradient(batch)
            asked.append(float(loss.item()))
            return self._penalized(loss)

        self.optimizer.step(closure)  # type: ignore[arg-type] # torch documents a tensor, its stub a float
        return asked[0]

    def _gradient(self, batch: Batch | Stretch) -> torch.Tensor:
        """Compute the loss of a batch and leave the gradient of loss and penalty in the parameters."""
        self.optimizer.zero_grad()
        if isinstance(batch, Stretch):
            if batch.rows > self._block:
                return self._summed_gradient(batch)
            (piece,) = batch.pieces()
            batch = piece if self._augment is None else self._augment(piece)
        loss = self._objective(self._network, batch.features, batch.target, batch.weight)
        self._penalized(loss).backward()  # type: ignore[no-untyped-call]
        self._clipping()
        return loss

    def _summed_gradient(self, stretch: Stretch) -> torch.Tensor:
        """Do the same for a batch larger than memory: the gradients of its pieces are summed, and divided at the end."""
        total, mass = 0.0, 0.0
        for piece in stretch.pieces():
            batch = piece if self._augment is None else self._augment(piece)
            outputs = self._objective.outputs(self._network, batch.features)
            loss, weight = self._objective.sums(outputs, batch.target, batch.weight)
            loss.backward()  # type: ignore[no-untyped-call]
            total, mass = total + float(loss.detach()), mass + float(weight)
        gradients = [p.grad for p in self._network.parameters() if p.grad is not None]
        torch._foreach_div_(gradients, mass or 1.0)
        penalty = self._penalty()
        if penalty is not None:
            penalty.backward()  # type: ignore[no-untyped-call]
        self._clipping()
        return torch.tensor(total / (mass or 1.0), dtype=torch.float64)

    def _penalized(self, loss: torch.Tensor) -> torch.Tensor:
        penalty = self._penalty()
        return loss if penalty is None else loss + penalty
