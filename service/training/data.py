"""From a data spec to tensors, and the order in which their rows are trained on."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from service.exceptions import TrainingFailed
from service.spec.data import DataSpec, Distribution, InlineData, Noise, SyntheticData
from service.spec.estimates import steps_per_epoch
from service.spec.expression import FUNCTIONS

__all__ = ["DTYPES", "Batches", "Table", "load", "require_finite"]

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a job.

    Attributes:
        features: Shape (rows, features).
        target: Shape (rows, targets), same dtype.
    """

    features: torch.Tensor
    target: torch.Tensor

    def __len__(self) -> int:
        return self.features.shape[0]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Table":
        """Copy to a device and number format; itself where nothing changes."""
        return Table(self.features.to(device, dtype), self.target.to(device, dtype))


def load(spec: DataSpec) -> Table:
    """Build the float64 table on the CPU that a data spec describes.

    Raises:
        TrainingFailed: `data_not_finite`, when the drawn or computed values hold NaN or infinity.
    """
    table = _drawn(spec) if isinstance(spec, SyntheticData) else _sent(spec)
    require_finite(table)
    return table


def require_finite(table: Table) -> None:
    """Make sure that every value is a number in the table's own format.

    Raises:
        TrainingFailed: `data_not_finite`, when there is NaN or infinity.
    """
    for name, tensor in (("features", table.features), ("target", table.target)):
        if not bool(torch.isfinite(tensor).all()):
            raise TrainingFailed(
                "data_not_finite",
                f"The {name} hold values that are not finite numbers in {str(tensor.dtype).removeprefix('torch.')}.",
                "Change the ranges, the expression or the unit so that all are finite; float64 goes up to 1e308.",
            )


def _sent(spec: InlineData) -> Table:
    columns = [spec.table[name] for name in spec.feature_names]
    return Table(
        features=torch.tensor(columns, dtype=torch.float64).T.contiguous(),
        target=torch.tensor(spec.table[spec.target_name], dtype=torch.float64).unsqueeze(1),
    )


_FUNCTIONS = {name: getattr(torch, name) for name in FUNCTIONS}


def _drawn(spec: SyntheticData) -> Table:
    """Draw each feature in the order of the spec, then the noise, from one generator."""
    generator = torch.Generator().manual_seed(spec.seed)
    columns = {name: _values(how, spec.rows, generator) for name, how in spec.features.items()}
    target = spec.expression.evaluate(columns, _FUNCTIONS)
    if spec.noise is not None:
        target = target + _noise(spec.noise, spec.rows, generator)
    return Table(features=torch.stack(list(columns.values()), dim=1), target=target.unsqueeze(1))


def _values(spec: Distribution, rows: int, generator: torch.Generator) -> torch.Tensor:
    match spec.distribution:
        case "uniform":
            unit = torch.rand(rows, generator=generator, dtype=torch.float64)
            return spec.low + (spec.high - spec.low) * unit
        case "linspace":
            return torch.linspace(spec.low, spec.high, rows, dtype=torch.float64)
        case "normal":
            return spec.mean + spec.std * torch.randn(rows, generator=generator, dtype=torch.float64)


def _noise(spec: Noise, rows: int, generator: torch.Generator) -> torch.Tensor:
    match spec.distribution:
        case "normal":
            return spec.std * torch.randn(rows, generator=generator, dtype=torch.float64)
        case "uniform":
            return spec.half_width * (2 * torch.rand(rows, generator=generator, dtype=torch.float64) - 1)


class Batches:
    """The batches of each epoch, in exactly the order of `DataLoader(shuffle=True, generator=…)`.

    A DataLoader costs more than the training of a small model. For an epoch it draws a base seed and
    two permutations from its generator; drawing the same here gives the same rows in the same order.
    The rows are gathered once an epoch and handed out as views.
    """

    def __init__(self, table: Table, *, batch_rows: int, shuffle: bool, seed: int) -> None:
        self._table = table
        self._batch_rows = batch_rows
        self._shuffle = shuffle and batch_rows < len(table)
        self._generator = torch.Generator().manual_seed(seed)
        self._whole = [(table.features, table.target)]

    def __len__(self) -> int:
        return steps_per_epoch(len(self._table), self._batch_rows)

    def epoch(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Give the batches of the next epoch as (features, target) views."""
        if len(self) == 1:
            return iter(self._whole)
        features, target = self._table.features, self._table.target
        if self._shuffle:
            order = self._next_order().to(features.device)
            features, target = features.index_select(0, order), target.index_select(0, order)
        return zip(
            torch.split(features, self._batch_rows), torch.split(target, self._batch_rows), strict=True
        )

    def _next_order(self) -> torch.Tensor:
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)
        order = torch.randperm(len(self._table), generator=self._generator)
        torch.randperm(len(self._table), generator=self._generator)
        return order
