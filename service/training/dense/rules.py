"""The update of all parameters at once, by torch's fused kernels where it has them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

__all__ = ["Rule", "rule_of"]

Rule = Callable[[], object]
"""Makes one step with the gradients as they are."""


def rule_of(optimizer: torch.optim.Optimizer) -> Rule:
    """Give the fastest way to make the steps of an optimizer over one parameter.

    Its state is kept under torch's own names, so that it is saved, and before the first step loaded, like that of any
    optimizer. The fused
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
    buffers: list[torch.Tensor] = []

    def step() -> None:
        is_first = False
        if group["momentum"] and not buffers:
            state = optimizer.state[parameter]
            is_first = state.get("momentum_buffer") is None
            if is_first:
                state["momentum_buffer"] = torch.empty_like(values[0])
            buffers.append(state["momentum_buffer"])
        torch._fused_sgd_(
            values,
            gradients,
            buffers,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
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
    memory: list[list[torch.Tensor]] = []

    def step() -> None:
        if not memory:
            memory.extend(_memory_of_adam(optimizer.state[parameter], like=values[0], amsgrad=amsgrad))
        beta1, beta2 = group["betas"]
        memory[3][0].add_(1)
        first, second, largest, count = memory
        kernel(
            values,
            gradients,
            first,
            second,
            largest,
            count,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=amsgrad,
            maximize=False,
        )

    return step


def _memory_of_adam(
    state: dict[str, torch.Tensor], *, like: torch.Tensor, amsgrad: bool
) -> Iterator[list[torch.Tensor]]:
    """Give what Adam remembers, in the order in which its kernel wants it; at the first step it is made."""
    if not state:
        state["step"] = torch.tensor(0.0)
    for name in ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]:
        is_kept = amsgrad or not name.startswith("max")
        yield [state.setdefault(name, torch.zeros_like(like))] if is_kept else []
    yield [state["step"]]


_FUSED: Mapping[type[torch.optim.Optimizer], Callable[[torch.optim.Optimizer], Rule]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
}
