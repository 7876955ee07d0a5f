"""The optimizers that divide each step by the size of the gradients before it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.base import NonNegative, Positive, UnitInterval
from service.spec.optimizers.base import Betas, Optimizer, with_groups

__all__ = ["Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"]


@with_groups
class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient."""

    kept_tensors: ClassVar[int] = 3

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


@with_groups
class Adam(Optimizer):
    """Running means of the gradient and of its square, corrected for their start at zero."""

    kept_tensors: ClassVar[int] = 3

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
    decoupled_weight_decay: bool = False
    """Take the weight decay, times lr, off the parameters, as AdamW does."""


@with_groups
class AdamW(Optimizer):
    """Adam with weight decay taken off the parameters instead of added to the gradient."""

    kept_tensors: ClassVar[int] = 3

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


@with_groups
class Adamax(Optimizer):
    """Adam that divides by the largest recent gradient instead of the root mean square."""

    kept_tensors: ClassVar[int] = 2

    type: Literal["Adamax"]
    lr: Positive = 2e-3
    """Learning rate: typical length of one step, in units of the parameter."""
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    """Added to the denominator against division by zero."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""


# Torch keeps the product of NAdam's momenta in float32: a factor nearer to 1 is 1 there, and 1 - 1 a divisor.
_ShortOfOne = Annotated[float, Field(ge=0, le=0.9999999)]


@with_groups
class NAdam(Optimizer):
    """Adam that looks ahead along its momentum, as Nesterov's does."""

    kept_tensors: ClassVar[int] = 2

    type: Literal["NAdam"]
    lr: Positive = 2e-3
    """Learning rate: typical length of one step, in units of the parameter."""
    betas: tuple[_ShortOfOne, UnitInterval] = (0.9, 0.999)
    """How slowly the two running means forget."""
    eps: Positive = 1e-8
    """Added to the denominator against division by zero."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""
    momentum_decay: NonNegative = 4e-3
    """How fast the momentum grows to its full share."""
    decoupled_weight_decay: bool = False
    """Take the weight decay, times lr, off the parameters, as AdamW does."""


@with_groups
class RAdam(Optimizer):
    """Adam that waits with the division until it has seen enough gradients to know their size."""

    kept_tensors: ClassVar[int] = 2

    type: Literal["RAdam"]
    lr: Positive = 1e-3
    """Learning rate: typical length of one step, in units of the parameter."""
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    """Added to the denominator against division by zero."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""
    decoupled_weight_decay: bool = False
    """Take the weight decay, times lr, off the parameters, as AdamW does."""


@with_groups
class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far: they only get shorter."""

    kept_tensors: ClassVar[int] = 1
    same_in_all_groups: ClassVar[frozenset[str]] = frozenset({"initial_accumulator_value"})

    type: Literal["Adagrad"]
    lr: Positive = 1e-2
    """Learning rate: length of the first step, in units of the parameter."""
    lr_decay: NonNegative = 0.0
    """The learning rate of step t is divided by 1 + (t - 1) times this."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""
    # A tensor is filled with it, and float32 ends at 3e38.
    initial_accumulator_value: Annotated[float, Field(ge=0, le=1e30)] = 0.0
    """Start of the sum of squares."""
    eps: Positive = 1e-10
    """Added to the denominator against division by zero."""


@with_groups
class Adadelta(Optimizer):
    """Steps as long as the steps before, by the gradient's size: it needs no learning rate of its own."""

    kept_tensors: ClassVar[int] = 2

    type: Literal["Adadelta"]
    lr: Positive = 1.0
    """Factor of every step."""
    rho: Annotated[float, Field(ge=0, le=1)] = 0.9
    """How slowly the two running mean squares forget."""
    eps: Positive = 1e-6
    """Added to both mean squares; its root is the length of the first steps."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: this times the parameters is added to the gradient."""


@with_groups
class Adafactor(Optimizer):
    """Adam's division with memory for the rows and columns of a matrix only, and steps relative to the weights."""

    kept_tensors: ClassVar[int] = 2

    type: Literal["Adafactor"]
    lr: Positive = 1e-2
    """Largest length of a step, relative to the root mean square of the parameters."""
    beta2_decay: Annotated[float, Field(le=0)] = -0.8
    """Power of the step's number with which the running mean square forgets more slowly."""
    eps: tuple[NonNegative | None, NonNegative] = (None, 1e-3)
    """Smallest root mean square of the gradient (null: that of the number format) and of the parameters."""
    d: Annotated[float, Field(ge=1)] = 1.0
    """Largest root mean square of a step before it is scaled."""
    weight_decay: NonNegative = 0.0
    """Share of the parameters, times lr, that each step takes off."""
