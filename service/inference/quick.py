"""The short way to predict a few rows: the operations of the long one, and nothing between them.

For a row of numbers, most of the time of `Predictor.predict` goes into what many rows need: arrays by column, blocks,
checks one by one. Here are left the operations on the numbers themselves, the same ones in the same order, so that both
ways give the same to the last bit. Nothing here refuses anything: where rows are unusual in any way, the long way
takes them, and tells what is wrong.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from service.training.preparation import Preparation

__all__ = ["Quick"]

MOST_ROWS = 64
"""For more rows the long way takes hardly longer for each."""
Floats = npt.NDArray[np.float64]
Operation = Callable[[torch.Tensor], torch.Tensor]
_NUMBERS = frozenset({float, int})
_LARGEST = {"float32": float(np.finfo(np.float32).max), "float64": float(np.finfo(np.float64).max)}


class Quick:
    """Predicts rows of plain numbers."""

    def __init__(
        self,
        preparation: Preparation,
        network: torch.nn.Module,
        *,
        names: Callable[[int], tuple[str, ...]] | None,
    ) -> None:
        """Look at what there is to do.

        Args:
            preparation: Encodes the rows; it `is_numbers`.
            network: In the state in which it predicts.
            names: Names the predicted numbers by their count; None where the outputs have to be decoded.
        """
        self._columns = preparation.feature_names
        self._largest, self._dtype = _LARGEST[preparation.dtype], np.dtype(preparation.dtype)
        self._shift, self._scale = np.array(preparation.shift), np.array(preparation.scale)
        self._operations = list(_operations(network))
        self._names = None if names is None else functools.cache(names)
        target = preparation.target
        self._units = (np.array(target.scale), np.array(target.shift)) if target.scale else None

    def outputs(self, columns: Mapping[str, Any]) -> torch.Tensor | None:
        """Give what the network puts out for the rows; None where they are many, or not all plain finite numbers.

        Args:
            columns: Values by feature. Anything is taken, and what is unusual is left to the long way.
        """
        if len(columns) != len(self._columns):
            return None
        found = [columns.get(name, ()) for name in self._columns]
        rows = len(found[0])
        # All of one length, and no truth value, text or list among them.
        if not 0 < rows <= MOST_ROWS or any(len(one) != rows for one in found):
            return None
        if not _NUMBERS.issuperset(map(type, itertools.chain.from_iterable(found))):
            return None
        table = self._encoded(np.array(found, dtype=np.float64).T)
        # Not so for NaN, either.
        if not np.abs(table).max() <= self._largest:
            return None
        # Copied, not turned over: of one row or column numpy would keep strides by which products round otherwise.
        laid_out = np.empty(table.shape, self._dtype)
        laid_out[:] = table
        values = torch.from_numpy(laid_out)
        for operation in self._operations:
            values = operation(values)
        return values

    def _encoded(self, table: Floats) -> Floats:
        if not len(self._scale):
            return table
        with np.errstate(over="ignore", invalid="ignore"):
            scaled: Floats = (table - self._shift) / self._scale
        return scaled

    def values(self, outputs: torch.Tensor) -> dict[str, Floats] | None:
        """Give the predicted numbers by target, in raw units; None where the outputs are more than such numbers."""
        if self._names is None or outputs.dim() != 2:  # noqa: PLR2004 - rows and targets
            return None
        table = outputs.numpy().astype(np.float64)
        if self._units is not None:
            scale, shift = self._units
            table = table * scale + shift
        return dict(zip(self._names(table.shape[1]), table.T, strict=True))


def _operations(network: torch.nn.Module) -> list[Operation]:
    """Take a network apart into what it does one after the other."""
    if type(network) is torch.nn.Sequential:
        return [operation for part in network for operation in _operations(part)]
    if type(network) is torch.nn.Linear:
        return [_linear(network)]
    # `__call__` looks for hooks first; torch's own activations have none, but a plugin's module may.
    own = type(network).__module__ == torch.nn.modules.activation.__name__
    return [network.forward if own else network]


def _linear(layer: torch.nn.Linear) -> Operation:
    weight, bias = layer.weight, layer.bias
    return lambda values: torch.nn.functional.linear(values, weight, bias)
