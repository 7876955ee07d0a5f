"""Gradient descent on a quadratic function, many steps at once.

Along each principal axis of the function the steps are a linear recursion of two numbers, the distance from the
stationary point and the momentum, whatever the other axes do (Goh 2017, "Why momentum really works", section 3).
n steps are then a matrix of shape (2, 2) to the power of n, and all states on the way take log2(n) operations.
"""

from dataclasses import dataclass, replace

import numpy as np

from service.spec.optimizers import SGD
from service.training.quadratic.bowl import Bowl, Floats

__all__ = ["Descent", "State"]


@dataclass(frozen=True, slots=True)
class State:
    """Where a descent stands, along the principal axes; both of shape (d, outputs).

    Attributes:
        away: Distance from the stationary point.
        velocity: Torch's momentum buffer; None before the first step, and where there is no momentum.
    """

    away: Floats
    velocity: Floats | None


class Descent:
    """`torch.optim.SGD` with full batches, on the mean squared error of an affine model."""

    def __init__(self, bowl: Bowl, optimizer: SGD, *, l2: float, bias: bool) -> None:
        """Find the principal axes.

        Args:
            bowl: The loss.
            optimizer: Its learning rate, momentum, dampening and weight decay.
            l2: Factor of the squares of the weights, the bias left out, in what is descended.
            bias: Whether the last parameter is one.
        """
        decay = np.full(len(bowl.gram), 2 * l2 + optimizer.weight_decay)
        if bias:
            decay[-1] = optimizer.weight_decay
        hessian = 2 * bowl.gram + np.diag(decay)
        curvature, self._axes = np.linalg.eigh(hessian)
        # Rounding bends flat axes a little, also downwards; along them nothing is to move.
        flat = curvature <= curvature[-1] * len(curvature) * np.finfo(np.float64).eps
        self._curvature = np.where(flat, 0.0, curvature)
        # Without a penalty the descent leads to the least loss; with one the stationary point is nearer to 0.
        self._is_plain = not decay.any()
        self._centre = bowl.best if self._is_plain else bowl.best - self._solved(decay[:, None] * bowl.best)
        self._bowl = bowl
        self._optimizer = optimizer
        self._motion = _Motion.of(optimizer, self._curvature)

    def _solved(self, right: Floats) -> Floats:
        """Solve `hessian · x = right`; along a flat axis, where any x does, with 0."""
        inverse = np.divide(
            1.0, self._curvature, out=np.zeros_like(self._curvature), where=self._curvature > 0
        )
        return np.asarray(self._axes @ (inverse[:, None] * (self._axes.T @ right)))

    def start(self, parameters: Floats) -> State:
        """Give the state before the first step, from parameters of shape (d, outputs)."""
        return State(self._axes.T @ (parameters - self._centre), None)

    def points(self, away: Floats) -> Floats:
        """Give the parameters at distances of shape (…, d, outputs)."""
        return np.asarray(self._centre + self._axes @ away)

    def losses(self, away: Floats) -> Floats:
        """Give the losses, without penalties, at distances of shape (n, d, outputs)."""
        if not self._is_plain:
            return self._bowl.losses(self.points(away))
        weights = np.repeat(self._curvature / 2, away.shape[2])
        return self._bowl.least + np.square(away).reshape(len(away), -1) @ weights

    def steps(self, state: State, count: int) -> tuple[Floats, State]:
        """Make steps.

        Returns:
            The distances before the first step and after each, shape (count + 1, d, outputs), and the last state.
            Infinite and NaN where they are too large for float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if not self._optimizer.momentum:
                return self._motion.without_momentum(state.away, count)
            velocity = state.velocity
            if velocity is not None:
                return self._motion.repeated(State(state.away, velocity), count)
            # Torch's first momentum is the whole gradient, whatever the dampening.
            whole = _Motion.of(self._optimizer.model_copy(update={"dampening": 0.0}), self._curvature)
            first, moving = whole.repeated(State(state.away, np.zeros_like(state.away)), 1)
            if count == 1:
                return first, moving
            rest, last = self._motion.repeated(moving, count - 1)
            return np.concatenate([first[:1], rest]), last


@dataclass(frozen=True, slots=True)
class _Motion:
    """One step along each axis: `(away, velocity) → (aa·away + av·velocity, va·away + vv·velocity)`, each of shape (d, 1)."""

    aa: Floats
    av: Floats
    va: Floats
    vv: Floats

    @classmethod
    def of(cls, optimizer: SGD, curvature: Floats) -> "_Motion":
        """Take a step of `torch.optim.SGD` apart: velocity' = m v + (1 - d) g, and a step along velocity' or, Nesterov's, along g + m velocity'."""
        gradient = curvature[:, None]
        va, vv = (1 - optimizer.dampening) * gradient, np.full_like(gradient, optimizer.momentum)
        along_a, along_v = (
            (gradient + optimizer.momentum * va, optimizer.momentum * vv) if optimizer.nesterov else (va, vv)
        )
        return cls(1 - optimizer.lr * along_a, -optimizer.lr * along_v, va, vv)

    def without_momentum(self, away: Floats, count: int) -> tuple[Floats, State]:
        """Shrink each distance by the same factor again and again."""
        states = np.empty((count + 1, *away.shape))
        states[0], states[1:] = away, self.aa
        np.multiply.accumulate(states, axis=0, out=states)
        return states, State(states[-1], None)

    def repeated(self, state: State, count: int) -> tuple[Floats, State]:
        """Give all states on the way: each half of them from the half before, by a power of the step."""
        if state.velocity is None:
            raise ValueError("a descent with momentum has a velocity")
        away = np.empty((count + 1, *state.away.shape))
        velocity = np.empty_like(away)
        away[0], velocity[0] = state.away, state.velocity
        done, power = 1, self._still_where(state)
        while done <= count:
            take = min(done, count + 1 - done)
            new = slice(done, done + take)
            away[new] = power.aa * away[:take] + power.av * velocity[:take]
            velocity[new] = power.va * away[:take] + power.vv * velocity[:take]
            done += take
            power = power.squared()
        return away, State(away[-1], velocity[-1])

    def _still_where(self, state: State) -> "_Motion":
        """Stop the axes along which nothing moves: there 0 must stay 0, however large the powers become."""
        both = np.concatenate([state.away, np.asarray(state.velocity)], axis=1)
        still = np.logical_not(both.any(axis=1, keepdims=True))
        if not still.any():
            return self
        return replace(
            self,
            aa=np.where(still, 0.0, self.aa),
            av=np.where(still, 0.0, self.av),
            va=np.where(still, 0.0, self.va),
            vv=np.where(still, 0.0, self.vv),
        )

    def squared(self) -> "_Motion":
        """Give two steps in one."""
        return _Motion(
            self.aa * self.aa + self.av * self.va,
            self.aa * self.av + self.av * self.vv,
            self.va * self.aa + self.vv * self.va,
            self.va * self.av + self.vv * self.vv,
        )
