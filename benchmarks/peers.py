"""scikit-learn on the rows of the jobs, through its own interface."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, SGDRegressor
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from benchmarks.jobs import Job, jobs
from benchmarks.page import duration, table
from benchmarks.timing import interleaved, medians, timed
from service.training.trainer import Trainer

__all__ = ["section"]

TURN_SECONDS = 0.1


@dataclass(frozen=True)
class _Contender:
    """Something that is trained: `train` is timed, `error` gives the mean squared error of what it gave."""

    rows: str
    what: str
    train: Callable[[], Any]
    error: Callable[[Any], float]


def section(*, rounds: int, quick: bool = False) -> str:
    """Measure all in turn; give the table."""
    known = {job.name: job for job in jobs(quick=quick)}
    contenders = [*_on_line(known), *_on_rows(known)]
    errors: dict[str, float] = {}

    def call(one: _Contender) -> Callable[[], Mapping[str, float]]:
        def once() -> Mapping[str, float]:
            seconds, model = timed(one.train)
            errors[one.what] = one.error(model)
            return {one.what: seconds}

        return once

    # One thread, as fitd has: several wait for each other where others use the machine too.
    with threadpool_limits(1), warnings.catch_warnings():
        # A network that is trained for so many epochs, and no longer, has not converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = medians(
            interleaved({one.what: call(one) for one in contenders}, rounds, at_least=TURN_SECONDS)
        )
    lines = [[one.rows, one.what, duration(found[one.what]), f"{errors[one.what]:.5f}"] for one in contenders]
    return table(("rows", f"fit, median of {rounds} interleaved rounds", "time", "mean squared error"), lines)


def _on_line(known: Mapping[str, Job]) -> Sequence[_Contender]:
    job = known["J1"]
    epochs = job.training["epochs"]
    rate = job.spec["optimizer"]["lr"]
    by_row = SGDRegressor(penalty=None, tol=None, max_iter=epochs, learning_rate="constant", eta0=rate)
    return [
        _fitd(job, f"fitd J1: {epochs:,} epochs of gradient descent"),
        _peer(job, "`LinearRegression`: solved at once", LinearRegression()),
        _peer(job, "`SGDRegressor`, its defaults", SGDRegressor(random_state=0)),
        _peer(job, f"`SGDRegressor`: {epochs:,} epochs, a step for each row", by_row),
    ]


def _on_rows(known: Mapping[str, Job]) -> Sequence[_Contender]:
    line, network = known["J2"], known["J3"]
    epochs = {job.name: job.training["epochs"] for job in (line, network)}
    by_row = SGDRegressor(penalty=None, tol=None, max_iter=epochs["J2"], random_state=0)
    perceptron = MLPRegressor(
        hidden_layer_sizes=(64, 64),
        batch_size=256,
        alpha=0.0,
        max_iter=epochs["J3"],
        n_iter_no_change=epochs["J3"],
        random_state=0,
    )
    return [
        _fitd(line, f"fitd J2: {epochs['J2']} epochs of Adam in batches of 256"),
        _peer(line, "`LinearRegression`: solved at once, 100,000 rows", LinearRegression()),
        _peer(line, f"`SGDRegressor`: {epochs['J2']} epochs, a step for each row", by_row),
        _fitd(network, f"fitd J3: MLP 64-64, {epochs['J3']} epochs of Adam in batches of 256"),
        _peer(network, "`MLPRegressor`: the same network, batches, epochs, Adam", perceptron),
    ]


def _fitd(job: Job, what: str) -> _Contender:
    plan = job.plan()
    return _Contender(job.size, what, lambda: Trainer(plan, job.frame).fit(), lambda fit: fit.train_loss)


def _peer(job: Job, what: str, model: Any) -> _Contender:  # noqa: ANN401 - scikit-learn has no types
    *features, target = job.frame.arrays.values()
    x = np.stack(features, axis=1)
    return _Contender(
        job.size,
        what,
        lambda: clone(model).fit(x, target),
        lambda fit: float(np.mean((fit.predict(x) - target) ** 2)),
    )
