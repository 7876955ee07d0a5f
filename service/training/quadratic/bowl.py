"""The mean squared error of affine models as what it is: a quadratic function of the parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.training.objective import LEAST
from service.training.rows import Batch, Rows, Table

__all__ = ["Bowl", "Floats", "Reading", "bowls", "parameters_of"]

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

    def losses(self, points: Floats) -> Floats:
        """Give the losses at points of shape (n, d, outputs)."""
        away = points - self.best
        return np.asarray(self.least + np.einsum("nik,nik->n", np.matmul(self.gram, away), away))


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows that are to be read once.

    Attributes:
        rows: Features of shape (n, inputs), targets of shape (n, outputs).
        block: So many rows can be in memory at once.
        bias: Whether the model has one.
    """

    rows: Rows
    block: int
    bias: bool

    @property
    def likeness(self) -> tuple[object, ...] | None:
        """What must be equal for rows to be read together; None for those that are read alone."""
        rows = self.rows
        if not isinstance(rows, Table) or len(rows) > BLOCK_ROWS:
            return None
        return rows.features.shape, rows.target.shape, rows.weight is None, self.bias


def parameters_of(network: torch.nn.Linear) -> Floats:
    """Give the parameters as a matrix of shape (inputs, outputs), the bias as its last row."""
    parts = [one.detach().double().reshape(network.out_features, -1) for one in network.parameters()]
    return np.ascontiguousarray(torch.cat(parts, dim=1).numpy().T)


def bowls(readings: Sequence[Reading]) -> list[Bowl]:
    """Read rows, those of small tables of one shape together.

    The loss at its least is a small difference of large sums where the targets are far from 0. So the sums are not
    those of the targets but of what a first fit, to the first rows, leaves of them.
    """
    together: dict[object, list[int]] = {}
    for number, one in enumerate(readings):
        together.setdefault(one.likeness or number, []).append(number)
    found: dict[int, Bowl] = {}
    for numbers in together.values():
        some = [readings[number] for number in numbers]
        found.update(zip(numbers, _read(some), strict=True))
    return [found[number] for number in range(len(readings))]


def _read(readings: Sequence[Reading]) -> list[Bowl]:
    sums: _Sums | None = None
    for batch in _blocks(readings):
        sums = sums or _Sums.around(batch, bias=readings[0].bias)
        sums.add(batch)
    if sums is None:
        raise ValueError("there are no rows")
    return sums.bowls()


def _blocks(readings: Sequence[Reading]) -> Iterator[Batch]:
    """Give the rows with a leading axis of tables: of one, piece by piece; of several, in one piece."""
    if len(readings) > 1:
        batches = [one.rows.between(0, len(one.rows)) for one in readings]
        weights = [one.weight for one in batches if one.weight is not None]
        features, target = (
            torch.stack(parts) for parts in zip(*((b[0], b[1]) for b in batches), strict=True)
        )
        yield Batch(features, target, torch.stack(weights) if weights else None)
        return
    (one,) = readings
    for start in range(0, len(one.rows), one.block):
        read = one.rows.between(start, min(start + one.block, len(one.rows)))
        for first in range(0, len(read.features), BLOCK_ROWS):
            rows = slice(first, first + BLOCK_ROWS)
            yield Batch(*(None if part is None else part[None, rows] for part in read))  # type: ignore[arg-type] # only weights are None


class _Sums:
    """The sums over rows that make bowls: one matrix for each table holds all products of inputs and residuals."""

    def __init__(self, reference: torch.Tensor, *, bias: bool) -> None:
        self._reference = reference
        tables, self._inputs, self._outputs = reference.shape
        width = self._inputs + self._outputs
        self._products = torch.zeros(tables, width, width, dtype=torch.float64)
        self._mass = torch.zeros(tables, dtype=torch.float64)
        self._bias = bias
        self._table = torch.empty(tables, 0, width, dtype=torch.float64)

    @classmethod
    def around(cls, batch: Batch, *, bias: bool) -> "_Sums":
        """Choose the reference: a rough least squares of the first rows, or 0 where these say nothing finite."""
        inputs = batch.features.double()
        if bias:
            inputs = torch.cat([inputs, inputs.new_ones(*inputs.shape[:2], 1)], dim=2)
        turned = inputs.transpose(1, 2)
        gram, mixed = turned @ inputs, turned @ batch.target.double()
        # A little of the identity keeps the solution small where inputs depend on each other; any will do.
        size = torch.diagonal(gram, dim1=1, dim2=2).sum(1).clamp_min(LEAST)[:, None, None]
        ridge = 1e-9 * size * torch.eye(gram.shape[1], dtype=torch.float64)
        found = torch.linalg.solve_ex(gram + ridge, mixed).result
        return cls(torch.where(found.isfinite().all(), found, 0.0), bias=bias)

    def add(self, batch: Batch) -> None:
        """Add a block of rows: features of shape (tables, rows, inputs), and so on."""
        count, own = batch.features.shape[1:]
        if count > self._table.shape[1]:
            self._table = self._table.new_ones(self._table.shape[0], count, self._table.shape[2])
        table = self._table[:, :count]
        inputs, residuals = table[..., : self._inputs], table[..., self._inputs :]
        inputs[..., :own] = batch.features
        residuals.copy_(batch.target)
        residuals.baddbmm_(inputs, self._reference, alpha=-1)
        turned = table.transpose(1, 2)
        if batch.weight is None:
            self._products.baddbmm_(turned, table)
            self._mass += count
            return
        weight = batch.weight.double()
        self._products.baddbmm_(turned * weight[:, None], table)
        self._mass += weight.sum(1)

    def bowls(self) -> list[Bowl]:
        """Divide the sums, and find where each loss is least."""
        mass = self._mass.clamp_min(LEAST) * self._outputs
        mean = (self._products / mass[:, None, None]).numpy()
        d = self._inputs
        gram, mixed = mean[:, :d, :d], mean[:, :d, d:]
        residual = np.einsum("nkk->n", mean[:, d:, d:])
        curvature, axes = np.linalg.eigh(gram)
        least = curvature[:, -1:] * d * np.finfo(np.float64).eps
        inverse = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > least)
        along = inverse[..., None] * np.matmul(axes.transpose(0, 2, 1), mixed)
        spared = np.einsum("ndk,nd,ndk->n", along, np.where(curvature > least, curvature, 0.0), along)
        best = self._reference.numpy() + np.matmul(axes, along)
        lows = np.maximum(residual - spared, 0.0).tolist()
        return [Bowl(*parts) for parts in zip(gram, best, lows, strict=True)]
