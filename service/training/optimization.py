"""From the spec to steps: the optimizer with its groups, the learning rate's course, penalties and clipping.

The order within one step, for whoever writes the loop (or the closure, for an optimizer that needs one)::

    loss = ...                       # what is recorded
    penalty = penalize()             # what is followed beside it, or None
    (loss if penalty is None else loss + penalty).backward()
    clip()
    optimizer.step()
    schedule.after_step()
    # at the end of each epoch
    schedule.after_epoch(train_loss=..., dev_loss=...)
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from service.exceptions import TrainingFailed
from service.spec.optimizers import OptimizerSpec
from service.spec.regularization import Regularization
from service.spec.schedulers import ChainedScheduler, Scheduler, SchedulerSpec, SequentialLR, Warmup

__all__ = [
    "Clipping",
    "Penalty",
    "Schedule",
    "build_optimizer",
    "load_optimizer_state",
    "optimizer_state",
]


def build_optimizer(spec: OptimizerSpec, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Build `torch.optim.<type>` for the parameters of a network that are trained.

    The first of its `param_groups` holds the parameters that belong to no group of the spec, then come the
    spec's groups in their order; groups without parameters are left out. Parameters keep the network's order.

    Raises:
        TrainingFailed: `unmatched_group`, if a pattern matches no parameter or earlier groups took all that it
            matches; `not_matrices`, if the optimizer takes matrices only and a parameter is none.
    """
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    _require_matches(spec, trained)
    _require_matrices(spec, trained)
    overrides = [{}, *(group.overrides for group in spec.parameter_groups)]
    groups = [
        {"params": [(name, trained[name]) for name in names], **values}
        for names, values in zip(spec.members(trained), overrides, strict=True)
        if names
    ]
    make = _OWN.get(spec.type) or getattr(torch.optim, spec.type)
    optimizer: torch.optim.Optimizer = make(groups, **spec.arguments())
    return optimizer


class _LBFGS(torch.optim.LBFGS):
    """Torch's LBFGS, but a step too short to be measured ends where it began.

    Torch's line search divides by the distance of two points. A scheduler that has come to a learning rate of zero
    puts them in one place.
    """

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # noqa: ANN401 - what the closure gives
        try:
            return super().step(closure)  # type: ignore[no-untyped-call]
        except ZeroDivisionError:
            # The parameters are where the search began; the curvature is half written, and is forgotten.
            self.state.clear()
            return closure()


_OWN: Mapping[str, type[torch.optim.Optimizer]] = {"LBFGS": _LBFGS}
"""Where torch's own optimizer needs help; all others are `torch.optim.<type>`."""


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Give all that an optimizer holds, by the position of its parameters: the tensors themselves, not copies."""
    groups = [
        {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
    ]
    return {"groups": groups, "memory": [_memory_of(optimizer, p) for p in _parameters(optimizer)]}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from where `optimizer_state` was taken, with copies of its tensors.

    Torch's own `load_state_dict` would convert all that is remembered to the number format of the parameters: what
    NAdam multiplies up in float32, for one, would go on in float64 and round otherwise.

    Args:
        optimizer: As built from the same spec for the same network, and its schedule where that one has come to.
        state: Its tensors may be on another device.

    Raises:
        ValueError: The state is that of another optimizer.
    """
    for group, values in zip(optimizer.param_groups, state["groups"], strict=True):
        if {*values, "params"} != set(group) or values["param_names"] != group["param_names"]:
            raise ValueError(f"its optimizer has {sorted(values)} for {values.get('param_names')}")
        group.update(values)
    optimizer.state.clear()
    for parameter, memory in zip(_parameters(optimizer), state["memory"], strict=True):
        if memory is not None:
            optimizer.state[parameter] = {
                name: _placed(value, parameter, on_cpu=name in memory["on_cpu"])
                for name, value in memory["values"].items()
            }


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _memory_of(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter) -> dict[str, Any] | None:
    if parameter not in optimizer.state:
        return None
    values = dict(optimizer.state[parameter])
    # Beside a parameter on a GPU, torch counts some steps on the CPU, and which ones depends on the optimizer.
    on_cpu = [name for name, value in values.items() if torch.is_tensor(value) and value.is_cpu]
    return {"values": values, "on_cpu": on_cpu}


def _placed(value: Any, parameter: torch.nn.Parameter, *, on_cpu: bool) -> Any:  # noqa: ANN401 - what torch remembers
    """Copy what is remembered of a parameter to where torch would have it."""
    if isinstance(value, list):  # LBFGS's directions
        return [_placed(one, parameter, on_cpu=on_cpu) for one in value]
    if not torch.is_tensor(value):
        return value
    return value.to("cpu" if on_cpu else parameter.device, copy=True)


