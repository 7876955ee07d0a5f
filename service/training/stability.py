"""The largest learning rate at which gradient descent still converges."""

from collections.abc import Callable
from typing import Any

import torch

from service.spec.job import JobSpec
from service.spec.models import LinearModel, PolynomialModel
from service.spec.optimizers import SGD
from service.training.rows import Rows, Table

__all__ = ["largest_stable_lr"]

_CURVATURE: dict[str, Callable[[Any], float | None]] = {
    "MSELoss": lambda _: 2.0,
    "HuberLoss": lambda _: 1.0,
    # Below beta the loss is the squared error over 2 beta; with beta 0 it is L1, which has no curvature.
    "SmoothL1Loss": lambda loss: 1.0 / loss.beta if loss.beta > 0 else None,
    "L1Loss": lambda _: None,
}
"""Second derivative of each loss in the prediction error, where it is largest."""


MAX_SIZE = 1000
"""Above so many features (or rows, if these are fewer) the eigenvalue would take longer than seconds."""


def largest_stable_lr(spec: JobSpec, table: Rows) -> float | None:
    """Compute the learning rate above which full-batch SGD diverges on a linear model.

    With the Hessian's largest eigenvalue L (curvature of the loss times that of the inputs' second
    moments, plus weight decay), plain descent is stable below 2/L; heavy-ball momentum m widens this
    to 2(1 + m)/L, Nesterov's to 2(1 + m)/((1 + 2m)L), from the roots of the recursion's
    characteristic polynomial (Lessard, Recht, Packard 2016, section 4.2). Mini-batches need less.

    Args:
        spec: The effective spec.
        table: Its training rows, of shape (rows, features) and (rows, targets).

    Returns:
        The bound, or None where none is known: other models than linear ones, adaptive optimizers, losses
        without curvature, dampening, rows of different weights, and tables of more than `MAX_SIZE` features.
    """
    curvature = _CURVATURE.get(spec.loss.type, lambda _: None)(spec.loss)
    optimizer, model = spec.optimizer, spec.model
    if curvature is None or not isinstance(optimizer, SGD) or optimizer.dampening != 0:
        return None
    if not isinstance(model, LinearModel | PolynomialModel) or not _is_plain(spec):
        return None
    if not isinstance(table, Table) or table.weight is not None or table.features.dim() != 2:  # noqa: PLR2004 - a matrix
        return None
    if min(table.features.shape) > MAX_SIZE:
        return None
    # The mean is over all numbers of the target: each of several outputs has its share of the curvature.
    curvature /= table.target.shape[1]
    largest = curvature * _largest_input_moment(table, bias=model.bias) + optimizer.weight_decay
    largest += 2 * spec.regularization.l2
    momentum = optimizer.momentum
    slack = 1 + 2 * momentum if optimizer.nesterov else 1.0
    return 2 * (1 + momentum) / (slack * largest)


def _is_plain(spec: JobSpec) -> bool:
    """Whether the descent is the plain one that the bound is made for."""
    penalty = spec.regularization
    changed = spec.scheduler or spec.optimizer.parameter_groups or spec.model.output_activation
    clipped = penalty.clip_grad_norm is not None or penalty.clip_grad_value is not None
    return not changed and not clipped and penalty.l1 == 0 and not spec.training.augmentation


def _largest_input_moment(table: Table, *, bias: bool) -> float:
    """Give the largest eigenvalue of the mean of x xᵀ, a column of ones appended for the intercept."""
    inputs = table.features.double().cpu()
    if bias:
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.float64)], dim=1)
    # x xᵀ and xᵀ x have the same largest eigenvalue: the smaller of the two is taken.
    gram = inputs.T @ inputs if inputs.shape[1] <= inputs.shape[0] else inputs @ inputs.T
    return float(torch.linalg.eigvalsh(gram / len(inputs))[-1])
