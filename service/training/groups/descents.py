"""Full-batch SGD on many quadratic functions at once: where all of them end, and the sum of their losses in each epoch.

Each function is taken apart along its principal axes. Along an axis one step is a matrix M of shape (s, s): s is 1,
or 2 with momentum (Goh 2017, "Why momentum really works", section 3). The state after `i + B j` steps is then
`M^i M^(B j) x`, and the sum of its squares over all axes and functions is a product of two tables, one over i and
one over j, each with about as many rows as the root of the epochs: nobody ever writes down a single loss.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from service.spec.optimizers import SGD
from service.training.quadratic.bowl import Floats
from service.training.quadratic.descent import Motion, flat_axes

__all__ = ["Bowls", "Descents", "squares"]

AMPLIFIED = 1e12
"""By so much a stable descent with momentum may grow before it shrinks, and more."""


@dataclass(frozen=True, slots=True)
class Bowls:
    """The mean squared errors of affine models: `loss(W) = least + Σ (W - best)ᵀ gram (W - best)`, summed over the outputs.

    Attributes:
        gram: Shape (functions, d, d).
        best: Where each is least; of several such points one. Shape (functions, d, outputs).
        least: Shape (functions,).
    """

    gram: Floats
    best: Floats
    least: Floats

    @classmethod
    def over(cls, inputs: Floats, targets: Floats, weights: Floats, *, near: Floats) -> "Bowls":
        """Read all rows.

        Args:
            inputs: With a 1 appended where there is a bias; shape (functions, rows, d).
            targets: Shape (functions, rows, outputs).
            weights: Of each row over the sum of its function's; 0 for rows that only fill up. Shape (functions, rows).
            near: Parameters to look for the least from: along flat axes it is theirs. Shape (d, outputs).
        """
        weighted = np.swapaxes(inputs * weights[:, :, None], 1, 2) / targets.shape[2]
        gram = weighted @ inputs
        # What is too large for float64 is told apart by its loss; eigenvalues are only asked for of numbers.
        broken = ~np.isfinite(gram).all(axis=(1, 2))
        gram[broken] = 0.0
        curvature, axes = np.linalg.eigh(gram)
        flat = flat_axes(curvature)
        inverse = np.where(flat, 0.0, 1 / np.where(flat, 1.0, curvature))[:, :, None]
        best = np.broadcast_to(near, (len(inputs), *near.shape))
        # Twice: what the first look leaves of the targets is small, and so is the rounding of its sums.
        for _ in range(2):
            rest = targets - inputs @ best
            best = best + axes @ (inverse * (np.swapaxes(axes, 1, 2) @ (weighted @ rest)))
        least = squares(inputs, targets, weights, at=best)
        least[broken | ~np.isfinite(best).all(axis=(1, 2))] = np.inf
        return cls(gram, np.where(np.isfinite(best), best, 0.0), least)


def squares(inputs: Floats, targets: Floats, weights: Floats, *, at: Floats) -> Floats:
    """Give the mean squared errors with the parameters `at`, of shape (functions, d, outputs)."""
    rest = targets - inputs @ at
    return np.asarray(np.einsum("grk,grk,gr->g", rest, rest, weights) / targets.shape[2])


class Descents:
    """`torch.optim.SGD` on the mean squared errors of many affine models, all from the same parameters.

    Attributes:
        tame: Which of them are sure to stay finite, whatever the epochs; shape (functions,). The others are none of
            its business: what is told of them is without meaning.
    """

    def __init__(self, bowls: Bowls, optimizer: SGD, *, start: Floats, decay: Floats, largest: float) -> None:
        """Find the principal axes.

        Args:
            bowls: The losses.
            optimizer: Its learning rate, momentum, dampening and Nesterov's way.
            start: The parameters, shape (d, outputs).
            decay: What of each parameter is added to its gradient; shape (d,).
            largest: A loss that is still finite.
        """
        self._bowls = bowls
        self._is_plain = not decay.any()
        curvature, axes = np.linalg.eigh(2 * bowls.gram + np.diag(decay))
        flat = flat_axes(curvature)
        self._axes = axes
        self._curvature = np.where(flat, 0.0, curvature)
        inverse = np.where(flat, 0.0, 1 / np.where(flat, 1.0, curvature))[:, :, None]
        across = np.swapaxes(axes, 1, 2)
        drawn = axes @ (inverse * (across @ (decay[:, None] * bowls.best)))
        self._centre = bowls.best.copy() if self._is_plain else bowls.best - drawn
        away = np.where(flat[:, :, None], 0.0, across @ (start - self._centre))
        self._step, first, steady = _steps(optimizer, self._curvature)
        # Along a flat axis all is 0, and stays so however often it is multiplied.
        self._step[flat] = 0.0
        size = self._step.shape[-1]
        self._first = np.zeros((*away.shape, size))
        self._first[..., 0] = away
        self._second = np.einsum("gkst,gkot->gkos", first, self._first)
        reach = bowls.least + np.einsum("gk,gko->g", self._curvature, np.square(away))
        self.tame = np.asarray(
            (steady | flat).all(axis=1)
            & (reach * AMPLIFIED < largest)
            & np.isfinite(self._centre).all(axis=(1, 2))
        )
        self.leave(~self.tame)

    def leave(self, which: npt.NDArray[np.bool_]) -> None:
        """Leave out some functions: they stand still, so that what grows beyond measure spoils no sum."""
        self.tame = self.tame & ~which
        for numbers in (self._step, self._first, self._second, self._centre):
            numbers[which] = 0.0

    def ends(self, count: int) -> Floats:
        """Give the parameters after so many steps: shape (functions, d, outputs)."""
        state, power, left = self._second, self._step, count - 1
        while left:
            if left & 1:
                state = np.einsum("gkst,gkot->gkos", power, state)
            left >>= 1
            if left:
                power = np.einsum("gkst,gktu->gksu", power, power)
        return np.asarray(self._centre + self._axes @ state[..., 0])

    def sums(self, count: int) -> Floats:
        """Give the sum of the tame functions' losses before the first step and after each: shape (count + 1,)."""
        weights = np.where(self.tame[:, None], self._curvature / 2, 0.0)
        if not self._is_plain:
            return self.sums_of(self._bowls, count)
        least = self._bowls.least[self.tame].sum()
        before = np.einsum("gk,gko->", weights, np.square(self._first[..., 0]))
        left, right = self._tables(count)
        pairs = np.einsum("jgkos,jgkot,gk->jgkst", right, right, weights)
        table = np.einsum("igks,igkt->igkst", left, left)
        after = _product(table, pairs, count)
        return np.asarray(least + np.concatenate([[before], after]))

    def sums_of(self, bowls: Bowls, count: int) -> Floats:
        """Give the same of other functions of the same parameters, such as the errors on other rows."""
        tame = self.tame
        gram = np.swapaxes(self._axes, 1, 2) @ bowls.gram @ self._axes
        gram[~tame] = 0.0
        offset = np.swapaxes(self._axes, 1, 2) @ (self._centre - bowls.best)
        offset[~tame] = 0.0
        pull = 2 * gram @ offset
        still = bowls.least[tame].sum() + np.einsum("gko,gko->", pull, offset) / 2
        away = self._first[..., 0]
        before = np.einsum("gko,gko->", pull + gram @ away, away)
        left, right = self._tables(count)
        pairs = np.einsum("jgkos,jglot,gkl->jgklst", right, right, gram, optimize=True)
        table = left[:, :, :, None, :, None] * left[:, :, None, :, None, :]
        after = _product(table, pairs, count)
        after += _product(left, np.einsum("jgkos,gko->jgks", right, pull), count)
        return np.asarray(still + np.concatenate([[before], after]))

    def _tables(self, count: int) -> tuple[Floats, Floats]:
        """Give what the states after 1, …, count steps are products of.

        Returns:
            The first rows of M^i, shape (B, functions, d, s), and the states M^(B j) x after one step and B j more,
            shape (J, functions, d, outputs, s); B times J is at least the count.
        """
        rows = math.isqrt(count - 1) + 1
        groups, width, size = self._step.shape[:3]
        powers = np.empty((rows + 1, groups, width, size, size))
        powers[0] = np.eye(size)
        for place in range(rows):
            np.einsum("gkst,gktu->gksu", powers[place], self._step, out=powers[place + 1])
        states = np.empty((-(-count // rows), *self._second.shape))
        states[0] = self._second
        for place in range(1, len(states)):
            np.einsum("gkst,gkot->gkos", powers[rows], states[place - 1], out=states[place])
        return powers[:rows, :, :, 0, :], states


def _product(table: Floats, pairs: Floats, count: int) -> Floats:
    """Sum over all but the first axes, and put the epochs `i + B j` into their order."""
    # By torch, which keeps to the threads of a runner: on a busy machine several are slower than one.
    left, right = (torch.from_numpy(one).reshape(len(one), -1) for one in (pairs, table))
    return np.asarray((left @ right.T).reshape(-1)[:count].numpy())


def _steps(optimizer: SGD, curvature: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Write a step of `torch.optim.SGD` along each axis as a matrix.

    Returns:
        Any step and the very first, which takes the whole gradient, whatever the dampening: shape
        (functions, d, s, s). And along which axes the steps never grow: no eigenvalue is larger than 1 (Jury's test).
    """
    step = _matrix(optimizer, curvature)
    if not optimizer.momentum:
        return step, step.copy(), np.abs(step[..., 0, 0]) <= 1
    trace, product = step[..., 0, 0] + step[..., 1, 1], np.linalg.det(step)
    steady = (np.abs(product) <= 1) & (np.abs(trace) <= 1 + product)
    return step, _matrix(optimizer.model_copy(update={"dampening": 0.0}), curvature), steady


def _matrix(optimizer: SGD, curvature: Floats) -> Floats:
    motion = Motion.of([optimizer], curvature[..., None])
    if not optimizer.momentum:
        return motion.aa[..., None]
    rows = [np.concatenate(row, axis=2) for row in ((motion.aa, motion.av), (motion.va, motion.vv))]
    return np.stack(rows, axis=2)
