"""The optimizers, by torch's names and with torch's parameters and defaults.

A new optimizer is one class here and its name in `OptimizerSpec`: the builder calls
`getattr(torch.optim, type)(groups, **arguments)`, capabilities and the OpenAPI document follow.

Parameters of execution (`foreach`, `fused`, `capturable`, `differentiable`) are left out on purpose: they
change how a step is computed, not which one, and the service chooses what is fastest on its device. So is
`maximize`: a loss is made small. `SparseAdam` is left out because no model here has sparse gradients.
"""

from typing import Annotated

from pydantic import Field

from service.spec.optimizers.adaptive import (
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    RAdam,
    RMSprop,
)
from service.spec.optimizers.base import Optimizer, ParameterGroup
from service.spec.optimizers.descent import ASGD, LBFGS, SGD, Muon, Rprop

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "OptimizerSpec",
    "ParameterGroup",
    "RAdam",
    "RMSprop",
    "Rprop",
]

OptimizerSpec = Annotated[
    SGD
    | RMSprop
    | Adam
    | AdamW
    | Adamax
    | NAdam
    | RAdam
    | Adagrad
    | Adadelta
    | Adafactor
    | ASGD
    | Rprop
    | LBFGS
    | Muon,
    Field(discriminator="type"),
]
