"""Which trainings are a walk in a bowl."""

import torch

from service.spec.optimizers import SGD
from service.training.case import Case

__all__ = ["obstacle"]

MAX_INPUTS = 512
"""The principal axes of so many take some 50 milliseconds, during which nobody is heard."""
SMALL_TABLE = 2**22
"""Numbers that are read and multiplied in milliseconds, whatever the epochs cost."""


def obstacle(case: Case) -> str | None:
    """Say what keeps a training from being one; None where nothing does."""
    return next((what for what, keeps in _OBSTACLES.items() if keeps(case)), None)


def _is_one_layer(case: Case) -> bool:
    network = case.network
    return type(network) is torch.nn.Linear and all(p.requires_grad for p in network.parameters())


def _costs_more(case: Case) -> bool:
    """Compare the one reading with all epochs: nanoseconds for each number, as measured on one core."""
    inputs = case.plan.inputs[0]
    if inputs > MAX_INPUTS:
        return True
    if len(case.rows) * inputs <= SMALL_TABLE:
        return False
    return 2 + inputs / 10 > case.spec.training.epochs / 2


def _has_small_batches(case: Case) -> bool:
    return case.batch_rows < len(case.rows)


_OBSTACLES = {
    "the loss is not MSELoss": lambda case: case.spec.loss.type != "MSELoss",
    "the model is not one fully connected layer that is trained as a whole": lambda case: (
        not _is_one_layer(case)
    ),
    "the optimizer is not SGD": lambda case: not isinstance(case.spec.optimizer, SGD),
    "a step takes a part of the rows": _has_small_batches,
    "parameters have learning rates of their own": lambda case: bool(case.spec.optimizer.parameter_groups),
    "the learning rate changes": lambda case: case.spec.scheduler is not None,
    "the penalty l1 is not smooth": lambda case: case.spec.regularization.l1 > 0,
    "the gradient is clipped": lambda case: case.spec.regularization.clips,
    "the rows change at each step": lambda case: bool(case.spec.training.augmentation),
    "the rows are on an accelerator": lambda case: next(case.network.parameters()).device.type != "cpu",
    "there are too many inputs, or too few epochs, for it to pay": _costs_more,
}
