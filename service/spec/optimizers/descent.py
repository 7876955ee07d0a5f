"""The optimizers that follow the gradient itself, its sign or its curvature."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import NonNegative, Positive
from service.spec.optimizers.base import Optimizer, with_groups

__all__ = ["ASGD", "LBFGS", "SGD", "Muon", "Rprop"]


@with_groups
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for."""

    kept_tensors: ClassVar[int] = 1

    type: Literal["SGD"]
    lr: Positive = 1e-3
    """Learning rate: step length in units of parameter per unit of gradient."""
    momentum: NonNegative = 0.0
    """Share of the last step that is repeated; 0.9 is usual."""
    dampening: float = 0.0
    """Share of the gradient that momentum leaves out."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""
    nesterov: bool = False
    """Look ahead along the momentum before taking the gradient."""

    def combination_problems(self) -> list[Problem]:
        """Refuse Nesterov's look-ahead where torch does: without momentum, or with dampening."""
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            return [
                Problem(
                    "/nesterov",
                    "incompatible_fields",
                    "Nesterov momentum needs a momentum above 0 and a dampening of 0.",
                    "Set momentum to 0.9, or nesterov to false.",
                )
            ]
        return []


@with_groups
class ASGD(Optimizer):
    """Gradient descent with steps that shrink by themselves, and a running mean of the parameters.

    As in torch, the mean is kept in the optimizer's state; the network has the last parameters, not the mean.
    """

    kept_tensors: ClassVar[int] = 1

    type: Literal["ASGD"]
    lr: Positive = 1e-2
    """Learning rate of the first step: step length in units of parameter per unit of gradient."""
    lambd: NonNegative = 1e-4
    """Decay: each step takes this times lr off the parameters, and shrinks the steps that follow."""
    # Above 1 the power of a large base leaves the range of numbers; the theory wants 1/2 to 1.
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Power with which the steps shrink."""
    t0: NonNegative = 1e6
    """Step at which the averaging starts."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""


@with_groups
class Rprop(Optimizer):
    """A step length for each parameter, from the signs of its last two gradients; for full batches."""

    kept_tensors: ClassVar[int] = 2

    type: Literal["Rprop"]
    lr: Positive = 1e-2
    """Length of the first step, in units of the parameter."""
    etas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]] = (0.5, 1.2)
    """Factors of the step length where the gradient turned round, and where it kept its sign."""
    step_sizes: tuple[NonNegative, Positive] = (1e-6, 50.0)
    """Shortest and longest step, in units of the parameter."""

    def combination_problems(self) -> list[Problem]:
        """Refuse a shortest step above the longest."""
        shortest, longest = self.step_sizes
        if shortest <= longest:
            return []
        message = f"The shortest step is {shortest:g}, the longest {longest:g}."
        return [Problem("/step_sizes", "out_of_range", message, "Give the shortest one first.")]


@with_groups
class Muon(Optimizer):
    """Momentum whose steps are made orthogonal, for networks whose parameters are all matrices.

    Biases and normalization have one dimension: a network that has them needs another optimizer.
    """

    kept_tensors: ClassVar[int] = 1
    matrices_only: ClassVar[bool] = True

    type: Literal["Muon"]
    lr: Positive = 1e-3
    """Learning rate: spectral norm of a step, before `adjust_lr_fn`."""
    weight_decay: NonNegative = 0.1
    """Share of the parameters, times lr, that each step takes off."""
    momentum: NonNegative = 0.95
    """How slowly the running mean of the gradient forgets."""
    nesterov: bool = True
    """Look ahead along the momentum before taking the gradient."""
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315)
    """Coefficients of the Newton-Schulz polynomial that makes a step orthogonal."""
    eps: Positive = 1e-7
    """Smallest norm that a step is divided by."""
    ns_steps: Annotated[int, Field(ge=0, le=99)] = 5
    """Newton-Schulz iterations of one step."""
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None
    """How lr follows the shape of a matrix; `match_rms_adamw` lets an lr that was found for AdamW be used again.
    Left out, it is `original`."""


class LBFGS(Optimizer):
    """Newton's method with curvature from the last steps; for small networks and full batches.

    One step computes the loss many times, and all parameters are one group, as in torch.
    """

    needs_closure: ClassVar[bool] = True

    type: Literal["LBFGS"]
    lr: Positive = 1.0
    """Length of a step, in Newton steps."""
    max_iter: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Newton steps of one optimizer step."""
    max_eval: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How often one optimizer step may compute the loss; left out, a quarter more than `max_iter`."""
    tolerance_grad: NonNegative = 1e-7
    """A largest entry of the gradient below this ends the step."""
    tolerance_change: NonNegative = 1e-9
    """A change of loss or parameters below this ends the step."""
    history_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Past Newton steps that the curvature is taken from; each takes twice the memory of the parameters."""
    line_search_fn: Literal["strong_wolfe"] | None = None
    """Search for a good length of each step, or take `lr`."""

    @property
    def state_tensors(self) -> int:
        """Two for each step of the history, the direction, two gradients and the start of a line search."""
        return 2 * self.history_size + 5

    @property
    def evaluations_per_step(self) -> int:
        """Passes forward and backward that one step takes, at most, as torch counts them."""
        return self.max_iter * 5 // 4 if self.max_eval is None else self.max_eval
