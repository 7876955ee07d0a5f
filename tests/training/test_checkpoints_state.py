"""Each part of a checkpoint matters: taken from an earlier one, or left as a fresh trainer has it, it leads elsewhere."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from service.spec.plan import Plan
from service.training.checkpoint import from_bytes
from tests.training.jobs import inline, inline_job, job, trainer
from tests.training.restless import RestlessModel
from tests.training.resumed import (
    Make,
    assert_same,
    checkpoint_at,
    differences,
    pulses_at_every_chance,
    resumed,
    undisturbed,
)


@pytest.fixture(autouse=True)
def _pulses() -> Iterator[None]:
    with pulses_at_every_chance():
        yield


ROWS = np.random.default_rng(3).normal(size=(4, 16))


def curve(**sections: Any) -> Plan:  # noqa: ANN401 - sections of any kind
    """A small network with batch normalization and dropout, in batches of four."""
    columns = {**{f"x{i}": ROWS[i].tolist() for i in range(3)}, "y": (ROWS[0] * ROWS[1] + ROWS[3]).tolist()}
    usual: dict[str, Any] = {
        "model": {"type": "mlp", "hidden": [5], "normalization": "batch", "dropout": 0.3},
        "optimizer": {"type": "Adam", "lr": 0.05},
        "evaluation": {"split": {"type": "order", "dev": 0.25}},
    }
    training = {"epochs": 6, "batch_size": 4, **sections.pop("training", {})}
    return job(inline(columns), **{**usual, **sections}, training=training)


def diverging(**training: Any) -> Plan:  # noqa: ANN401 - fields of the training
    return inline_job(optimizer={"type": "SGD", "lr": 3.0}, epochs=400, **training)


STOPPING = {"early_stopping": {"patience": 4}, "epochs": 12}
JOBS: dict[str, Callable[[], Plan]] = {
    "batches": curve,
    "augmented": lambda: curve(training={"augmentation": [{"type": "noise", "std": 0.2}]}),
    "scheduled": lambda: curve(scheduler={"type": "ReduceLROnPlateau", "patience": 1, "threshold": 0.5}),
    "stepwise": lambda: curve(
        scheduler={"type": "CosineAnnealingWarmRestarts", "T_0": 3, "interval": "step"}
    ),
    "warmed up": lambda: curve(scheduler={"type": "ExponentialLR", "gamma": 0.5, "warmup": {"steps": 15}}),
    "stopped early": lambda: curve(training=STOPPING),
    "newton": lambda: curve(optimizer={"type": "LBFGS", "lr": 0.3, "max_iter": 2}),
    "averaged": lambda: curve(optimizer={"type": "ASGD", "lr": 0.05, "t0": 2, "lambd": 0.1}),
    "restarts": lambda: curve(training={"restarts": 3, "epochs": 4}),
    "folds": lambda: curve(evaluation={"folds": {"k": 3}}),
    "diverging": diverging,
    "diverging in batches": lambda: diverging(batch_size=3),
    "plugin": lambda: curve().with_changes(model=RestlessModel()),
}

# What is lost: the job, the pulse at which it is interrupted (below 0 from the last one), and the way to the part.
# An epoch of three batches has four pulses, the fourth after it; and a training has one more at its end.
PARTS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "parameters": ("batches", 14, ("training", "network", "0.weight")),
    "running mean": ("batches", 14, ("training", "network", "1.running_mean")),
    "running variance": ("batches", 14, ("training", "network", "1.running_var")),
    "batches tracked": ("batches", 14, ("training", "network", "1.num_batches_tracked")),
    "a buffer of no state dict": ("plugin", 14, ("training", "network", "calls")),
    "torch's generator": ("batches", 14, ("randomness", "torch")),
    "numpy's generator": ("plugin", 14, ("randomness", "numpy")),
    "python's generator": ("plugin", 14, ("randomness", "python")),
    "order of the rows, between epochs": ("batches", 12, ("training", "batches")),
    "order of the rows, within an epoch": ("batches", 14, ("training", "batches")),
    "generator of the augmentation": ("augmented", 14, ("training", "augmenter")),
    "what Adam remembers": ("batches", 14, ("training", "optimizer", "memory")),
    "what LBFGS remembers": ("newton", 14, ("training", "optimizer", "memory")),
    "what ASGD remembers": ("averaged", 14, ("training", "optimizer", "memory")),
    "learning rate": ("warmed up", 14, ("training", "optimizer", "groups")),
    "plateau": ("scheduled", 12, ("training", "schedule")),
    "steps of a schedule": ("stepwise", 14, ("training", "schedule")),
    "warm-up": ("warmed up", 10, ("training", "schedule")),
    "schedule after its warm-up": ("warmed up", 22, ("training", "schedule")),
    "best epoch": ("stopped early", -6, ("training", "watch", "best_epoch")),
    "best parameters": ("stopped early", -6, ("training", "watch", "best")),
    "best loss": ("stopped early", -6, ("training", "watch", "best_loss")),
    "fallback": ("diverging", -1, ("training", "finite")),
    "fallback in the making": ("diverging in batches", -5, ("training", "fresh")),
    "end of a training": ("stopped early", -1, ("training", "end")),
    "number of the epoch": ("batches", 14, ("training", "epoch")),
    "place in the epoch": ("batches", 14, ("training", "cursor", "batches")),
    "losses of the epoch so far": ("batches", 14, ("training", "cursor", "total")),
    "weights of the epoch so far": ("batches", 14, ("training", "cursor", "weights")),
    "first loss": ("batches", 14, ("training", "first_loss")),
    "finished restarts": ("restarts", 45, ("runs",)),
    "finished folds": ("folds", 60, ("runs",)),
    "training that is kept": ("restarts", 45, ("kept",)),
}


def part_of(state: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any part
    for name in path:
        state = state[name]
    return state


@pytest.mark.parametrize("lost", PARTS)
def test_without_this_part_the_job_is_another(lost: str) -> None:
    name, pulse, path = PARTS[lost]
    make: Make = functools.partial(trainer, JOBS[name]())
    whole = undisturbed(make)
    at = pulse if pulse > 0 else whole.pulses + 1 + pulse
    _, data = checkpoint_at(make, 1)
    first = part_of(from_bytes(data).state, path)

    def lose(state: dict[str, Any]) -> None:
        part_of(state, path[:-1])[path[-1]] = first

    assert_same(resumed(make, [at]), whole, make)
    assert differences(resumed(make, [at], change=lose), whole)
