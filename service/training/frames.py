"""From a data spec to a frame: rows drawn, rows sent, or rows mapped from a stored dataset."""

from pathlib import Path

import numpy as np
import torch

from service.exceptions import TrainingFailed
from service.spec.data import DataSpec, Distribution, InlineData, Noise, SyntheticData
from service.spec.expression import FUNCTIONS
from service.spec.values import encoded
from service.tables.files import open_dataset
from service.tables.frame import Array, Frame

__all__ = ["load"]


def load(spec: DataSpec, *, datasets: Path | None = None) -> Frame:
    """Give the rows that a data spec names.

    Args:
        spec: Of the effective spec.
        datasets: The folder of the stored datasets, each in a folder named by its digest.

    Raises:
        TrainingFailed: `data_not_finite`, when drawn values are NaN or infinite; `dataset_missing`, when the
            files of a stored dataset are not there.
    """
    if isinstance(spec, SyntheticData):
        return _drawn(spec)
    if isinstance(spec, InlineData):
        return Frame(spec.table_schema, {name: encoded(values)[0] for name, values in spec.table.items()})
    if datasets is None or spec.digest is None or not (datasets / spec.digest).is_dir():
        message = f"The files of the dataset {spec.id} are not here."
        raise TrainingFailed("dataset_missing", message, "Upload it again; was it deleted meanwhile?")
    return open_dataset(datasets / spec.digest)


_FUNCTIONS = {name: getattr(torch, name) for name in FUNCTIONS}


def _drawn(spec: SyntheticData) -> Frame:
    """Draw each feature in the order of the spec, then the noise, from one generator."""
    generator = torch.Generator().manual_seed(spec.seed)
    columns = {name: _values(how, spec.rows, generator) for name, how in spec.features.items()}
    target = spec.expression.evaluate(columns, _FUNCTIONS)
    if spec.noise is not None:
        target = _noisy(target, spec.noise, spec.rows, generator)
    arrays: dict[str, Array] = {name: values.numpy() for name, values in columns.items()}
    arrays[spec.target.name] = target.numpy()
    for name, values in arrays.items():
        _require_finite(name, values)
    return Frame(spec.table_schema, arrays)


def _require_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise TrainingFailed(
            "data_not_finite",
            f"`{name}` holds values that are not finite numbers in float64.",
            "Change the ranges, the expression or the unit so that all are finite; float64 goes up to 1e308.",
        )


def _values(spec: Distribution, rows: int, generator: torch.Generator) -> torch.Tensor:
    match spec.distribution:
        case "uniform":
            unit = torch.rand(rows, generator=generator, dtype=torch.float64)
            return spec.low + (spec.high - spec.low) * unit
        case "linspace":
            return torch.linspace(spec.low, spec.high, rows, dtype=torch.float64)
        case "normal":
            return spec.mean + spec.std * torch.randn(rows, generator=generator, dtype=torch.float64)


def _noisy(target: torch.Tensor, spec: Noise, rows: int, generator: torch.Generator) -> torch.Tensor:
    match spec.distribution:
        case "normal":
            return target + spec.std * torch.randn(rows, generator=generator, dtype=torch.float64)
        case "uniform":
            unit = torch.rand(rows, generator=generator, dtype=torch.float64)
            return target + spec.half_width * (2 * unit - 1)
        case "flip":
            turned = torch.rand(rows, generator=generator, dtype=torch.float64) < spec.probability
            return torch.where(turned, 1 - target, target)
