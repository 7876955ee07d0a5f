"""A tiny fit that pays torch's late imports before the first job comes."""

import time

import torch

from service.spec.intake import parse
from service.spec.limits import Limits
from service.training.frames import load
from service.training.trainer import Trainer
from service.training.weights import to_bytes

__all__ = ["warm_up"]

_STEPS = 200
_SPEC = b"""{
  "data": {"type": "synthetic", "rows": 64, "features": {"x": {"distribution": "uniform"}},
           "target": {"expression": "2*x + 1"}},
  "model": {"type": "linear"}, "loss": {"type": "MSELoss"}, "optimizer": {"type": "SGD", "lr": 0.1},
  "training": {"epochs": %d, "seed": 0, "engine": "%b"}
}"""


def warm_up(threads: int = 1) -> float:
    """Load what a training needs and train a little.

    Args:
        threads: Threads of one operation; one is fastest for all but wide layers.

    Returns:
        Seconds of one small step, measured after the first fit: the machine's own figure for estimates.
    """
    torch.set_num_threads(threads)
    _fit("auto")
    _fit("eager")
    started = time.perf_counter()
    _fit("eager")
    return (time.perf_counter() - started) / _STEPS


def _fit(engine: str) -> None:
    plan = parse(_SPEC % (_STEPS, engine.encode()), Limits())
    fit = Trainer(plan, load(plan.spec.data)).fit()
    to_bytes(fit.state_dict, fit.preparation)
