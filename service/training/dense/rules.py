"""The update of all parameters at once, by torch's fused kernels where it has them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

__all__ = ["Rule", "rule_of"]

Rule = Callable[[], object]
"""Makes one step with the gradients as they are."""


def rule_of(optimizer: torch.optim.Optimizer) -> Rule:
    """Give the fastest way to make the steps of an optimizer over one parameter.

    Its state is kept under torch's own names, so that it is saved and loaded like that of any optimizer. The fused
    kernels round otherwise than the plain optimizers, by less than 1e-15 in float64.
    """
    # Or torch's schedulers would warn: they look for calls of `optimizer.step` as they have wrapped it.
    optimizer._opt_called = True  # type: ignore[attr-defined]  # noqa: SLF001 - torch has no other way
    make = _FUSED.get(type(optimizer))
    return optimizer.step if make is None else make(optimizer)


def _lone(optimizer: torch.optim.Optimizer) -> tuple[torch.nn.Parameter, torch.Tensor, dict[str, Any]]:
    """Give the one parameter, its gradient and its group."""
    (group,) = optimizer.param_groups
    (parameter,) = group["params"]
    if parameter.grad is None:
        raise ValueError("the parameter has no gradient to be written into")
    return parameter, parameter.grad, group


def _sgd(optimizer: torch.optim.Optimizer) -> Rule:
    parameter, gradient, group = _lone(optimizer)
    values, gradients = [parameter.detach()], [gradient]

    def step() -> None:
        state, momentum = optimizer.state[parameter], group["momentum"]
        is_first = momentum != 0 and state.get("momentum_buffer") is None
        if is_first:
            state["momentum_buffer"] = torch.empty_like(values[0])
        torch._fused_sgd_(
            values,
            gradients,
            [state["momentum_buffer"]] if momentum else [],
            weight_decay=group["weight_decay"],
            momentum=momentum,
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=is_first,
        )

    return step


def _adam(optimizer: torch.optim.Optimizer) -> Rule:
    parameter, gradient, group = _lone(optimizer)
    values, gradients = [parameter.detach()], [gradient]
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    amsgrad = group["amsgrad"]
    names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if amsgrad else [])]

    def step() -> None:
        state = optimizer.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state.update({name: torch.zeros_like(values[0]) for name in names})
        count, (beta1, beta2) = state["step"], group["betas"]
        count.add_(1)
        kernel(
            values,
            gradients,
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [state["max_exp_avg_sq"]] if amsgrad else [],
            [count],
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=amsgrad,
            maximize=False,
        )

    return step


_FUSED: Mapping[type[torch.optim.Optimizer], Callable[[torch.optim.Optimizer], Rule]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
}
