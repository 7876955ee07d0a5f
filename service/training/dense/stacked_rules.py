"""The update of many members at once: torch's rules, with learning rates and momenta of each member's own.

The formulas are those of torch.optim's plain implementations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

__all__ = ["STACKED_RULES", "StackedRule"]

Group = Mapping[str, Any]


class StackedRule:
    """Steps the rows of a matrix, one for each member.

    What the members' optimizers remember is taken before an epoch and given back after it.
    """

    memories: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    """Of a group: in these the members may differ."""

    def __init__(
        self, values: torch.Tensor, gradients: torch.Tensor, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        self.values, self.gradients = values, gradients
        self._groups = [one.param_groups[0] for one in optimizers]
        self._states = [one.state[one.param_groups[0]["params"][0]] for one in optimizers]
        self.memory = {name: torch.zeros_like(values) for name in self.names}
        self._changes = False

    @classmethod
    def switches(cls, group: Group) -> tuple[object, ...]:
        """Give what the members must have in common."""
        raise NotImplementedError

    @property
    def names(self) -> Sequence[str]:
        """What is remembered of each parameter."""
        return self.memories

    def take(self) -> None:
        """Put beside each other what the members remember, and their numbers."""
        self.read()
        for name, memory in self.memory.items():
            kept = [state.get(name) for state in self._states]
            if kept[0] is None:
                memory.zero_()
            else:
                torch.stack(kept, out=memory)

    def give_back(self) -> None:
        """Let each member remember what is its own."""
        for name, memory in self.memory.items():
            for state, row in zip(self._states, memory, strict=True):
                if state.get(name) is None:
                    state[name] = row.clone()
                else:
                    state[name].copy_(row)

    def read(self) -> None:
        """Read the numbers of the members; a schedule may have changed them."""
        for name in self.numbers:
            setattr(self, name, self._column([group[name] for group in self._groups]))

    def _column(self, numbers: Sequence[float]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.float64)[:, None].to(self.values.dtype)

    def step(self) -> None:
        """Make one step with the gradients as they are."""
        raise NotImplementedError

    def after_step(self, loops: Sequence[Any]) -> None:
        """Let the schedules of the members follow."""
        for loop in loops:
            loop.after_step()
        if loops[0].changes_by_step:
            self.read()


class _SGD(StackedRule):
    numbers = ("lr", "momentum", "dampening", "weight_decay")
    lr: torch.Tensor
    momentum: torch.Tensor
    dampening: torch.Tensor
    weight_decay: torch.Tensor

    @classmethod
    def switches(cls, group: Group) -> tuple[object, ...]:
        return group["nesterov"], group["momentum"] != 0, group["weight_decay"] != 0

    @property
    def names(self) -> Sequence[str]:
        return ("momentum_buffer",) if self._groups[0]["momentum"] else ()

    def take(self) -> None:
        super().take()
        self._is_first = bool(self.memory) and self._states[0].get("momentum_buffer") is None

    def step(self) -> None:
        gradient = self.gradients
        if self._groups[0]["weight_decay"]:
            gradient.addcmul_(self.values, self.weight_decay)
        if self.memory:
            velocity = self.memory["momentum_buffer"]
            if self._is_first:
                velocity.copy_(gradient)
                self._is_first = False
            else:
                velocity.mul_(self.momentum).addcmul_(gradient, 1 - self.dampening)
            gradient = gradient.addcmul_(velocity, self.momentum) if self._groups[0]["nesterov"] else velocity
        self.values.addcmul_(gradient, self.lr, value=-1)


class _Adam(StackedRule):
    memories = ("exp_avg", "exp_avg_sq")
    numbers = ("lr", "weight_decay", "eps")
    lr: torch.Tensor
    weight_decay: torch.Tensor
    eps: torch.Tensor

    @classmethod
    def switches(cls, group: Group) -> tuple[object, ...]:
        return group["amsgrad"], group["decoupled_weight_decay"], group["weight_decay"] != 0

    def take(self) -> None:
        super().take()
        self._count = float(self._states[0]["step"]) if "step" in self._states[0] else 0.0

    def give_back(self) -> None:
        super().give_back()
        for state in self._states:
            state["step"] = torch.tensor(self._count)

    def read(self) -> None:
        super().read()
        # In float64: 1 - 0.999 loses three digits in float32.
        self._betas = torch.tensor([group["betas"] for group in self._groups], dtype=torch.float64)
        self._rests = (1 - self._betas).to(self.values.dtype)
        self._kept = self._betas.to(self.values.dtype)

    def step(self) -> None:
        gradient, first, second = self.gradients, *self.memory.values()
        if self._groups[0]["weight_decay"]:
            if self._groups[0]["decoupled_weight_decay"]:
                self.values.mul_(1 - self.lr * self.weight_decay)
            else:
                gradient.addcmul_(self.values, self.weight_decay)
        self._count += 1
        first.lerp_(gradient, self._rests[:, :1])
        second.mul_(self._kept[:, 1:]).addcmul_(gradient.square(), self._rests[:, 1:])
        left = 1 - self._betas**self._count
        size = (self.lr.double() / left[:, :1]).to(self.values.dtype)
        root = left[:, 1:].sqrt().to(self.values.dtype)
        self.values.sub_(second.sqrt().div_(root).add_(self.eps).reciprocal_().mul_(first).mul_(size))


STACKED_RULES: Mapping[str, type[StackedRule]] = {"SGD": _SGD, "Adam": _Adam, "AdamW": _Adam}
