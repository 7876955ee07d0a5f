"""One layer with one output under MSELoss: loss and gradient of a small batch in five products of vectors.

For so few numbers what a call costs is all that counts, and NumPy's calls cost a third of torch's.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from service.training.case import Case
from service.training.dense.flat import Flat
from service.training.rows import Batch

__all__ = ["ClosedGradient"]

Floats = npt.NDArray[np.floating[Any]]

MOST_NUMBERS = 2**13
"""Numbers of a batch. Above some 9,000 the library beneath NumPy takes more than one thread, which torch's own
setting does not reach."""


class ClosedGradient:
    """Computes the loss of a batch and writes its gradient."""

    def __init__(self, layer: torch.nn.Linear, flat: Flat) -> None:
        self._weight = layer.weight.detach().view(-1).numpy()
        self._weight_gradient = flat.gradient(layer.weight).view(-1).numpy()
        biases = list(layer.parameters())[1:]
        self._bias = biases[0].detach().numpy() if biases else None
        self._bias_gradient = flat.gradient(biases[0]).numpy() if biases else self._weight_gradient[:0]

    @classmethod
    def build(cls, case: Case, flat: Flat) -> "ClosedGradient | None":
        """Build it where it applies."""
        network = case.network
        applies = (
            type(network) is torch.nn.Linear
            and network.out_features == 1
            and case.spec.loss.type == "MSELoss"
            and case.plan.spec.data.weight is None
            and case.batch_rows * network.in_features <= MOST_NUMBERS
        )
        return cls(network, flat) if applies and isinstance(network, torch.nn.Linear) else None

    def __call__(self, batch: Batch) -> float:
        """Give the loss of the mean of (x w + b - y)², and write 2/n Xᵀ(x w + b - y) and the sum of 2/n (x w + b - y)."""
        with np.errstate(over="ignore", invalid="ignore"):  # A divergence is told by the loss.
            return self._descended(batch.features.numpy(), batch.target.numpy())

    def _descended(self, features: Floats, target: Floats) -> float:
        residual = np.dot(features, self._weight)
        if self._bias is not None:
            residual += self._bias
        residual -= target.ravel()
        count = len(residual)
        loss = float(np.dot(residual, residual)) / count
        residual *= 2 / count
        np.dot(residual, features, out=self._weight_gradient)
        if self._bias is not None:
            self._bias_gradient[0] = residual.sum()
        return loss
