"""The loss of a batch and its gradient with respect to the network's outputs."""

from collections.abc import Callable, Mapping

import torch

from service.spec.losses import CrossEntropyLoss, LossSpec
from service.training.objective import Objective

__all__ = ["Criterion", "criterion_of"]

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
    share = 1 / target.size(0)
    codes = target.unsqueeze(1)
    scores = torch.log_softmax(outputs, 1)
    loss = -scores.gather(1, codes).sum().item() * share
    gradient = scores.exp_().mul_(share)
    return loss, gradient.scatter_add_(1, codes, gradient.new_full((1, 1), -share).expand_as(codes))


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


_KNOWN: Mapping[str, Callable[[LossSpec], WrittenOut | None]] = {
    "MSELoss": lambda _: _squared,
    "BCEWithLogitsLoss": lambda spec: None if spec.weights() else _binary,
    "CrossEntropyLoss": _plain_cross_entropy,
}
