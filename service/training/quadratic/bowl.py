"""The mean squared error of an affine model as what it is: a quadratic function of the parameters."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.training.objective import LEAST
from service.training.rows import Batch, Rows

__all__ = ["Bowl", "Floats"]

Floats = npt.NDArray[np.float64]

BLOCK_ROWS = 8192
"""Rows that are converted to float64 at once: with some tens of columns they stay in the cache of a core."""


@dataclass(frozen=True, slots=True)
class Bowl:
    """`loss(W) = least + Σ (W - best)ᵀ gram (W - best)`, summed over the outputs; the gradient is `2 gram (W - best)`.

    Attributes:
        gram: Mean of a aᵀ over the rows, each weighed by its weight, over the number of outputs; a is a row's
            inputs, with a 1 appended where there is a bias. Shape (d, d).
        best: Where the loss is least; of several such points one. Shape (d, outputs).
        least: The loss there.
    """

    gram: Floats
    best: Floats
    least: float

    @classmethod
    def over(cls, rows: Rows, *, block: int, bias: bool) -> "Bowl":
        """Read all rows once.

        The loss at its least is a small difference of large sums where the targets are far from 0. So the sums are
        not those of the targets but of what a first fit, to the first rows, leaves of them.

        Args:
            rows: Features of shape (n, inputs), targets of shape (n, outputs).
            block: So many rows can be in memory at once.
            bias: Whether the model has one.
        """
        sums: _Sums | None = None
        for batch in _blocks(rows, block):
            sums = sums or _Sums.around(batch, bias=bias)
            sums.add(batch)
        if sums is None:
            raise ValueError("there are no rows")
        return sums.bowl()

    def losses(self, points: Floats) -> Floats:
        """Give the losses at points of shape (n, d, outputs)."""
        away = points - self.best
        return np.asarray(self.least + np.einsum("nik,nik->n", np.matmul(self.gram, away), away))


def _blocks(rows: Rows, block: int) -> Iterator[Batch]:
    for start in range(0, len(rows), block):
        read = rows.between(start, min(start + block, len(rows)))
        yield from (Batch(*parts) for parts in _split(read))


def _split(batch: Batch) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    for start in range(0, len(batch.features), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        yield batch.features[rows], batch.target[rows], None if batch.weight is None else batch.weight[rows]


class _Sums:
    """The sums over rows that make a bowl: one matrix holds all products of inputs and residuals."""

    def __init__(self, reference: torch.Tensor, *, bias: bool) -> None:
        self._reference = reference
        self._inputs, self._outputs = reference.shape
        self._bias = bias
        width = self._inputs + self._outputs
        self._products = torch.zeros(width, width, dtype=torch.float64)
        self._mass = 0.0
        self._table = torch.empty(BLOCK_ROWS, width, dtype=torch.float64)
        if bias:
            self._table[:, self._inputs - 1] = 1.0

    @classmethod
    def around(cls, batch: Batch, *, bias: bool) -> "_Sums":
        """Choose the reference: the least squares of the first rows, or 0 where these say nothing finite."""
        inputs = batch.features.double()
        if bias:
            inputs = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.float64)], dim=1)
        target = batch.target.double()
        # Where inputs depend on each other any of the solutions will do, but a small one.
        found = torch.linalg.lstsq(inputs, target, rcond=1e-8, driver="gelsd").solution
        return cls(found if bool(found.isfinite().all()) else torch.zeros_like(found), bias=bias)

    def add(self, batch: Batch) -> None:
        """Add a block of rows."""
        count = len(batch.features)
        table = self._table[:count]
        inputs, residuals = table[:, : self._inputs], table[:, self._inputs :]
        inputs[:, : batch.features.shape[1]] = batch.features
        residuals.copy_(batch.target)
        residuals.addmm_(inputs, self._reference, alpha=-1)
        if batch.weight is None:
            self._products.addmm_(table.t(), table)
            self._mass += count
            return
        weight = batch.weight.double()
        self._products.addmm_(table.t() * weight, table)
        self._mass += float(weight.sum())

    def bowl(self) -> Bowl:
        """Divide the sums, and find where the loss is least."""
        mean = self._products.numpy() / (max(self._mass, LEAST) * self._outputs)
        gram, mixed = mean[: self._inputs, : self._inputs], mean[: self._inputs, self._inputs :]
        residual = np.einsum("kk->", mean[self._inputs :, self._inputs :])
        curvature, axes = np.linalg.eigh(gram)
        flat = curvature <= curvature[-1] * len(curvature) * np.finfo(np.float64).eps
        along = np.where(flat[:, None], 0.0, axes.T @ mixed / np.where(flat, 1.0, curvature)[:, None])
        least = residual - np.einsum("dk,d,dk->", along, np.where(flat, 0.0, curvature), along)
        return Bowl(gram, self._reference.numpy() + axes @ along, max(0.0, float(least)))
