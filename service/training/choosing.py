"""Which trainer a job takes: one model, or one for each group."""

from collections.abc import Sequence

from service.spec.plan import Plan
from service.training import stack
from service.training.groups.trainer import GroupedFit, GroupedTrainer
from service.training.trainer import Fit, Trainer

__all__ = ["AnyFit", "AnyTrainer", "fit_together", "trainer_of"]

AnyTrainer = Trainer | GroupedTrainer
AnyFit = Fit | GroupedFit


def trainer_of(plan: Plan) -> type[Trainer] | type[GroupedTrainer]:
    """Give the trainer of a job; both are built with the same arguments, and fit in the same way."""
    return GroupedTrainer if plan.is_grouped else Trainer


def fit_together(trainers: Sequence[AnyTrainer]) -> list[AnyFit | Exception]:
    """Fit all: those of one model together, those of groups each for itself; what goes wrong with one is its own matter.

    Returns:
        What each fit gave, or the error that ended it, in order.
    """
    fits = iter(stack.fit_together([one for one in trainers if isinstance(one, Trainer)]))
    return [next(fits) if isinstance(one, Trainer) else _fitted(one) for one in trainers]


def _fitted(trainer: GroupedTrainer) -> GroupedFit | Exception:
    try:
        return trainer.fit()
    except Exception as error:  # noqa: BLE001 - whoever asked for several fits looks at each
        return error
