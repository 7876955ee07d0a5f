"""Which trainings the engine *dense* can do."""

from collections.abc import Callable

import torch

from service.training.case import Case
from service.training.dense.passes import KNOWN

__all__ = ["obstacle"]

OPTIMIZERS = {
    "SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop",
}  # fmt: skip
"""Those that treat each number of the parameters alone."""


def obstacle(case: Case) -> str | None:
    """Say what keeps a training from being one; None where nothing does."""
    found = next((what for what, keeps in _OBSTACLES.items() if keeps(case)), None)
    return found or _unknown_layer(case)


_OBSTACLES: dict[str, Callable[[Case], bool]] = {
    "the loss compares several inputs": lambda case: bool(case.spec.loss.roles),
    "the optimizer looks at whole parameters": lambda case: case.spec.optimizer.type not in OPTIMIZERS,
    "parameters have learning rates of their own": lambda case: bool(case.spec.optimizer.parameter_groups),
    "a step takes more rows than fit into memory": lambda case: case.block < case.batch_rows,
    "some parameters are frozen": lambda case: not all(p.requires_grad for p in case.network.parameters()),
    "there is nothing to train": lambda case: not any(True for _ in case.network.parameters()),
    "the network is on an accelerator": lambda case: next(case.network.parameters()).device.type != "cpu",
}


def _unknown_layer(case: Case) -> str | None:
    network = case.network
    dimensions = 1 + len(case.plan.inputs)
    for layer in network if isinstance(network, torch.nn.Sequential) else [network]:
        name = type(layer).__name__
        if name not in KNOWN or getattr(torch.nn, name) is not type(layer):
            return f"the layer {name} is not written out"
        problem = _unusual(layer, dimensions=dimensions)
        if problem is not None:
            return problem
        dimensions = 2 if isinstance(layer, torch.nn.Flatten) else dimensions
    return None


def _unusual(layer: torch.nn.Module, *, dimensions: int) -> str | None:
    """Say what a layer does beyond what is written out."""
    if isinstance(layer, torch.nn.Linear) and dimensions != 2:  # noqa: PLR2004 - rows of numbers
        return "a Linear layer takes arrays"
    if isinstance(layer, torch.nn.Flatten):
        return None if (layer.start_dim, layer.end_dim) == (1, -1) else "rows are flattened in part"
    if isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d):
        is_plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return None if is_plain else "a convolution pads in a way of its own"
    if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
        is_plain = layer.affine and layer.track_running_stats and layer.momentum is not None
        return None if is_plain else "a normalization keeps no running figures, or no factors"
    return None
