"""The optimizers, by torch's names and with torch's parameters and defaults.

A new optimizer is one class here and its name in `OptimizerSpec`: the trainer builds
`getattr(torch.optim, type)(parameters, **fields)`, capabilities and the OpenAPI document follow.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import NonNegative, Positive, SpecModel, UnitInterval
from service.spec.limits import Limits

__all__ = ["SGD", "Adam", "AdamW", "OptimizerSpec", "RMSprop"]


class _Optimizer(SpecModel):
    state_tensors: ClassVar[int] = 0
    """Tensors of the parameters' size that the optimizer keeps: for the memory estimate."""

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Tell which fields do not go together; pointers are relative to the optimizer."""
        return []


class SGD(_Optimizer):
    """Stochastic gradient descent, with momentum if asked for."""

    state_tensors = 1

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

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002
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


class RMSprop(_Optimizer):
    """Steps divided by a running root mean square of the gradient."""

    state_tensors = 3

    type: Literal["RMSprop"]
    lr: Positive = 1e-2
    """Learning rate: typical length of one step, in units of the parameter."""
    alpha: UnitInterval = 0.99
    """How slowly the running mean square forgets."""
    eps: Positive = 1e-8
    """Added to the denominator against division by zero."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""
    momentum: NonNegative = 0.0
    """Share of the last step that is repeated."""
    centered: bool = False
    """Divide by the standard deviation instead of the root mean square."""


Betas = Annotated[
    tuple[UnitInterval, UnitInterval], Field(description="How slowly the two running means forget.")
]


class Adam(_Optimizer):
    """Running means of the gradient and of its square, corrected for their start at zero."""

    state_tensors = 3

    type: Literal["Adam"]
    lr: Positive = 1e-3
    """Learning rate: typical length of one step, in units of the parameter."""
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    """Added to the denominator against division by zero."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""
    amsgrad: bool = False
    """Divide by the largest running mean square so far."""


class AdamW(_Optimizer):
    """Adam with weight decay taken off the parameters instead of added to the gradient."""

    state_tensors = 3

    type: Literal["AdamW"]
    lr: Positive = 1e-3
    """Learning rate: typical length of one step, in units of the parameter."""
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    """Added to the denominator against division by zero."""
    weight_decay: NonNegative = 1e-2
    """Share of the parameters, times lr, that each step takes off."""
    amsgrad: bool = False
    """Divide by the largest running mean square so far."""


OptimizerSpec = Annotated[SGD | RMSprop | Adam | AdamW, Field(discriminator="type")]
