"""A job that is interrupted and goes on from its checkpoint, beside the same job undisturbed."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import pytest
import torch

from service.training import callbacks
from service.training.callbacks import Pulse
from service.training.checkpoint import Checkpoint, from_bytes, to_bytes
from service.training.trainer import Fit, Trainer, diverged
from tests.training.jobs import History

Make = Callable[..., Trainer]
"""Gives a fresh trainer of one job with `callbacks` and `checkpoint`."""
Change = Callable[[dict[str, Any]], None]
"""Changes a state in place."""


@contextmanager
def pulses_at_every_chance() -> Iterator[None]:
    """Let every training tell after each batch and each epoch, on one thread as a worker's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "PULSE_SECONDS", 0.0)
        yield
    torch.set_num_threads(threads)


class Interrupted(Exception):
    """The process died."""


class Record(History):
    """Keeps every series from an epoch on, the epochs counted without gap or repeat; may die at a pulse."""

    def __init__(self, *, after: int = 0, die_at: int | None = None) -> None:
        super().__init__()
        self.epoch, self.pulses, self.left = after, 0, b""
        self._die_at = die_at

    def on_pulse(self, pulse: Pulse) -> None:
        assert pulse.first_epoch == self.epoch + 1
        super().on_pulse(pulse)
        self.epoch += len(pulse.train_loss)
        self.pulses += 1
        if self.pulses == self._die_at:
            checkpoint = pulse.checkpoint()
            assert (checkpoint.epoch, checkpoint.fraction) == (self.epoch, pulse.fraction)
            self.left = to_bytes(checkpoint)
            raise Interrupted


@dataclass
class Outcome:
    """What a job told, and what it left."""

    columns: dict[str, list[float]]
    fit: Fit
    pulses: int = 0


def undisturbed(make: Make) -> Outcome:
    """Train in one go."""
    record = Record()
    fit = make(callbacks=[record]).fit()
    return Outcome(record.columns, fit, record.pulses)


def checkpoint_at(make: Make, pulse: int) -> tuple[Record, bytes]:
    """Train up to a pulse, counted from 1, and die there."""
    record = Record(die_at=pulse)
    died(make(callbacks=[record]))
    return record, record.left


def died(trainer: Trainer) -> None:
    try:
        trainer.fit()
    except Interrupted:
        return
    raise AssertionError("the training ended before the pulse at which it was to die")


def resumed(make: Make, pulses: Iterable[int], *, change: Change = lambda _: None) -> Outcome:
    """Train, die at a pulse, go on from its bytes, die at a later one and so on; pulses are counted over all of it."""
    columns: dict[str, list[float]] = {}
    epoch, at, checkpoint = 0, 0, None
    for pulse in [*pulses, None]:
        record = Record(after=epoch, die_at=None if pulse is None else pulse - at)
        trainer = make(callbacks=[record], checkpoint=checkpoint)
        fit = trainer.fit() if pulse is None else died(trainer)
        for name, series in record.columns.items():
            columns.setdefault(name, []).extend(series)
        if fit is not None:
            return Outcome(columns, fit)
        epoch, at, checkpoint = record.epoch, pulse or 0, changed(from_bytes(record.left), change)
    raise AssertionError("unreachable")


def changed(checkpoint: Checkpoint, change: Change) -> Checkpoint:
    state = copy.deepcopy(dict(checkpoint.state))
    change(state)
    return Checkpoint(checkpoint.epoch, checkpoint.fraction, state)


def bits(value: Any) -> Any:  # noqa: ANN401 - any part of a fit
    """Say exactly what something is: NaN equals NaN, 0 is not -0, and a tensor lies in memory as it lies."""
    if isinstance(value, torch.Tensor):
        raw = value.contiguous().reshape(-1).view(torch.uint8).tolist()
        return (str(value.dtype), tuple(value.shape), value.stride(), raw)
    if isinstance(value, Mapping):
        return {key: bits(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [bits(one) for one in value]
    return repr(value)


def of_fit(fit: Fit) -> dict[str, Any]:
    """Everything in a fit, comparable."""
    return {field.name: bits(getattr(fit, field.name)) for field in fields(fit)}


def differences(one: Outcome, other: Outcome) -> list[str]:
    """Name what is not the same to the last bit."""
    names = [
        name
        for name in {**one.columns, **other.columns}
        if bits(one.columns.get(name)) != bits(other.columns.get(name))
    ]
    mine, theirs = of_fit(one.fit), of_fit(other.fit)
    return names + [name for name in mine if mine[name] != theirs[name]]


def assert_same(one: Outcome, other: Outcome, make: Make) -> None:
    """Compare every bit, and what a person is told of a divergence."""
    assert differences(one, other) == []
    if one.fit.stop_reason == "diverged":
        spec = make(callbacks=[]).spec
        assert str(diverged(one.fit, spec)) == str(diverged(other.fit, spec))
        assert diverged(one.fit, spec).hint == diverged(other.fit, spec).hint
