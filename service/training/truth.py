"""The true parameters of synthetic data, where its formula is one that the model can take on."""

from typing import Any

import numpy as np

from service.spec.data import SyntheticData
from service.spec.expression import FUNCTIONS
from service.spec.synthetic import probes
from service.training.naming import unique
from service.training.preparation import Preparation

__all__ = ["true_coefficients"]

TOLERANCE = 1e-9
"""Largest error, relative to the target's range, at which the formula counts as one of the model's."""
DIGITS = 12
"""Significant digits that survive solving for the parameters."""
_NUMPY = {name: getattr(np, name) for name in FUNCTIONS}


def true_coefficients(data: Any, preparation: Preparation) -> tuple[dict[str, float], float] | None:  # noqa: ANN401 - any DataSpec
    """Solve for the coefficients and the intercept that give the formula of synthetic data exactly.

    Args:
        data: The spec's data.
        preparation: Of a linear or polynomial model, whose inputs (or terms) are to be weighed.

    Returns:
        Coefficients by input name and the intercept, in raw units; None where the data is not synthetic, or
        the formula is not a weighted sum of the model's inputs, or not of these alone.
    """
    if not isinstance(data, SyntheticData) or data.expression.is_condition:
        return None
    columns = probes(data)
    target = np.broadcast_to(data.expression.evaluate(columns, _NUMPY), len(next(iter(columns.values()))))
    unscaled = preparation.model_copy(update={"shift": (), "scale": (), "dtype": "float64"})
    inputs = unscaled.features(columns).numpy()
    table = np.column_stack([inputs, np.ones(len(inputs))])
    if table.shape[1] > len(table) or not np.isfinite(table).all():
        return None
    found, _, rank, _ = np.linalg.lstsq(table, target, rcond=None)
    error = np.abs(table @ found - target).max()
    if rank < table.shape[1] or error > TOLERANCE * np.ptp(target):
        return None
    rounded = [float(f"{value:.{DIGITS}g}") for value in _cleaned(found, target)]
    return dict(zip(unique(preparation.names), rounded[:-1], strict=True)), rounded[-1]


def _cleaned(found: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Take what rounding left of a zero for a zero."""
    return np.where(np.abs(found) < TOLERANCE * np.abs(target).max(), 0.0, found)
