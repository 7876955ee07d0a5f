"""What makes the steps of a training: the fastest engine that computes the same, decided before the first step."""

from collections.abc import Callable
from dataclasses import dataclass

from service.training.case import Case
from service.training.dense.fitness import obstacle as dense_obstacle
from service.training.dense.steps import DenseSteps
from service.training.loop import Loop
from service.training.quadratic.fitness import obstacle as quadratic_obstacle
from service.training.quadratic.training import QuadraticTraining
from service.training.steps import EagerSteps
from service.training.training import Engine, Training

__all__ = ["begin", "choose", "reads_once"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """An engine that can stand in for the reference.

    Attributes:
        why: What is special about the trainings that it can do.
        obstacle: Says what keeps it from a training; None where nothing does.
        build: Builds the training.
        reads_once: Whether it reads the rows once, however many epochs there are.
    """

    why: str
    obstacle: Callable[[Case], str | None]
    build: Callable[[Case], Training]
    reads_once: bool = False


def _eager(case: Case) -> Training:
    return Loop(case, EagerSteps)


def _dense(case: Case) -> Training:
    return Loop(case, DenseSteps)


_KINDS = {
    "quadratic": _Kind(
        "One layer, MSELoss, full batches and SGD: the rows are read once, and the epochs follow by algebra.",
        quadratic_obstacle,
        QuadraticTraining,
        reads_once=True,
    ),
    "dense": _Kind(
        "All layers are known ones: forward and backward pass are written out, and all parameters updated at once.",
        dense_obstacle,
        _dense,
    ),
}
"""The fastest first; `eager` takes whatever none of them can."""


def choose(case: Case) -> Engine:
    """Find the fastest engine for a training."""
    if case.spec.training.engine == "eager":
        return Engine("eager", "The spec asks for it.")
    obstacles = {}
    for name, kind in _KINDS.items():
        obstacle = kind.obstacle(case)
        if obstacle is None:
            return Engine(name, kind.why)
        obstacles[name] = obstacle
    return Engine("eager", " ".join(f"Not {name}: {why}." for name, why in obstacles.items()))


def begin(case: Case, engine: str) -> Training:
    """Build a training.

    Args:
        case: What is to be trained.
        engine: A name that `choose` gave for such a case.

    Raises:
        LookupError: There is no such engine.
        TrainingFailed: The network has no such parameter groups, or one batch cannot be trained on.
    """
    return _eager(case) if engine == "eager" else _KINDS[engine].build(case)


def reads_once(engine: Engine) -> bool:
    """Tell whether an engine reads the rows once, however many epochs there are."""
    kind = _KINDS.get(engine.name)
    return kind is not None and kind.reads_once
