"""Which jobs are gradient descent on a quadratic function: their epochs follow by algebra."""

from collections.abc import Callable, Mapping

from service.spec.models import LinearModel, PolynomialModel
from service.spec.optimizers import SGD
from service.spec.plan import Plan

__all__ = ["obstacle", "seconds"]

MAX_INPUTS = 512
"""The principal axes of so many take some 50 milliseconds, during which nobody is heard."""
SMALL_TABLE = 2**22
"""Numbers that are read and multiplied in milliseconds, whatever the epochs cost."""


def obstacle(plan: Plan) -> str | None:
    """Say what keeps a job from being one; None where nothing does."""
    return next((what for what, keeps in _OBSTACLES.items() if keeps(plan)), None)


def seconds(plan: Plan) -> float:
    """Estimate the training time of a job that is one, on one core."""
    inputs = plan.inputs[0]
    reading = plan.train_rows * inputs * _nanoseconds(inputs) * 1e-9
    return plan.runs * (1e-3 + reading) + plan.epochs * inputs * 3e-8


def _nanoseconds(inputs: int) -> float:
    """What each number costs that is read and multiplied, as measured."""
    return 2 + inputs / 10


def _costs_more(plan: Plan) -> bool:
    """Compare the one reading with all epochs, which cost half a nanosecond for each number."""
    inputs = plan.inputs[0]
    if inputs > MAX_INPUTS:
        return True
    if plan.train_rows * inputs <= SMALL_TABLE:
        return False
    return _nanoseconds(inputs) > plan.spec.training.epochs / 2


_OBSTACLES: Mapping[str, Callable[[Plan], bool]] = {
    "the loss is not MSELoss": lambda plan: plan.spec.loss.type != "MSELoss",
    "the model is not one fully connected layer": lambda plan: not _is_one_layer(plan),
    "the optimizer is not SGD": lambda plan: not isinstance(plan.spec.optimizer, SGD),
    "parameters have learning rates of their own": lambda plan: bool(plan.spec.optimizer.parameter_groups),
    "the learning rate changes": lambda plan: plan.spec.scheduler is not None,
    "the penalty l1 is not smooth": lambda plan: plan.spec.regularization.l1 > 0,
    "the gradient is clipped": lambda plan: plan.spec.regularization.clips,
    "the rows change at each step": lambda plan: bool(plan.spec.training.augmentation),
    "a step takes a part of the rows": lambda plan: plan.batch_rows < plan.smallest_train_rows,
    "there are too many inputs, or too few epochs, for it to pay": _costs_more,
}


def _is_one_layer(plan: Plan) -> bool:
    model = plan.spec.model
    return isinstance(model, LinearModel | PolynomialModel) and len(plan.inputs) == 1
