"""The learning-rate schedulers, by torch's names and with torch's parameters and defaults.

A new scheduler is one class here and its name in `SchedulerSpec`: the builder calls
`getattr(torch.optim.lr_scheduler, type)(optimizer, **arguments)`. Those that need a Python function (`LambdaLR`,
`MultiplicativeLR`, `CyclicLR.scale_fn`) are left out, and so is `last_epoch`: a checkpoint knows where it stands.

A warm-up alone is torch's own `LinearLR`; before another scheduler it is that one's field `warmup`.
"""

from typing import Annotated

from pydantic import Field

from service.spec.schedulers.base import Scheduler, Warmup
from service.spec.schedulers.composed import ChainedScheduler, SequentialLR
from service.spec.schedulers.cycling import CyclicLR, OneCycleLR
from service.spec.schedulers.simple import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "Scheduler",
    "SchedulerSpec",
    "SequentialLR",
    "StepLR",
    "Warmup",
]

SchedulerSpec = Annotated[
    StepLR
    | MultiStepLR
    | ConstantLR
    | LinearLR
    | ExponentialLR
    | PolynomialLR
    | CosineAnnealingLR
    | CosineAnnealingWarmRestarts
    | CyclicLR
    | OneCycleLR
    | ReduceLROnPlateau
    | SequentialLR
    | ChainedScheduler,
    Field(discriminator="type"),
]