def _require_matches(spec: OptimizerSpec, trained: Mapping[str, torch.nn.Parameter]) -> None:
    for problem in spec.match_problems(list(trained)):
        raise TrainingFailed(problem.code, problem.message, problem.hint)


def _require_matrices(spec: OptimizerSpec, trained: Mapping[str, torch.nn.Parameter]) -> None:
    others = [name for name, p in trained.items() if p.ndim != 2]  # noqa: PLR2004 - a matrix
    if spec.matrices_only and others:
        message = (
            f"{spec.type} trains matrices only, and `{others[0]}` has {trained[others[0]].ndim} dimensions."
        )
        raise TrainingFailed("not_matrices", message, "Leave the biases out of the model, or choose AdamW.")


class Schedule:
    """The course of the learning rate; this one leaves it as it is, at no cost.

    `Schedule.build` gives one that follows a spec.
    """

    @staticmethod
    def build(
        spec: SchedulerSpec | None, optimizer: torch.optim.Optimizer, *, has_dev: bool = True
    ) -> "Schedule":
        """Set the learning rate of the first step, and give what changes it from then on.

        Args:
            spec: The scheduler as completed (`Scheduler.completed`), or None for a constant learning rate.
            optimizer: Its learning rates, and where the scheduler cycles them its momenta, are changed in place.
            has_dev: Whether a dev loss will be told; a scheduler that would watch it watches the train loss without.
        """
        return Schedule() if spec is None else _Following(spec, optimizer, has_dev=has_dev)

    def after_step(self) -> None:
        """Tell that the optimizer has made a step."""

    def after_epoch(self, *, train_loss: float, dev_loss: float | None = None) -> None:
        """Tell that an epoch is over.

        Args:
            train_loss: Loss of the epoch.
            dev_loss: Loss on the dev set after it; None where it was not evaluated.
        """

    def state_dict(self) -> dict[str, Any]:
        """Give what is needed to go on from here: numbers, lists and dicts that JSON can hold."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken; the optimizer's own state may be loaded before or after.

        Args:
            state: The state of a schedule that was built from the same spec.
        """


