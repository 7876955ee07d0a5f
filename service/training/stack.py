"""Several jobs at once: where their trainings allow it, each step is one computation for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.training.dense import stacked
from service.training.loop import Loop
from service.training.quadratic.training import QuadraticTraining, walk
from service.training.trainer import Fit, Trainer
from service.training.training import Training

__all__ = ["fit_together", "train_alike"]


def fit_together(trainers: Sequence[Trainer]) -> list[Fit | Exception]:
    """Fit all, each as `Trainer.fit` would: what goes wrong with one is its own matter.

    Args:
        trainers: Best of jobs of one shape (`service.spec.shape`); each tells its own callbacks.

    Returns:
        What each fit gave, or the error that ended it, in order.
    """
    members = [_Member(trainer, trainer.trainings()) for trainer in trainers]
    while ready := [one for one in members if one.begins()]:
        for alike in _sorted(ready):
            _run(alike)
    return [one.outcome for one in members if one.outcome is not None]


@dataclass(eq=False)
class _Member:
    """One of the trainers.

    Attributes:
        trainer: It.
        trainings: What it has still to train.
        training: What it trains now.
        outcome: What it gave at last.
    """

    trainer: Trainer
    trainings: Iterator[Training]
    training: Training | None = field(default=None)
    outcome: Fit | Exception | None = field(default=None)

    def begins(self) -> bool:
        """Judge the training that was run, and begin with the next one; tell whether there is one."""
        if self.outcome is not None:
            return False
        try:
            self.training = next(self.trainings, None)
            if self.training is None:
                self.outcome = self.trainer.result()
        except Exception as error:  # noqa: BLE001 - whoever asked for several fits looks at each
            self.fails(error)
        return self.outcome is None

    def fails(self, error: Exception) -> None:
        """End with an error."""
        self.outcome = error


def _sorted(members: Sequence[_Member]) -> list[list[_Member]]:
    """Put those together that can be trained together."""
    groups: dict[Any, list[_Member]] = {}
    for number, one in enumerate(members):
        groups.setdefault(_likeness(one.training) or number, []).append(one)
    return list(groups.values())


def _likeness(training: Training | None) -> tuple[object, ...] | None:
    """Give what must be equal for trainings to share their steps; None for one that runs alone."""
    return training.likeness if isinstance(training, QuadraticTraining) else stacked.likeness(training)


def _run(members: Sequence[_Member]) -> None:
    """Run the trainings of members that can be trained together."""
    trainings = [one.training for one in members if one.training is not None]
    try:
        failures = train_alike(trainings)
    except Exception as error:  # noqa: BLE001 - as above: what they do together broke
        failures = [error] * len(members)
    for member, failure in zip(members, failures, strict=True):
        if failure is not None:
            member.fails(failure)


def train_alike(trainings: Sequence[Training]) -> Sequence[Exception | None]:
    """Run trainings that share their steps, or a single one.

    Returns:
        What a callback of each raised, but for `Stop`; None for those that went their way.

    Raises:
        Exception: What they do together broke.
    """
    walks = [one for one in trainings if isinstance(one, QuadraticTraining)]
    if len(walks) > 1:
        walk(walks)
        return [one.failure for one in walks]
    loops = [one for one in trainings if isinstance(one, Loop)]
    if len(loops) > 1:
        return stacked.train_together(loops)
    for one in trainings:
        one.run()
    return [None] * len(trainings)
