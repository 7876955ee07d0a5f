"""The part of the script that trains: epochs of steps, as a tutorial writes them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from service.exports.script.optimizer import scheduler_call
from service.exports.script.python import call, comment, literal
from service.spec.job import JobSpec
from service.spec.regularization import Regularization

__all__ = ["Course", "penalty_lines", "training_lines"]

REPORTS = 10
"""So many times the script tells the loss."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the rows are gone through.

    Attributes:
        spec: The effective spec.
        seed: Of the order of the rows.
        train_rows: Rows for training.
        dev_rows: Rows that the training is watched on; 0 where none are.
        by_rows: Whether the loss is made of `sums`.
    """

    spec: JobSpec
    seed: int
    train_rows: int
    dev_rows: int
    by_rows: bool

    @property
    def batch_rows(self) -> int:
        """Rows of a full step."""
        size = self.spec.training.batch_size
        return min(size, self.train_rows) if isinstance(size, int) else self.train_rows

    @property
    def is_whole(self) -> bool:
        """Whether each step takes all rows."""
        return self.batch_rows == self.train_rows

    @property
    def has_weight(self) -> bool:
        """Whether rows have weights."""
        return self.spec.data.weight is not None

    @property
    def watches(self) -> str | None:
        """The loss that ends the training early; None where nothing does."""
        stopping = self.spec.training.early_stopping
        if stopping is None or (stopping.monitor == "dev_loss" and not self.dev_rows):
            return None
        return stopping.monitor


def penalty_lines(spec: Regularization) -> list[str]:
    """Write the penalty on the weights, `penalty`; nothing where there is none."""
    if not spec.has_penalty:
        return []
    l1, l2 = spec.l1, spec.l2
    absolute, squares = f"{literal(l1)} * w.abs().sum()", f"{literal(l2)} * w.square().sum()"
    term = absolute if not l2 else f"{squares} + {absolute}" if l1 else squares
    return [
        "# What keeps the weights small; biases have one dimension and are left alone.",
        "weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]",
        "",
        "",
        "def penalty():",
        f"    return torch.stack([{term} for w in weights]).sum()",
    ]


def training_lines(course: Course) -> list[str]:
    """Write the loop."""
    training = course.spec.training
    lines = [f"epochs = {training.epochs}"]
    lines += _before(course)
    lines += ["", "for epoch in range(1, epochs + 1):"]
    lines += [f"    {line}" for line in _epoch(course)]
    stopping = training.early_stopping
    if stopping is not None and course.watches and stopping.restore_best:
        lines += ["", "model.load_state_dict(best)  # Those of the best epoch, not of the last."]
    return lines


def _before(course: Course) -> Iterator[str]:
    if not course.is_whole:
        yield f"batch_size = {course.batch_rows}"
        if course.spec.training.shuffle:
            yield f"shuffling = torch.Generator().manual_seed({course.seed})"
    if _counts_steps(course):
        yield "step = 0"
    if course.watches is not None:
        yield 'best_loss, best_epoch = float("inf"), 0'


def _counts_steps(course: Course) -> bool:
    warmup = getattr(course.spec.scheduler, "warmup", None)
    return warmup is not None and warmup.interval == "step"


def _epoch(course: Course) -> Iterator[str]:
    if course.is_whole:
        yield from _step(course, "x", "y", "weight")
        yield "train_loss = loss.item()" if not _is_lbfgs(course) else "train_loss = asked[0]"
    else:
        yield from _order(course)
        yield "total, count = 0.0, 0.0"
        yield "for batch in batches:"
        for line in _step(course, "x[batch]", "y[batch]", "weight[batch]"):
            yield f"    {line}" if line else ""
        rows = "weight[batch].sum().item()" if course.has_weight else "len(batch)"
        loss = "asked[0]" if _is_lbfgs(course) else "loss.item()"
        if course.has_weight:
            yield f"    total, count = total + {loss} * {rows}, count + {rows}"
        else:
            yield f"    total, count = total + {loss} * len(batch), count + len(batch)"
        yield "train_loss = total / count"
    if course.dev_rows:
        yield from _dev(course)
    yield from _after_epoch(course)
    shown = ', "dev loss", dev_loss' if course.dev_rows else ""
    every = max(1, course.spec.training.epochs // REPORTS)
    indent = "    " if every > 1 else ""
    if every > 1:
        yield f"if epoch % {every} == 0:"
    yield f'{indent}print("epoch", epoch, "loss", train_loss{shown})'
    yield from _stopping(course)


def _order(course: Course) -> Iterator[str]:
    if course.spec.training.shuffle:
        yield from comment(
            "The order that DataLoader(shuffle=True, generator=shuffling) would give, which draws a seed"
        )
        yield from comment("before it and one more order after it.")
        yield "torch.empty((), dtype=torch.int64).random_(generator=shuffling)"
        yield "order = torch.randperm(len(x), generator=shuffling)"
        yield "torch.randperm(len(x), generator=shuffling)"
    else:
        yield "order = torch.arange(len(x))"
    yield "batches = order.split(batch_size)"
    is_uneven = course.train_rows % course.batch_rows != 0
    if course.spec.training.drop_last and is_uneven:
        yield "batches = batches[:-1]  # The last one is smaller and left out."


def _is_lbfgs(course: Course) -> bool:
    return course.spec.optimizer.needs_closure


def _step(course: Course, x: str, y: str, weight: str) -> Iterator[str]:
    gradient = [
        "optimizer.zero_grad()",
        *_loss(course, x, y, weight),
        ("(loss + penalty())" if course.spec.regularization.has_penalty else "loss") + ".backward()",
        *_clipping(course.spec.regularization),
    ]
    if _is_lbfgs(course):
        returned = "loss + penalty()" if course.spec.regularization.has_penalty else "loss"
        yield from comment(
            "LBFGS asks for the loss as often as it needs; the first answer is that before the step."
        )
        yield "asked = []"
        yield ""
        yield "def closure():"
        yield from (f"    {line}" for line in gradient)
        yield "    asked.append(loss.item())"
        yield f"    return {returned}"
        yield ""
        yield "optimizer.step(closure)"
    else:
        yield from gradient
        yield "optimizer.step()"
    yield from _after_step(course)


def _loss(course: Course, x: str, y: str, weight: str) -> Iterator[str]:
    if course.has_weight:
        yield f"total_loss, mass = sums(model({x}), {y}, {weight})"
        yield "loss = total_loss / mass.clamp_min(torch.finfo(torch.float32).tiny)"
        return
    name = "loss_of" if course.spec.loss.type == "GaussianNLLLoss" else "loss_fn"
    yield f"loss = {name}(model({x}), {y})"


def _clipping(spec: Regularization) -> Iterator[str]:
    if spec.clip_grad_value is not None:
        yield f"nn.utils.clip_grad_value_(model.parameters(), {literal(spec.clip_grad_value)})"
    if spec.norm_bound is not None:
        options = {"max_norm": spec.norm_bound.max_norm, "norm_type": float(spec.norm_bound.norm_type)}
        function = torch.nn.utils.clip_grad_norm_
        yield call("nn.utils.clip_grad_norm_", function, options, first=["model.parameters()"])


def _after_step(course: Course) -> Iterator[str]:
    scheduler = course.spec.scheduler
    if scheduler is None:
        return
    warmup, is_stepped = getattr(scheduler, "warmup", None), scheduler.interval == "step"
    if warmup is None:
        if is_stepped:
            yield "scheduler.step()"
    elif warmup.interval == "step":
        yield "step += 1"
        yield f"if step < {warmup.count}:"
        yield "    warmup.step()"
        yield f"elif step == {warmup.count}:"
        yield from _begun(course)
        if is_stepped:
            yield "else:"
            yield "    scheduler.step()"
    elif is_stepped:
        yield f"if epoch > {warmup.count}:"
        yield "    scheduler.step()"


def _begun(course: Course) -> Iterator[str]:
    scheduler = course.spec.scheduler
    if scheduler is None:
        return
    yield "    for group in optimizer.param_groups:"
    yield '        group["lr"] = group["initial_lr"]'
    yield f"    scheduler = {scheduler_call(scheduler)}"


def _after_epoch(course: Course) -> Iterator[str]:
    scheduler = course.spec.scheduler
    if scheduler is None:
        return
    watched = ""
    if scheduler.type == "ReduceLROnPlateau":
        watched = "dev_loss" if course.dev_rows and scheduler.monitor == "dev_loss" else "train_loss"
    steps_here = scheduler.interval == "epoch"
    warmup = getattr(scheduler, "warmup", None)
    if warmup is None:
        if steps_here:
            yield f"scheduler.step({watched})"
    elif warmup.interval == "epoch":
        yield f"if epoch < {warmup.count}:"
        yield "    warmup.step()"
        yield f"elif epoch == {warmup.count}:"
        yield from _begun(course)
        if steps_here:
            yield "else:"
            yield f"    scheduler.step({watched})"
    elif steps_here:
        yield f"if step > {warmup.count}:"
        yield f"    scheduler.step({watched})"


def _dev(course: Course) -> Iterator[str]:
    yield "model.eval()"
    yield "with torch.no_grad():"
    yield from (f"    {line}" for line in _dev_loss(course))
    yield "model.train()"


def _dev_loss(course: Course) -> Iterator[str]:
    name = "loss_of" if course.spec.loss.type == "GaussianNLLLoss" else "loss_fn"
    if course.dev_rows <= course.batch_rows:
        if course.has_weight:
            yield "total_loss, mass = sums(model(x_dev), y_dev, weight_dev)"
            yield "dev_loss = (total_loss / mass.clamp_min(torch.finfo(torch.float32).tiny)).item()"
        else:
            yield f"dev_loss = {name}(model(x_dev), y_dev).item()"
        return
    size = course.batch_rows
    weight = ", weight_dev[batch]" if course.has_weight else ""
    yield "total, count = 0.0, 0.0"
    yield f"for batch in torch.arange(len(x_dev)).split({size}):"
    if course.by_rows:
        yield f"    total_loss, mass = sums(model(x_dev[batch]), y_dev[batch]{weight})"
        yield "    total, count = total + total_loss.item(), count + mass.item()"
    else:
        yield f"    total += {name}(model(x_dev[batch]), y_dev[batch]).item() * len(batch)"
        yield "    count += len(batch)"
    yield "dev_loss = total / count"


def _stopping(course: Course) -> Iterator[str]:
    stopping, watched = course.spec.training.early_stopping, course.watches
    if stopping is None or watched is None:
        return
    delta = f" - {literal(stopping.min_delta)}" if stopping.min_delta else ""
    yield f"if {watched} < best_loss{delta}:"
    yield f"    best_loss, best_epoch = {watched}, epoch"
    if stopping.restore_best:
        yield "    best = copy.deepcopy(model.state_dict())"
    yield f"if epoch - best_epoch >= {stopping.patience}:"
    yield "    break"
