"""From the spec to torch objects. The spec uses torch's names, so torch itself is the table."""

from collections.abc import Iterable

import torch

from service.spec.losses import LossSpec
from service.spec.models import ModelSpec
from service.spec.optimizers import OptimizerSpec

__all__ = ["build_loss", "build_network", "build_optimizer"]


def build_network(spec: ModelSpec, *, features: int, targets: int, dtype: torch.dtype) -> torch.nn.Module:
    """Build a network with the initial parameters that torch's global generator gives it.

    The parameters are drawn in float32 whatever `dtype` is, as torch's own layers do by default, and then
    converted: one seed starts both number formats from the same point.
    """
    return torch.nn.Linear(features, targets, bias=spec.bias).to(dtype)


def build_loss(spec: LossSpec) -> torch.nn.Module:
    """Build `torch.nn.<type>` with the spec's parameters; it averages over the rows of a batch."""
    loss: torch.nn.Module = getattr(torch.nn, spec.type)(**spec.model_dump(exclude={"type"}))
    return loss


def build_optimizer(spec: OptimizerSpec, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Build `torch.optim.<type>` with the spec's parameters."""
    optimizer: torch.optim.Optimizer = getattr(torch.optim, spec.type)(
        parameters, **spec.model_dump(exclude={"type"})
    )
    return optimizer
