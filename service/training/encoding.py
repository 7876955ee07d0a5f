"""Encoding of single columns: numbers, categories, vectors and images as inputs; targets as the loss wants them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict

from service.exceptions import TrainingFailed
from service.spec.models import ModelSpec, PolynomialModel
from service.spec.schema import ColumnKind
from service.tables.frame import Array

if TYPE_CHECKING:
    from service.training.preparation import TargetCode

__all__ = [
    "Input",
    "as_columns",
    "exponents_of",
    "filled",
    "image",
    "names",
    "numbers",
    "target",
    "term_names",
    "terms",
]

Floats = npt.NDArray[np.float64]


class Input(BaseModel):
    """How one column becomes inputs of the network.

    Attributes:
        name: The column.
        kind: Number, category or array.
        shape: Of an array in one row.
        fill: Value (or code of a category) for rows that have none; None where there are no such rows.
        categories: In the order of their codes.
        one_hot: A 0/1 input for each category; otherwise its code, which an embedding reads.
        embedding_dim: Numbers of that embedding.
        divisor: What the values of an array are divided by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: ColumnKind
    shape: tuple[int, ...] = ()
    fill: float | None = None
    categories: tuple[str | float, ...] | None = ()
    one_hot: bool = True
    embedding_dim: int = 1
    divisor: float = 1.0

    @property
    def is_embedded(self) -> bool:
        """Whether the network reads codes of categories here."""
        return self.kind == "category" and not self.one_hot


def names(one: Input) -> tuple[str, ...]:
    """Name the numbers that a column becomes; an image or sequence keeps the name of its column."""
    if one.kind == "category" and one.one_hot:
        return tuple(f"{one.name}={category}" for category in one.categories or ())
    if len(one.shape) == 1:
        return tuple(f"{one.name}[{index}]" for index in range(one.shape[0]))
    return (one.name,)


def numbers(one: Input, values: Array) -> Floats:
    """Encode a number, category or vector column as float64 of shape (rows, numbers)."""
    if one.kind == "array":
        return np.asarray(values, dtype=np.float64).reshape(len(values), -1) / one.divisor
    present = filled(one, values)
    if one.kind == "number" or not one.one_hot:
        return present.astype(np.float64)[:, np.newaxis]
    return np.asarray(present[:, np.newaxis] == np.arange(len(one.categories or ())), dtype=np.float64)


def filled(one: Input, values: Array) -> Array:
    """Give the values of a number or category column, its gaps filled."""
    if one.fill is None:
        return values
    gaps = values < 0 if one.kind == "category" else np.isnan(values)
    return np.where(gaps, np.asarray(one.fill, dtype=values.dtype), values)


def image(one: Input, values: Array, dtype: torch.dtype) -> torch.Tensor:
    """Encode images or sequences: shape (rows, *shape), divided as the column asks."""
    tensor = torch.from_numpy(np.array(values)).to(dtype)
    return tensor if one.divisor == 1.0 else tensor / one.divisor


def terms(table: Floats, exponents: Sequence[Sequence[int]]) -> Floats:
    """Compute the terms of a polynomial: shape (rows, terms), each the product of powers of the columns."""
    product = np.ones((len(table), len(exponents)))
    for term, powers in enumerate(exponents):
        for column, power in enumerate(powers):
            if power:
                product[:, term] *= table[:, column] ** power
    return product


def exponents_of(model: ModelSpec, inputs: Sequence[str]) -> tuple[tuple[int, ...], ...] | None:
    """Give the terms of a polynomial model over so many inputs; None for all other models."""
    return model.terms(inputs) if isinstance(model, PolynomialModel) else None


def term_names(model: ModelSpec, inputs: Sequence[str]) -> tuple[str, ...]:
    """Name the terms of a polynomial model, such as `x^2` and `x*z`."""
    return model.term_names(inputs) if isinstance(model, PolynomialModel) else tuple(inputs)


def target(
    code: "TargetCode", columns: Mapping[str, Array], *, rows: int, dtype: torch.dtype
) -> torch.Tensor:
    """Encode the target columns as the loss takes them."""
    if code.kind == "none":
        return torch.empty(rows, 0, dtype=dtype)
    return _TARGETS[code.kind](code, columns, dtype)


def _values(code: "TargetCode", columns: Mapping[str, Array], dtype: torch.dtype) -> torch.Tensor:
    table = np.concatenate([as_columns(columns[name]) for name in code.names], axis=1)
    if code.scale:
        table = (table - np.array(code.shift)) / np.array(code.scale)
    return torch.from_numpy(table).to(dtype)


def as_columns(values: Array) -> Floats:
    """Lay out the numbers of each row side by side: float64 of shape (rows, numbers)."""
    return np.asarray(values, dtype=np.float64).reshape(len(values), -1)


def _codes(code: "TargetCode", values: Array) -> npt.NDArray[np.int64]:
    """Give each row's class as its place among the classes."""
    if values.dtype == np.int32 and code.classes and isinstance(code.classes[0], str):
        return values.astype(np.int64)
    return np.searchsorted(np.array(code.classes, dtype=np.float64), values.astype(np.float64))


def _classes(code: "TargetCode", columns: Mapping[str, Array], dtype: torch.dtype) -> torch.Tensor:  # noqa: ARG001 - one signature
    return torch.from_numpy(_codes(code, columns[code.names[0]]))


def _binary(code: "TargetCode", columns: Mapping[str, Array], dtype: torch.dtype) -> torch.Tensor:
    if len(code.names) > 1 or not code.classes:
        return _values(code, columns, dtype)
    return torch.from_numpy(_codes(code, columns[code.names[0]])).to(dtype).unsqueeze(1)


def _signs(code: "TargetCode", columns: Mapping[str, Array], dtype: torch.dtype) -> torch.Tensor:
    return 2 * _binary(code, columns, dtype) - 1


def _label_indices(code: "TargetCode", columns: Mapping[str, Array], dtype: torch.dtype) -> torch.Tensor:  # noqa: ARG001
    """List the positions of each row's labels, padded with -1, as `MultiLabelMarginLoss` reads them."""
    marked = np.stack([columns[name] for name in code.names], axis=1) > 0
    positions = np.where(marked, np.arange(marked.shape[1]), marked.shape[1])
    ordered = np.sort(positions, axis=1)
    return torch.from_numpy(np.where(ordered == marked.shape[1], -1, ordered).astype(np.int64))


def _sequence(code: "TargetCode", columns: Mapping[str, Array], dtype: torch.dtype) -> torch.Tensor:  # noqa: ARG001
    """Put the lengths of input and target before the labels, as the objective for `CTCLoss` reads them."""
    table = np.concatenate([as_columns(columns[name]) for name in (*code.lengths, *code.names)], axis=1)
    broken = np.flatnonzero(~np.all(table == np.round(table), axis=1))
    if len(broken):
        message = (
            f"A target of codes and lengths holds {table[broken[0]].tolist()[:10]}: they are whole numbers."
        )
        raise TrainingFailed(
            "target_out_of_range", message, "Correct the columns of the target and of `lengths`."
        )
    return torch.from_numpy(table.astype(np.int64))


_TARGETS: Mapping[str, Callable[["TargetCode", Mapping[str, Array], torch.dtype], torch.Tensor]] = {
    "values": _values,
    "distribution": _values,
    "classes": _classes,
    "binary": _binary,
    "signs": _signs,
    "label_indices": _label_indices,
    "sequence": _sequence,
}
