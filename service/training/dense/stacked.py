"""Networks of one shape that make their steps together: every product is one of many matrices at once.

The members keep their own rows, orders, learning rates and epochs. Their parameters and the optimizers' memories are
put beside each other for an epoch and are given back after it, so that between two epochs each is as if it had been
alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from service.training.dense.losses import stacked_criterion_of
from service.training.dense.passes import is_pointwise, layers_of, pointwise
from service.training.dense.stacked_rules import STACKED_RULES, StackedRule
from service.training.dense.steps import DenseSteps
from service.training.loop import Loop
from service.training.rows import Table

__all__ = ["likeness", "train_together"]

STACK_BYTES = 2**23
"""Of what the members of one stack touch in a step. Measured: what a call costs weighs more than what leaves the cache."""
WINDOW_BYTES = 2**21
"""Of rows that are gathered at once."""


def likeness(training: object) -> tuple[object, ...] | None:
    """Say what must be equal for loops to share their steps; None for a loop that cannot share any."""
    if not isinstance(training, Loop) or not isinstance(training.steps, DenseSteps):
        return None
    steps, case = training.steps, training.steps.case
    rule, rows = STACKED_RULES.get(case.spec.optimizer.type), case.rows
    if rule is None or not steps.is_plain or not isinstance(rows, Table) or rows.weight is not None:
        return None
    layers = layers_of(case.network)
    if not all(is_pointwise(layer) or type(layer) in {torch.nn.Linear, torch.nn.Flatten} for layer in layers):
        return None
    if stacked_criterion_of(case.objective) is None or training.is_within_epoch:
        return None
    shapes = (str(case.network), rows.features.shape, rows.target.shape, rows.features.dtype, case.batch_rows)
    spec = case.spec
    course = (spec.training.epochs, spec.training.shuffle, spec.training.drop_last, training.epoch)
    return (*shapes, *course, spec.loss, rule, rule.switches(steps.optimizer.param_groups[0]))


def train_together(loops: Sequence[Loop]) -> list[Exception | None]:
    """Run loops of one likeness.

    Returns:
        What a callback of each raised, but for `Stop`; None for those that went their way.
    """
    failures: list[Exception | None] = [None] * len(loops)
    most = max(1, STACK_BYTES // _bytes(loops[0]))
    for first in range(0, len(loops), most):
        numbers = range(first, min(first + most, len(loops)))
        for number, failure in zip(numbers, _train([loops[n] for n in numbers]), strict=True):
            failures[number] = failure
    return failures


def _bytes(loop: Loop) -> int:
    """Count what a member touches in a step: parameters, gradients and memory, and the batch with its activations."""
    steps: Any = loop.steps
    case, parameter = steps.case, steps.flat.parameter
    numbers = 4 * parameter.numel() + 2 * case.batch_rows * case.plan.activation_count
    return int(max(1, numbers * parameter.element_size()))


def _train(loops: Sequence[Loop]) -> list[Exception | None]:
    courses = [loop.course() for loop in loops]
    failures: list[Exception | None] = [None] * len(loops)
    for course in courses:
        next(course, None)
    active = list(range(len(loops)))
    while active:
        stack = _Stack([loops[number] for number in active])
        before = len(active)
        while active and len(active) == before:
            for number, loss in zip(list(active), stack.epoch(), strict=True):
                try:
                    courses[number].send(loss)
                except StopIteration:
                    active.remove(number)
                except Exception as error:  # noqa: BLE001 - it ends this training, and none beside it
                    failures[number] = error
                    active.remove(number)
    return failures


class _Stack:
    """The members that are still under way; a new one is built when some have ended."""

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = loops
        steps: list[Any] = [loop.steps for loop in loops]
        self._flats = [one.flat for one in steps]
        self._values = torch.stack([flat.parameter.detach() for flat in self._flats])
        self._gradients = torch.zeros_like(self._values)
        case = steps[0].case
        self._layers = self._passes(case.network, self._flats[0].places)
        criterion = stacked_criterion_of(case.objective)
        if criterion is None:
            raise ValueError("the loss is not written out")
        self._criterion = criterion
        optimizers = [one.optimizer for one in steps]
        self._rule: StackedRule = STACKED_RULES[case.spec.optimizer.type](
            self._values, self._gradients, optimizers
        )
        self._whole: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    def _passes(self, network: torch.nn.Module, places: Sequence[int]) -> list[Any]:
        found: list[Any] = []
        offsets = iter(places)
        for layer in layers_of(network):
            if isinstance(layer, torch.nn.Linear):
                shapes = [one.shape for one in layer.parameters()]
                parts = [self._views(next(offsets), shape) for shape in shapes]
                found.append(
                    _StackedLinear(parts, is_first=not any(isinstance(p, _StackedLinear) for p in found))
                )
            elif not isinstance(layer, torch.nn.Flatten):  # The rows come flat.
                found += pointwise(layer, is_free=bool(found) and isinstance(found[-1], _StackedLinear))
        return found

    def _views(self, place: int, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        stop = place + shape.numel()
        members = len(self._loops)
        values, gradients = (
            one[:, place:stop].view(members, *shape) for one in (self._values, self._gradients)
        )
        return values, gradients

    def epoch(self) -> list[float]:
        """Make an epoch of each; give the losses."""
        self._rule.take()
        totals = torch.zeros(len(self._loops), dtype=torch.float64)
        rows = 0
        for features, target in self._batches():
            values = features
            for one in self._layers:
                values = one.forward(values)
            losses, gradient = self._criterion(values, target)
            for one in reversed(self._layers):
                gradient = one.backward(gradient)
            self._rule.step()
            self._rule.after_step(self._loops)
            count = features.size(1)
            totals.add_(losses, alpha=count)
            rows += count
        self._rule.give_back()
        torch._foreach_copy_([flat.parameter.detach() for flat in self._flats], list(self._values.unbind(0)))
        return (totals / rows).tolist() if rows else totals.tolist()

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Give the batches of an epoch: features (members, rows, inputs), and targets."""
        orders = [loop.batches.order() for loop in self._loops]
        stops = self._loops[0].batches.stops
        if orders[0] is None:
            self._whole = self._whole or list(self._gathered(orders, stops))
            return iter(self._whole)
        return self._gathered(orders, stops)

    def _gathered(
        self, orders: Sequence[torch.Tensor | None], stops: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        tables: list[Any] = [loop.batches.rows for loop in self._loops]
        features = [one.features.flatten(1) for one in tables]
        bytes_of_one = max(1, len(tables) * features[0][: stops[0][1]].nbytes)
        window = max(1, WINDOW_BYTES // bytes_of_one)
        for first in range(0, len(stops), window):
            some = stops[first : first + window]
            start, stop = some[0][0], some[-1][1]
            x = torch.stack(
                [_part(one, order, start, stop) for one, order in zip(features, orders, strict=True)]
            )
            pairs = zip((one.target for one in tables), orders, strict=True)
            y = torch.stack([_part(one, order, start, stop) for one, order in pairs])
            for low, high in some:
                yield x[:, low - start : high - start], y[:, low - start : high - start]


def _part(rows: torch.Tensor, order: torch.Tensor | None, start: int, stop: int) -> torch.Tensor:
    return rows[start:stop] if order is None else rows.index_select(0, order[start:stop])


class _StackedLinear:
    """A fully connected layer of every member."""

    def __init__(self, parts: Sequence[tuple[torch.Tensor, torch.Tensor]], *, is_first: bool) -> None:
        (self._weight, self._weight_gradient), *bias = parts
        self._turned = self._weight.transpose(1, 2)
        self._bias = bias[0][0].unsqueeze(1) if bias else None
        self._bias_gradient = bias[0][1] if bias else None
        self._is_first = is_first

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._values = values
        if self._bias is None:
            return torch.bmm(values, self._turned)
        return torch.baddbmm(self._bias, values, self._turned)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        self._weight_gradient.copy_(torch.bmm(gradient.transpose(1, 2), self._values))
        if self._bias_gradient is not None:
            torch.sum(gradient, 1, out=self._bias_gradient)
        return gradient if self._is_first else torch.bmm(gradient, self._weight)
