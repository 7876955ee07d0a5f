"""One suite for all engines: each is held against the reference, in float64."""

import math
from typing import Any

import numpy as np

from service.spec.plan import Plan
from service.training.trainer import Fit
from tests.training.jobs import History, trained

CLOSE = 1e-10
"""Largest difference from the reference, relative to the largest number that is compared."""


def both(plan: Plan, **options: Any) -> tuple[tuple[History, Fit], tuple[History, Fit]]:  # noqa: ANN401 - as for the trainer
    """Train by the engine that the service chooses, and by the reference."""
    return trained(plan, engine="auto", **options), trained(plan, engine="eager", **options)


def assert_conforms(plan: Plan, *, engine: str, close: float = CLOSE) -> Fit:
    """Train by an engine and by the reference, and compare all that they tell and leave."""
    (history, fit), (expected, reference) = both(plan)
    assert fit.engine is not None
    assert fit.engine.name == engine, fit.engine.reason
    assert history.columns.keys() == expected.columns.keys()
    for name, series in expected.columns.items():
        assert_close(history[name], series, close=close, what=name)
    assert fit.trained.reason == reference.trained.reason
    assert fit.trained.epochs == reference.trained.epochs
    assert fit.trained.kept_epoch == reference.trained.kept_epoch
    assert list(fit.state_dict) == list(reference.state_dict)
    for name, tensor in reference.state_dict.items():
        assert fit.state_dict[name].dtype == tensor.dtype
        assert_close(fit.state_dict[name], tensor, close=close, what=name)
    assert_close_scores(fit, reference, close=close)
    return fit


def assert_close_scores(fit: Fit, reference: Fit, *, close: float) -> None:
    for part, loss in reference.score.losses.items():
        own = fit.score.losses[part]
        assert (own is None) == (loss is None), part
        if loss is not None:
            assert own is not None
            assert math.isclose(own, loss, rel_tol=close, abs_tol=close), part


def assert_close(found: Any, expected: Any, *, close: float, what: str) -> None:  # noqa: ANN401 - lists of numbers or tensors
    """Compare numbers, NaN being equal to NaN, by the size of the largest of them."""
    own, other = (np.asarray(one, dtype=np.float64) for one in (found, expected))
    assert own.shape == other.shape, what
    scale = max(1.0, float(np.max(np.abs(other[np.isfinite(other)]), initial=0.0)))
    np.testing.assert_allclose(own, other, rtol=close, atol=close * scale, err_msg=what)
