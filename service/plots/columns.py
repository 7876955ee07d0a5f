"""Numbers as callers have them, as columns of floats."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from service.plots.scene import FloatArray

Numbers: TypeAlias = Sequence[float] | Sequence[float | None] | FloatArray
"""A list or an array; None is as good as NaN."""


def column(values: Numbers, *, name: str) -> FloatArray:
    """`values` as floats, of shape (n,).

    Raises:
        ValueError: if they are no single column; `name` is how the message calls them.
    """
    floats = np.asarray(values, dtype=np.float64)
    if floats.ndim != 1:
        raise ValueError(f"{name} has shape {floats.shape}, not one column")
    return floats


def equal_columns(first: Numbers, second: Numbers, *, names: str) -> tuple[FloatArray, FloatArray]:
    """Both as floats, of one shape (n,).

    Raises:
        ValueError: if they are not equally long columns; `names` is how the message calls them.
    """
    pair = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        raise ValueError(f"{names} have shapes {pair[0].shape} and {pair[1].shape}, not one length")
    return pair
