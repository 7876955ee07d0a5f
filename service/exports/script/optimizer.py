"""The parts of the script that build the loss, the optimizer and what changes the learning rate."""

from collections.abc import Iterator, Sequence

import torch
from torch.optim import lr_scheduler

from service.exports.script.python import WIDTH, call, comment, literal
from service.spec.job import JobSpec
from service.spec.losses import LossSpec
from service.spec.optimizers import OptimizerSpec
from service.spec.schedulers import ChainedScheduler, Scheduler, SchedulerSpec, SequentialLR

__all__ = ["is_by_rows", "loss_lines", "optimizer_lines", "scheduler_call", "scheduler_lines"]


def loss_lines(spec: JobSpec, *, by_rows: bool) -> list[str]:
    """Write the loss, `loss_fn`, or with weights of rows or of classes over several batches `sums`.

    Args:
        spec: The effective spec.
        by_rows: Whether sums over rows are needed: see `is_by_rows`.
    """
    loss, dtype = spec.loss, spec.training.dtype
    lines = [f"loss_fn = {_loss(loss, dtype, reduction=loss.reduction)}"]
    if by_rows:
        each = f"each_row = {_loss(loss, dtype, reduction='none')}"
        # With weights of rows torch's own mean is not used at all.
        lines = [each] if spec.data.weight is not None else [*lines, each]
        lines += _sums(spec)
    if loss.type == "GaussianNLLLoss":
        lines += ["", "", *_gaussian(spec)]
    return lines


def is_by_rows(spec: JobSpec, *, has_dev: bool) -> bool:
    """Tell whether the loss is made of sums over the rows: for weights, and for weights of classes over dev batches."""
    return spec.data.weight is not None or (has_dev and bool(spec.loss.weights()))


def _loss(loss: LossSpec, dtype: str, *, reduction: str) -> str:
    weights = {
        name: f"torch.tensor({literal(list(values))}"
        + (")" if dtype == "float32" else f", dtype=torch.{dtype})")
        for name, values in loss.weights().items()
    }
    arguments = {name: value for name, value in loss.arguments().items() if name not in weights}
    text = call(f"nn.{loss.type}", getattr(torch.nn, loss.type), {**arguments, "reduction": reduction})
    named = ", ".join(f"{name}={value}" for name, value in weights.items())
    if not named:
        return text
    return text[:-1] + ("" if text.endswith("()") else ", ") + named + ")"


def _gaussian(spec: JobSpec) -> list[str]:
    name = "each_row" if spec.data.weight is not None else "loss_fn"
    return [
        "def loss_of(outputs, y):",
        '    """The network gives the mean of each target, and the logarithm of its variance."""',
        "    mean, log_variance = outputs.chunk(2, dim=1)",
        f"    return {name}(mean, y, log_variance.exp())",
    ]


def _sums(spec: JobSpec) -> list[str]:
    loss, has_weight = spec.loss, spec.data.weight is not None
    made = {"classes": "", "label_indices": ""}.get(loss.target, ".mean(1)")
    made = ".sum(1)" if loss.type == "KLDivLoss" else made
    name = "loss_of" if loss.type == "GaussianNLLLoss" else "each_row"
    argument = ", weight" if has_weight else ""
    counted = "torch.ones_like(losses)"
    body = []
    if loss.type in {"CrossEntropyLoss", "NLLLoss"}:
        body = [f"    is_counted = y != {name}.ignore_index"]
        counted = "is_counted.to(losses.dtype)"
        if loss.weights():
            counted = f"{name}.weight[torch.where(is_counted, y, 0)] * is_counted"
    total, mass = ("losses.sum()", "counted.sum()")
    if has_weight:
        total, mass = "torch.dot(losses, weight)", "torch.dot(counted, weight)"
    return [
        "",
        "",
        f"def sums(outputs, y{argument}):",
        '    """Two sums over the rows, whose quotient is the loss."""',
        f"    losses = {name}(outputs, y){made}",
        *body,
        f"    counted = {counted}",
        f"    return {total}, {mass}",
    ]


def optimizer_lines(spec: OptimizerSpec, network: torch.nn.Module) -> list[str]:
    """Write the optimizer, with its groups of parameters where there are any."""
    function, name = getattr(torch.optim, spec.type), f"torch.optim.{spec.type}"
    if not spec.parameter_groups:
        return [f"optimizer = {call(name, function, spec.arguments(), first=['model.parameters()'])}"]
    lines = ["named = dict(model.named_parameters())", "groups = ["]
    overrides = [{}, *(group.overrides for group in spec.parameter_groups)]
    members = spec.members([name for name, _ in network.named_parameters()])
    for names, values in zip(members, overrides, strict=True):
        if names:
            lines += [f"    {line}" for line in _group(names, values)]
    return [*lines, "]", f"optimizer = {call(name, function, spec.arguments(), first=['groups'])}"]


def _group(names: Sequence[str], values: dict[str, object]) -> list[str]:
    options = "".join(f", {literal(name)}: {literal(value)}" for name, value in values.items())
    text = '{"params": [named[name] for name in ' + literal(list(names)) + f"]{options}}},"
    if len(text) <= WIDTH:
        return [text]
    return [
        '{"params": [named[name] for name in [',
        *(f"    {literal(one)}," for one in names),
        f"]]{options}}},",
    ]


def scheduler_call(spec: Scheduler) -> str:
    """Write what builds a scheduler, its warm-up left out."""
    match spec:
        case SequentialLR():
            parts = ", ".join(map(scheduler_call, spec.schedulers))
            return f"lr_scheduler.SequentialLR(optimizer, [{parts}], milestones={literal(list(spec.milestones))})"
        case ChainedScheduler():
            return f"lr_scheduler.ChainedScheduler([{', '.join(map(scheduler_call, spec.schedulers))}])"
        case _:
            function = getattr(lr_scheduler, spec.type)
            arguments = spec.arguments()
            return call(f"lr_scheduler.{spec.type}", function, arguments, first=["optimizer"])


def scheduler_lines(spec: SchedulerSpec | None) -> Iterator[str]:
    """Write what is there before the first step: the scheduler, or its warm-up."""
    if spec is None:
        return
    warmup = getattr(spec, "warmup", None)
    if warmup is None:
        yield f"scheduler = {scheduler_call(spec)}"
        return
    yield from comment(
        f"The learning rate rises for {warmup.count} {warmup.interval}s; then the schedule begins."
    )
    yield f"warmup = lr_scheduler.LinearLR(optimizer, {literal(warmup.start_factor)}, total_iters={warmup.count})"
