"""The loss of a batch and its gradient with respect to the network's outputs."""

from collections.abc import Callable, Mapping

import torch

from service.spec.losses import CrossEntropyLoss, LossSpec
from service.training.objective import Objective

__all__ = ["Criterion", "criterion_of", "stacked_criterion_of"]

Criterion = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], tuple[float, torch.Tensor]]
"""Takes outputs, target and the weights of the rows; gives the loss and the gradient, a tensor of its own."""

_aten = torch.ops.aten


def criterion_of(objective: Objective) -> Criterion:
    """Give the criterion of a loss: written out where it is known, by autograd on the outputs alone elsewhere."""
    known = _KNOWN.get(objective.spec.type)
    general = _by_autograd(objective)
    written_out = None if known is None else known(objective.spec)
    if written_out is None:
        return general
    return lambda outputs, target, weight: (
        written_out(outputs, target) if weight is None else general(outputs, target, weight)
    )


def _by_autograd(objective: Objective) -> Criterion:
    def criterion(
        outputs: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
    ) -> tuple[float, torch.Tensor]:
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            loss = objective.loss(leaf, target, weight)
            (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.item(), gradient.contiguous()

    return criterion


WrittenOut = Callable[[torch.Tensor, torch.Tensor], tuple[float, torch.Tensor]]


def _squared(outputs: torch.Tensor, target: torch.Tensor) -> tuple[float, torch.Tensor]:
    gradient = outputs - target
    count = gradient.numel()
    flat = gradient.view(count)
    return torch.dot(flat, flat).item() / count, gradient.mul_(2 / count)


def _binary(outputs: torch.Tensor, target: torch.Tensor) -> tuple[float, torch.Tensor]:
    loss = torch.nn.functional.binary_cross_entropy_with_logits(outputs, target).item()
    return loss, torch.sigmoid(outputs).sub_(target).mul_(1 / outputs.numel())


def _cross_entropy(outputs: torch.Tensor, target: torch.Tensor) -> tuple[float, torch.Tensor]:
    # The scores of one class beside each other: along a last axis of ten numbers torch's kernel takes ten times as long.
    share, codes = 1 / target.size(0), target.unsqueeze(0)
    scores = torch.log_softmax(outputs.t().contiguous(), 0)
    loss = -scores.gather(0, codes).sum().item() * share
    gradient = scores.exp_().mul_(share)
    return loss, gradient.scatter_add_(0, codes, gradient.new_full((1, 1), -share).expand_as(codes)).t()


def _plain_cross_entropy(spec: LossSpec) -> WrittenOut | None:
    """Give it unless classes have weights, are smoothed, or one of them is left out."""
    if (
        not isinstance(spec, CrossEntropyLoss)
        or spec.weights()
        or spec.label_smoothing
        or spec.ignore_index >= 0
    ):
        return None
    return _cross_entropy


StackedCriterion = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Takes outputs (members, rows, …) and targets; gives the losses (members,) and the gradients of each."""


def stacked_criterion_of(objective: Objective) -> StackedCriterion | None:
    """Give the criterion for several batches at once; None for a loss that is not written out."""
    known = _KNOWN.get(objective.spec.type)
    return None if known is None or known(objective.spec) is None else _STACKED[objective.spec.type]


def _squared_of_each(outputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    gradient = outputs - target
    count = gradient[0].numel()
    return gradient.square().sum((1, 2)) / count, gradient.mul_(2 / count)


def _binary_of_each(outputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    losses = torch.nn.functional.binary_cross_entropy_with_logits(outputs, target, reduction="none")
    return losses.mean((1, 2)), torch.sigmoid(outputs).sub_(target).mul_(1 / outputs[0].numel())


def _cross_entropy_of_each(outputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    share, codes = 1 / target.size(1), target.unsqueeze(1)
    scores = torch.log_softmax(outputs.transpose(1, 2).contiguous(), 1)
    losses = scores.gather(1, codes).sum((1, 2)).mul_(-share)
    gradient = scores.exp_().mul_(share)
    less = gradient.new_full((1, 1, 1), -share).expand_as(codes)
    return losses, gradient.scatter_add_(1, codes, less).transpose(1, 2)


_STACKED: Mapping[str, StackedCriterion] = {
    "MSELoss": _squared_of_each,
    "BCEWithLogitsLoss": _binary_of_each,
    "CrossEntropyLoss": _cross_entropy_of_each,
}
_KNOWN: Mapping[str, Callable[[LossSpec], WrittenOut | None]] = {
    "MSELoss": lambda _: _squared,
    "BCEWithLogitsLoss": lambda spec: None if spec.weights() else _binary,
    "CrossEntropyLoss": _plain_cross_entropy,
}
