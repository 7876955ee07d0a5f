"""Gradient descent on quadratic functions, many steps at once, and many descents.

Along each principal axis of a function the steps are a linear recursion of two numbers, the distance from the
stationary point and the momentum, whatever the other axes do (Goh 2017, "Why momentum really works", section 3).
n steps are then a matrix of shape (2, 2) to the power of n, and all states on the way take log2(n) operations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.spec.optimizers import SGD
from service.training.quadratic.bowl import Bowl, Floats

__all__ = ["Descents", "Motion", "Slope", "flat_axes"]

EPS = np.finfo(np.float64).eps


def flat_axes(curvature: Floats) -> npt.NDArray[np.bool_]:
    """Tell along which axes a function bends by rounding only: along them nothing is to move.

    Args:
        curvature: Ascending, shape (functions, d).
    """
    return np.asarray(curvature <= curvature[:, -1:] * curvature.shape[1] * EPS)


@dataclass(frozen=True, slots=True)
class Slope:
    """One descent.

    Attributes:
        bowl: The loss.
        optimizer: Its learning rate, momentum, dampening and weight decay.
        l2: Factor of the squares of the weights, the bias left out, in what is descended.
        bias: Whether the last parameter is one.
    """

    bowl: Bowl
    optimizer: SGD
    l2: float
    bias: bool

    @property
    def decay(self) -> Floats:
        """What is added to the second derivative along each parameter; shape (d,)."""
        found = np.full(len(self.bowl.gram), 2 * self.l2 + self.optimizer.weight_decay)
        if self.bias:
            found[-1] = self.optimizer.weight_decay
        return found


class Descents:
    """`torch.optim.SGD` with full batches on the mean squared errors of affine models, m of them of one shape.

    Distances are those from the stationary points along the principal axes, of shape (m, d, outputs); velocities are
    torch's momentum buffers along them.
    """

    def __init__(self, slopes: Sequence[Slope]) -> None:
        """Find the principal axes. All or none have a momentum."""
        self._bowls = [one.bowl for one in slopes]
        decay = np.stack([one.decay for one in slopes])
        gram = np.stack([one.gram for one in self._bowls])
        best = np.stack([one.best for one in self._bowls])
        curvature, self._axes = np.linalg.eigh(2 * gram + decay[:, None] * np.eye(gram.shape[1]))
        self._curvature = np.where(flat_axes(curvature), 0.0, curvature)[..., None]
        self._plain = ~decay.any(axis=1)
        # Without a penalty the descent leads to the least loss; with one the stationary point is nearer to 0.
        self._centre = best - self._solved(decay[..., None] * best)
        self._least = np.array([one.least for one in self._bowls])
        self.has_momentum = slopes[0].optimizer.momentum != 0
        optimizers = [one.optimizer for one in slopes]
        self._motion = Motion.of(optimizers, self._curvature)
        # Torch's first momentum is the whole gradient, whatever the dampening.
        undamped = [one.model_copy(update={"dampening": 0.0}) for one in optimizers]
        self._first = Motion.of(undamped, self._curvature)

    def _solved(self, right: Floats) -> Floats:
        """Solve `second derivative · x = right`; along a flat axis, where any x does, with 0."""
        inverse = np.divide(
            1.0, self._curvature, out=np.zeros_like(self._curvature), where=self._curvature > 0
        )
        return np.asarray(np.matmul(self._axes, inverse * np.matmul(self._axes.transpose(0, 2, 1), right)))

    def away(self, member: int, parameters: Floats) -> Floats:
        """Give the distances of one descent from parameters of shape (d, outputs)."""
        return np.asarray(self._axes[member].T @ (parameters - self._centre[member]))

    def points(self, member: int, away: Floats) -> Floats:
        """Give the parameters of one descent at distances of shape (…, d, outputs)."""
        return np.asarray(self._centre[member] + np.matmul(self._axes[member], away))

    def losses(self, away: Floats) -> Floats:
        """Give the losses, without penalties, at distances of shape (n, m, d, outputs); shape (n, m)."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.square(away)
            found *= self._curvature / 2
            losses = self._least + found.sum(axis=(2, 3))
            for member in np.flatnonzero(~self._plain).tolist():
                losses[:, member] = self._bowls[member].losses(self.points(member, away[:, member]))
        return np.asarray(losses)

    def steps(self, away: Floats, velocity: Floats | None, count: int) -> tuple[Floats, Floats | None]:
        """Make steps.

        Args:
            away: Distances before the first one, shape (m, d, outputs).
            velocity: Of the same shape; None before the first step of all, and where there is no momentum.
            count: How many.

        Returns:
            The distances before the first step and after each, shape (count + 1, m, d, outputs), and the velocities
            after the last. Infinite and NaN where they are too large for float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if not self.has_momentum:
                return self._motion.without_momentum(away, count), None
            if velocity is not None:
                return self._motion.repeated(away, velocity, count)
            begun, moving = self._first.repeated(away, np.zeros_like(away), 1)
            if count == 1:
                return begun, moving
            rest, last = self._motion.repeated(begun[1], moving, count - 1)
            return np.concatenate([begun[:1], rest]), last


@dataclass(frozen=True, slots=True)
class Motion:
    """One step along each axis: `(away, velocity) → (aa·away + av·velocity, va·away + vv·velocity)`, shapes (m, d, 1)."""

    aa: Floats
    av: Floats
    va: Floats
    vv: Floats

    @classmethod
    def of(cls, optimizers: Sequence[SGD], curvature: Floats) -> "Motion":
        """Take a step of `torch.optim.SGD` apart.

        With the gradient g and the momentum m, velocity' = m velocity + (1 - dampening) g, and the step goes along
        velocity', or, Nesterov's, along g + m velocity'.
        """
        lr, momentum, dampening = (
            np.array([getattr(one, name) for one in optimizers])[:, None, None]
            for name in ("lr", "momentum", "dampening")
        )
        ahead = np.array([one.nesterov for one in optimizers])[:, None, None]
        va, vv = (1 - dampening) * curvature, momentum + 0 * curvature
        along_a = np.where(ahead, curvature + momentum * va, va)
        along_v = np.where(ahead, momentum * vv, vv)
        return cls(1 - lr * along_a, -lr * along_v, va, vv)

    def without_momentum(self, away: Floats, count: int) -> Floats:
        """Shrink each distance by the same factor again and again."""
        states = np.empty((count + 1, *away.shape))
        states[0], states[1:] = away, self.aa
        np.multiply.accumulate(states, axis=0, out=states)
        return states

    def repeated(self, away: Floats, velocity: Floats, count: int) -> tuple[Floats, Floats]:
        """Give all states on the way: each half of them from the half before, by a power of the step."""
        states, velocities = np.empty((2, count + 1, *away.shape))
        states[0], velocities[0] = away, velocity
        done, power = 1, self._still_where(away, velocity)
        while done <= count:
            take = min(done, count + 1 - done)
            new = slice(done, done + take)
            states[new] = power.aa * states[:take] + power.av * velocities[:take]
            velocities[new] = power.va * states[:take] + power.vv * velocities[:take]
            done += take
            power = power.squared()
        return states, velocities[-1]

    def _still_where(self, away: Floats, velocity: Floats) -> "Motion":
        """Stop the axes along which nothing moves: there 0 must stay 0, however large the powers become."""
        still = np.logical_not(np.concatenate([away, velocity], axis=2).any(axis=2, keepdims=True))
        parts = (self.aa, self.av, self.va, self.vv)
        return Motion(*(np.where(still, 0.0, part) for part in parts)) if still.any() else self

    def squared(self) -> "Motion":
        """Give two steps in one."""
        return Motion(
            self.aa * self.aa + self.av * self.va,
            self.aa * self.av + self.av * self.vv,
            self.va * self.aa + self.vv * self.va,
            self.va * self.av + self.vv * self.vv,
        )