class _Following(Schedule):
    """A warm-up, where there is one, and then a scheduler of torch.

    The scheduler is built when the warm-up is over, with the whole learning rates: torch's own way to put one after
    the other, `SequentialLR`, knows neither two intervals nor ReduceLROnPlateau.
    """

    def __init__(self, spec: SchedulerSpec, optimizer: torch.optim.Optimizer, *, has_dev: bool) -> None:
        self._spec = spec
        self._optimizer = optimizer
        self._watches_dev = has_dev and getattr(spec, "monitor", None) == "dev_loss"
        self._main: LRScheduler | None = None
        self._warmup: LRScheduler | None = None
        warmup: Warmup | None = getattr(spec, "warmup", None)
        self._warmup_left = warmup.count if warmup else 0
        self._warmup_interval = warmup.interval if warmup else None
        # A warm-up may end with the last step of an epoch: that epoch does not count for the scheduler.
        self._main_was_used = self._warmup_interval != "step"
        if warmup:
            self._warmup = lr_scheduler.LinearLR(optimizer, warmup.start_factor, total_iters=warmup.count)
        else:
            self._main = _built(spec, optimizer)

    def after_step(self) -> None:
        if self._main is None:
            self._warm("step")
            return
        self._main_was_used = True
        if self._spec.interval == "step":
            self._main.step()

    def after_epoch(self, *, train_loss: float, dev_loss: float | None = None) -> None:
        if self._main is None:
            self._warm("epoch")
        elif isinstance(self._main, lr_scheduler.ReduceLROnPlateau):
            watched = dev_loss if self._watches_dev else train_loss
            if self._main_was_used and watched is not None:
                self._main.step(watched)
        elif self._main_was_used and self._spec.interval == "epoch":
            self._main.step()

    def _warm(self, interval: str) -> None:
        if self._warmup is None or interval != self._warmup_interval:
            return
        self._warmup_left -= 1
        if self._warmup_left:
            self._warmup.step()
            return
        # The last rise gives the very learning rates of the spec: those of LinearLR come near them only.
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._main = _built(self._spec, self._optimizer)

    def state_dict(self) -> dict[str, Any]:
        return {
            "warmup_left": self._warmup_left,
            "main_was_used": self._main_was_used,
            "warmup": _memory(self._warmup) if self._warmup else None,
            "main": _memory(self._main) if self._main else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._warmup_left = state["warmup_left"]
        self._main_was_used = state["main_was_used"]
        if self._warmup:
            _remember(self._warmup, state["warmup"])
        if state["main"] is not None:
            self._main = self._main or self._built_beside()
            _remember(self._main, state["main"])
        # Or torch would warn at the end of an epoch of which all steps were made before.
        self._optimizer._opt_called = True  # type: ignore[attr-defined]  # noqa: SLF001 - torch has no other way

    def _built_beside(self) -> LRScheduler:
        """Build the scheduler without a change of the optimizer, which may have its loaded values already."""
        before = [
            {name: group[name] for name in group if name != "params"}
            for group in self._optimizer.param_groups
        ]
        main = _built(self._spec, self._optimizer)
        for group, values in zip(self._optimizer.param_groups, before, strict=True):
            group.update(values)
        return main


def _built(spec: Scheduler, optimizer: torch.optim.Optimizer) -> LRScheduler:
    match spec:
        case SequentialLR():
            parts = [_built(part, optimizer) for part in spec.schedulers]
            return lr_scheduler.SequentialLR(optimizer, parts, milestones=list(spec.milestones))
        case ChainedScheduler():
            return lr_scheduler.ChainedScheduler(
                [_built(part, optimizer) for part in spec.schedulers], optimizer
            )
        case _:
            scheduler: LRScheduler = getattr(lr_scheduler, spec.type)(optimizer, **spec.arguments())
            return scheduler


_MEMORY = (
    "last_epoch",
    "_step_count",
    "_last_lr",
    "T_cur",
    "T_i",
    "best",
    "num_bad_epochs",
    "cooldown_counter",
)
"""What torch's schedulers change as they step; all else follows from the spec, and not all of it is JSON."""


def _memory(scheduler: LRScheduler) -> dict[str, Any]:
    memory = {name: value for name, value in vars(scheduler).items() if name in _MEMORY}
    if "best" in memory and memory["best"] == scheduler.mode_worse:  # type: ignore[attr-defined] # of the plateau
        del memory["best"]  # JSON has no infinity, and a new scheduler starts with it.
    parts = getattr(scheduler, "_schedulers", None)
    return memory if parts is None else {**memory, "parts": [_memory(part) for part in parts]}


def _remember(scheduler: LRScheduler, memory: Mapping[str, Any]) -> None:
    # As torch's own load_state_dict does, which some schedulers refine for fields that are not part of this memory.
    vars(scheduler).update({name: value for name, value in memory.items() if name != "parts"})
    for part, own in zip(getattr(scheduler, "_schedulers", ()), memory.get("parts", ()), strict=True):
        _remember(part, own)


class Penalty:
    """The penalty on the weights: `l1 · Σ|w| + l2 · Σw²`."""

    def __init__(self, spec: Regularization, network: torch.nn.Module) -> None:
        """Choose the weights: the trained parameters with two or more dimensions."""
        self._spec = spec
        # Biases and the factors of normalization have one dimension.
        weights = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2]  # noqa: PLR2004
        self._weights = weights if spec.has_penalty else []

    def __call__(self) -> torch.Tensor | None:
        """Compute the penalty of the present weights.

        Returns:
            A tensor of shape () that gradients flow through, or None where there is no penalty.
        """
        if not self._weights:
            return None
        terms = [self._of(weight) for weight in self._weights]
        return torch.stack(terms).sum() if len(terms) > 1 else terms[0]

    def _of(self, weight: torch.Tensor) -> torch.Tensor:
        l1, l2 = self._spec.l1, self._spec.l2
        if not l2:
            return l1 * weight.abs().sum()
        squares = l2 * weight.square().sum()
        return squares + l1 * weight.abs().sum() if l1 else squares


class Clipping:
    """Bounds the gradient before a step: its entries first, then its norm, so that both bounds hold."""

    def __init__(self, spec: Regularization, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Choose the parameters: all that are trained."""
        self._parameters = [p for p in parameters if p.requires_grad]
        self._value = spec.clip_grad_value
        self._norm = spec.norm_bound

    def __call__(self) -> None:
        """Clip the gradients in place; a gradient that is not finite stays so, and the loss will tell."""
        if self._value is not None:
            torch.nn.utils.clip_grad_value_(self._parameters, self._value)
        if self._norm is not None:
            torch.nn.utils.clip_grad_norm_(
                self._parameters, self._norm.max_norm, norm_type=float(self._norm.norm_type)
            )
