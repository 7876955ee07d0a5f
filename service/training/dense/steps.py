"""The engine *dense*: the steps of a network of known layers, written out."""

import torch

from service.training.augmentation import Augmenter
from service.training.case import Case
from service.training.dense.closed import ClosedGradient
from service.training.dense.flat import Flat
from service.training.dense.losses import criterion_of
from service.training.dense.passes import passes_of
from service.training.dense.rules import rule_of
from service.training.optimization import Clipping
from service.training.rows import Batch, Stretch

__all__ = ["DenseSteps"]


class DenseSteps:
    """Forward and backward pass layer by layer, and one update of all parameters at once.

    Attributes:
        optimizer: Over the one tensor of all parameters.
        flat: That tensor.
        case: What is trained.
        is_plain: Whether a step is nothing but this: no penalty, no clipping, no change of the rows.
    """

    def __init__(self, case: Case, augment: Augmenter | None) -> None:
        spec, network = case.spec, case.network
        flat = Flat(network)
        make = getattr(torch.optim, spec.optimizer.type)
        self.optimizer: torch.optim.Optimizer = make([("flat", flat.parameter)], **spec.optimizer.arguments())
        self.flat, self.case = flat, case
        self._augment = augment
        self._gradient = ClosedGradient.build(case, flat) or _LayeredGradient(case, flat)
        self._penalty = _PenaltyGradient(case, flat)
        self._clipping = Clipping(spec.regularization, [flat.parameter])
        self._bounds = spec.regularization.has_penalty or spec.regularization.clips
        self.is_plain = not self._bounds and augment is None
        self._rule = rule_of(self.optimizer)

    def __call__(self, batch: Batch | Stretch) -> float:
        """Make one step; give the loss of the batch before it."""
        if isinstance(batch, Stretch):
            (batch,) = batch.pieces()
        if self._augment is not None:
            batch = self._augment(batch)
        loss = self._gradient(batch)
        if self._bounds:
            self._penalty()
            self._clipping()
        self._rule()
        return loss


class _LayeredGradient:
    """Computes the loss of a batch and writes its gradient, layer by layer."""

    def __init__(self, case: Case, flat: Flat) -> None:
        passes = passes_of(case.network, flat)
        self._forward = [one.forward for one in passes]
        self._backward = [one.backward for one in reversed(passes)]
        self._criterion = criterion_of(case.objective)

    def __call__(self, batch: Batch) -> float:
        values = batch.features
        for forward in self._forward:
            values = forward(values)
        loss, gradient = self._criterion(values, batch.target, batch.weight)
        for backward in self._backward:
            gradient = backward(gradient)
        return loss


class _PenaltyGradient:
    """Adds the gradient of `l1 · Σ|w| + l2 · Σw²`."""

    def __init__(self, case: Case, flat: Flat) -> None:
        self._spec = case.spec.regularization
        # Biases and the factors of normalization have one dimension.
        weights = [p for p in case.network.parameters() if p.ndim >= 2]  # noqa: PLR2004
        self._pairs = [(p.detach(), flat.gradient(p)) for p in weights] if self._spec.has_penalty else []

    def __call__(self) -> None:
        for weight, gradient in self._pairs:
            if self._spec.l2:
                gradient.add_(weight, alpha=2 * self._spec.l2)
            if self._spec.l1:
                gradient.add_(weight.sign(), alpha=self._spec.l1)
