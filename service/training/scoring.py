"""The loss and the outputs of a network over many rows, block by block."""

from collections.abc import Callable, Iterator

import torch

from service.training.objective import Objective, Outputs
from service.training.rows import Batch, Rows

__all__ = ["Seen", "blocks", "mean_loss", "outputs"]


def blocks(rows: Rows, size: int) -> Iterator[Batch]:
    """Give the rows in order, `size` at a time."""
    return (rows.between(start, min(start + size, len(rows))) for start in range(0, len(rows), size))


Seen = Callable[[Outputs, torch.Tensor], None]
"""Is given the outputs of a block of rows, and their target."""


def _unseen(outputs: Outputs, target: torch.Tensor) -> None:
    """Look at nothing."""


def mean_loss(
    objective: Objective, network: torch.nn.Module, rows: Rows, *, block: int, seen: Seen = _unseen
) -> float:
    """Compute the loss over all rows as it would be predicted: without dropout, with the running statistics.

    Blocks are weighed by their rows, or by the sum of their rows' weights. NaN or infinite where it is so.
    `seen` may look at what the network gives: so one pass over the rows does for both.
    """
    training = network.training
    network.eval()
    total, weights = 0.0, 0.0
    with torch.inference_mode():
        for batch in blocks(rows, block):
            given = objective.outputs(network, batch.features)
            loss, mass = _loss(objective, given, batch, is_whole=len(batch.features) == len(rows))
            total, weights = total + loss, weights + mass
            seen(given, batch.target)
    network.train(training)
    return total / weights if weights else float("nan")


def _loss(objective: Objective, given: Outputs, batch: Batch, *, is_whole: bool) -> tuple[float, float]:
    """Give the sum of the rows' losses and what it is to be divided by."""
    if is_whole:  # The mean of one block is its loss, to the last bit.
        return float(objective.loss(given, batch.target, batch.weight).item()), 1.0
    if batch.weight is not None or objective.spec.weights():
        loss, mass = objective.sums(given, batch.target, batch.weight)
        return float(loss), float(mass)
    count = len(batch.features)
    return float(objective.loss(given, batch.target).item()) * count, count


def outputs(network: torch.nn.Module, features: torch.Tensor, *, block: int) -> torch.Tensor:
    """Apply a network to rows, `block` at a time, as it predicts."""
    training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [network(part) for part in torch.split(features, block)]
    network.train(training)
    return torch.cat(parts)
