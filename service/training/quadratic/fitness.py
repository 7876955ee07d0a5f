"""Which trainings are a walk in a bowl."""

from collections.abc import Callable, Mapping

import torch

from service.spec import bowl
from service.training.case import Case

__all__ = ["obstacle"]


def obstacle(case: Case) -> str | None:
    """Say what keeps a training from being one; None where nothing does."""
    return bowl.obstacle(case.plan) or next((what for what, keeps in _OBSTACLES.items() if keeps(case)), None)


_OBSTACLES: Mapping[str, Callable[[Case], bool]] = {
    "the model is more than a layer": lambda case: type(case.network) is not torch.nn.Linear,
    "some parameters are frozen": lambda case: not all(p.requires_grad for p in case.network.parameters()),
    "a step takes a part of the rows": lambda case: case.batch_rows < len(case.rows),
    "the rows are on an accelerator": lambda case: next(case.network.parameters()).device.type != "cpu",
}
