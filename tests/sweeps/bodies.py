"""Bodies of sweeps, and how they are read."""

import copy
import json
from typing import Any

from service.exceptions import InvalidSpec, Problem
from service.spec.library import EmptyLibrary
from service.spec.limits import Limits
from service.sweeps.intake import check, read
from service.sweeps.spec import SweepSpec
from tests.conftest import TUTORIAL

SPEC: dict[str, Any] = {
    **TUTORIAL,
    "training": {"epochs": 20, "batch_size": "full"},
    "evaluation": {"split": {"type": "random", "dev": 0.25}},
}
LR = {"type": "log_uniform", "low": 0.001, "high": 0.1}
OPTIMIZERS = {
    "type": "choice",
    "values": [{"type": "SGD", "lr": 0.01, "momentum": 0.9}, {"type": "Adam", "lr": 0.05}],
}
GRID = {"type": "grid"}
RANDOM = {"type": "random", "trials": 5, "seed": 3}
TPE = {"type": "tpe", "trials": 14, "seed": 3, "parallel": 2}
HALVING = {
    "type": "successive_halving",
    "trials": 9,
    "factor": 3,
    "min_epochs": 2,
    "max_epochs": 18,
    "seed": 3,
}


def sweep_body(search: dict[str, Any] = RANDOM, **changes: object) -> dict[str, Any]:
    """A sweep over the learning rate of the tutorial's line, with changes."""
    body = {"spec": SPEC, "parameters": {"/optimizer/lr": LR}, "search": search}
    return copy.deepcopy({**body, **changes})


def as_sent(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def sweep_spec(search: dict[str, Any] = RANDOM, **changes: object) -> SweepSpec:
    return read(as_sent(sweep_body(search, **changes)))


def problems(body: dict[str, Any], **limits: int) -> list[Problem]:
    """What is wrong with a sweep."""
    try:
        check(read(as_sent(body)), Limits(**limits), EmptyLibrary())
    except InvalidSpec as error:
        return error.problems
    return []
