"""What keeps the weights small and the steps bounded: penalties on the loss, and clipping of the gradient."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from service.exceptions import Problem
from service.spec.base import NonNegative, Positive, SpecModel
from service.spec.limits import Limits

__all__ = ["ClipGradNorm", "Regularization"]


class ClipGradNorm(SpecModel):
    """A gradient longer than this is scaled down to it: `torch.nn.utils.clip_grad_norm_`."""

    max_norm: Positive
    """Largest norm of all gradients taken together."""
    norm_type: Positive | Literal["inf"] = 2.0
    """Which norm: 2 for the length, 1 for the sum of absolute values, `inf` for the largest of them."""


def _form(value: object) -> str:
    return "object" if isinstance(value, dict | ClipGradNorm) else "number"


# Told apart by their form, so that what is wrong inside the object is told, and not that it is no number.
NormBound = Annotated[
    Annotated[Positive, Tag("number")] | Annotated[ClipGradNorm, Tag("object")], Discriminator(_form)
]


class Regularization(SpecModel):
    """Penalties on the weights, and bounds of the gradient.

    The penalty `l1 · Σ|w| + l2 · Σw²` is over the weights: the trained parameters with two or more dimensions.
    Biases and the factors of normalization have one, and are left out. It is added to the loss whose gradient is
    followed, not to the one that is recorded: losses with and without it can be compared. An optimizer's
    `weight_decay` of 2 · l2 has the same gradient in SGD, but takes all parameters.
    """

    l1: NonNegative = 0.0
    """Times the sum of the weights' absolute values: drives weights that do not help to zero."""
    l2: NonNegative = 0.0
    """Times the sum of the weights' squares: keeps all weights small."""
    clip_grad_norm: NormBound | None = None
    """Largest norm of the gradient, penalty included; a number, or an object that also says which norm."""
    clip_grad_value: Positive | None = None
    """Largest absolute value of each entry of the gradient; applied first, so that both bounds hold."""

    @property
    def has_penalty(self) -> bool:
        """Whether anything is added to the loss."""
        return self.l1 > 0 or self.l2 > 0

    @property
    def clips(self) -> bool:
        """Whether the gradient is bounded."""
        return self.clip_grad_norm is not None or self.clip_grad_value is not None

    @property
    def norm_bound(self) -> ClipGradNorm | None:
        """The bound of the gradient's norm, a bare number made an object."""
        if isinstance(self.clip_grad_norm, float):
            return ClipGradNorm(max_norm=self.clip_grad_norm)
        return self.clip_grad_norm

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Nothing beyond the fields' own bounds can be wrong; pointers are relative to the section."""
        return []
