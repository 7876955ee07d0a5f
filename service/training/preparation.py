"""From named columns to a network's inputs and targets; fitted on the training rows and kept with the model."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict

from service.exceptions import TrainingFailed
from service.spec.plan import Plan
from service.tables.frame import Array, Frame
from service.training import encoding
from service.training.encoding import Input
from service.training.figures import Figures, most_frequent
from service.training.positions import Positions
from service.training.reader import Heard, Reader, nobody
from service.training.rows import Batch

__all__ = ["Preparation", "TargetCode", "fitted", "wanted_scaling"]

BLOCK_NUMBERS = 2**22
"""Numbers that are encoded at once, 32 MiB: the memory that a large table takes beside its result."""
CACHED_ROWS = 8192
"""Rows of a table of numbers that are put together at once: their columns stay in the processor's cache."""
Floats = npt.NDArray[np.float64]


class _Fitted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetCode(_Fitted):
    """How the target columns become what the loss takes, and back.

    Attributes:
        kind: As `service.spec.losses` names it.
        names: The columns.
        classes: Of a target with classes, in the order of their codes.
        shift, scale: Of numeric targets: `(raw - shift) / scale` is what is trained on, one for each column.
        lengths: For sequences: the columns with the lengths of input and target.
        shapes: Of one row's value of each column: empty but for arrays. Nothing at all stands for numbers only.
    """

    kind: str
    names: tuple[str, ...]
    classes: tuple[str | float, ...] = ()
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    lengths: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()

    def to_raw(self, values: torch.Tensor) -> torch.Tensor:
        """Turn scaled values of shape (rows, columns) back into raw units, in float64; others stay as they are."""
        if not self.scale:
            return values
        scale = torch.tensor(self.scale, dtype=torch.float64)
        return values.double() * scale + torch.tensor(self.shift, dtype=torch.float64)


class Preparation(_Fitted):
    """All that turns raw columns into a network's inputs.

    Attributes:
        roles: The columns of each input of the network; each has one column for each of `inputs`.
        inputs: How each column is encoded, by position.
        exponents: Of a polynomial: for each term the exponent of each encoded input.
        names: Of the numbers that the network takes, in their order; of an image or sequence, its column.
        shape: Of what the network takes for one row.
        outputs: Numbers that the network gives for one row; None where the model chose.
        shift, scale: `(encoded - shift) / scale` is what the network takes; one for each number, or for each
            channel of an image; empty where nothing is scaled.
        target: How the target is encoded.
        weight: The column with the rows' weights.
        dtype: Number format of the network.
    """

    roles: dict[str, tuple[str, ...]]
    inputs: tuple[Input, ...]
    exponents: tuple[tuple[int, ...], ...] | None = None
    names: tuple[str, ...] = ()
    shape: tuple[int, ...]
    outputs: int | None
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    target: TargetCode
    weight: str | None = None
    dtype: Literal["float32", "float64"]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that a prediction needs: those of the first role."""
        return next(iter(self.roles.values()))

    def features(self, columns: Mapping[str, Array], *, role: str | None = None) -> torch.Tensor:
        """Encode the inputs of one role.

        Args:
            columns: Arrays as in a `Frame`, all of one length; at least those of the role.
            role: The first one when left out.

        Returns:
            Shape (rows, *shape), in the network's dtype.
        """
        names = self.feature_names if role is None else self.roles[role]
        if self.is_numbers:
            return torch.from_numpy(self._side_by_side(columns, names))
        return self._scaled(self.encoded(columns, names))

    def batch(self, frame: Frame, rows: Positions | slice) -> Batch:
        """Encode features, target and weights of some rows."""
        return self.of({name: frame.arrays[name][rows] for name in self.columns})

    def of(self, columns: Mapping[str, Array]) -> Batch:
        """Encode features, target and weights of these rows: arrays of one length, of all `columns`.

        Several roles are stacked along a second axis: shape (rows, roles, *shape).
        """
        by_role = [self.features(columns, role=role) for role in self.roles]
        features = by_role[0] if len(by_role) == 1 else torch.stack(by_role, dim=1)
        weight = None
        if self.weight is not None:
            weight = torch.from_numpy(columns[self.weight].astype(np.float64)).to(self._torch_dtype)
        return Batch(features, self.targets(columns, rows=len(features)), weight)

    def targets(self, columns: Mapping[str, Array], *, rows: int) -> torch.Tensor:
        """Encode the target of so many rows: only its `target_columns` are needed."""
        return encoding.target(self.target, columns, rows=rows, dtype=self._torch_dtype)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a batch needs."""
        features = (name for names in self.roles.values() for name in names)
        return tuple(
            dict.fromkeys((*features, *self.target_columns, *([self.weight] if self.weight else [])))
        )

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Those of them that the target needs."""
        return (*self.target.names, *self.target.lengths)

    @property
    def is_numbers(self) -> bool:
        """Whether each column becomes one number, as it is or scaled."""
        return self.exponents is None and all(one.kind == "number" for one in self.inputs)

    def _side_by_side(self, columns: Mapping[str, Array], names: tuple[str, ...]) -> Array:
        """Put columns of numbers into the table that the network takes, a few rows of all at a time.

        Scaled in float64 and then rounded, as all that is encoded: but no table in float64 is made of it.
        """
        rows = len(columns[names[0]])
        table = np.empty((rows, len(names)), self.dtype)
        for start in range(0, rows, CACHED_ROWS):
            some = slice(start, start + CACHED_ROWS)
            for place, (one, name) in enumerate(zip(self.inputs, names, strict=True)):
                # What the network's number format cannot hold becomes infinite, and is told as such.
                with np.errstate(over="ignore", invalid="ignore"):
                    table[some, place] = self._number(place, encoding.filled(one, columns[name][some]))
        return table

    def _number(self, place: int, values: Array) -> Array:
        if not self.scale:
            return values if values.dtype == self.dtype else values.astype(np.float64)
        scaled = values.astype(np.float64)
        scaled -= self.shift[place]
        scaled /= self.scale[place]
        return scaled

    @property
    def _torch_dtype(self) -> torch.dtype:
        return torch.float32 if self.dtype == "float32" else torch.float64

    @property
    def is_image(self) -> bool:
        """Whether the network takes images or sequences, not numbers side by side."""
        return len(self.inputs) == 1 and len(self.inputs[0].shape) > 1

    def encoded(self, columns: Mapping[str, Array], names: tuple[str, ...]) -> torch.Tensor:
        """Encode without scaling: float64 of shape (rows, numbers), or an image in the network's dtype."""
        if self.is_image:
            return encoding.image(self.inputs[0], columns[names[0]], self._torch_dtype)
        parts = [encoding.numbers(one, columns[name]) for one, name in zip(self.inputs, names, strict=True)]
        table = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        return torch.from_numpy(table if self.exponents is None else encoding.terms(table, self.exponents))

    def _scaled(self, encoded: torch.Tensor) -> torch.Tensor:
        if self.scale:
            form = (-1, *[1] * (encoded.dim() - 2)) if self.is_image else (-1,)
            shift = torch.tensor(self.shift, dtype=encoded.dtype).reshape(form)
            encoded = (encoded - shift) / torch.tensor(self.scale, dtype=encoded.dtype).reshape(form)
        return encoded.to(self._torch_dtype).contiguous()


def fitted(plan: Plan, frame: Frame, rows: Positions, *, heard: Heard = nobody) -> Preparation:
    """Fit a preparation on the training rows, in one pass over what is scaled.

    Args:
        plan: Of the effective spec.
        frame: All rows of the job.
        rows: Positions of the training rows.
        heard: Is told of the rows as they are read; whatever it raises ends the pass.

    Raises:
        TrainingFailed: `missing_values`, when a column has nothing to fill its gaps with.
    """
    spec, reader = plan.spec, Reader(frame, heard)
    lengths = spec.data.lengths
    roles = dict(spec.data.roles())
    inputs = _inputs(plan, frame, rows, roles)
    names = [name for one in inputs for name in encoding.names(one)]
    exponents = encoding.exponents_of(spec.model, names)
    unscaled = Preparation(
        roles=roles,
        inputs=inputs,
        exponents=exponents,
        names=tuple(names if exponents is None else encoding.term_names(spec.model, names)),
        shape=plan.inputs,
        outputs=plan.outputs,
        target=TargetCode(
            kind=spec.loss.target,
            names=spec.data.target_names,
            classes=plan.classes if spec.loss.target in {"classes", "binary", "signs"} else (),
            lengths=() if lengths is None else (lengths.input, lengths.target),
            shapes=tuple(column.shape for column in plan.targets),
        ),
        weight=spec.data.weight,
        dtype=spec.training.dtype,
    )
    shift, scale = _input_scaling(plan, unscaled, reader, rows)
    target = unscaled.target.model_copy(update=_target_scaling(plan, reader, rows))
    return unscaled.model_copy(update={"shift": shift, "scale": scale, "target": target})


def _inputs(
    plan: Plan, frame: Frame, rows: Positions, roles: Mapping[str, tuple[str, ...]]
) -> tuple[Input, ...]:
    """Decide how each column is encoded; with several roles, the columns at one position share it."""
    found = []
    for position, column in enumerate(plan.features):
        treatment = plan.spec.preprocessing.treatment(column)
        same = [frame.schema.by_name[names[position]] for names in roles.values()]
        fill = None
        if any(one.missing for one in same) and treatment.missing not in {"refuse", "drop"}:
            values = np.concatenate([frame.arrays[one.name][rows] for one in same])
            fill = _FILL[treatment.missing](values) if _has_values(values) else None
            if fill is None:
                message = f"`{column.name}` has no value in any training row to fill the gaps with."
                hint = 'Leave the column out, or say "missing": "zero" for it.'
                raise TrainingFailed("missing_values", message, hint)
        found.append(
            Input(
                kind=column.kind,
                name=column.name,
                shape=column.shape,
                fill=fill,
                categories=column.values if column.kind == "category" else (),
                one_hot=treatment.encoding == "one_hot",
                embedding_dim=treatment.embedding_dim,
                divisor=_divisor(plan, frame.arrays[column.name]),
            )
        )
    return tuple(found)


def _has_values(values: Array) -> bool:
    return bool((values >= 0).any() if values.dtype.kind == "i" else (~np.isnan(values)).any())


_FILL: Mapping[str, Callable[[Array], float]] = {
    "mean": lambda values: float(np.nanmean(values.astype(np.float64))),
    "median": lambda values: float(np.nanmedian(values.astype(np.float64))),
    "most_frequent": most_frequent,
    "zero": lambda _: 0.0,
}


def _divisor(plan: Plan, values: Array) -> float:
    """Give the largest number of a pixel format: an image of bytes is divided by 255; codes stay codes."""
    is_pixels = values.ndim > 1 and values.dtype in (np.uint8, np.uint16)
    if plan.spec.preprocessing.arrays == "none" or not is_pixels or plan.spec.model.code_count is not None:
        return 1.0
    return float(np.iinfo(values.dtype).max)


def _input_scaling(
    plan: Plan, unscaled: Preparation, reader: Reader, rows: Positions
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute shift and scale of each number (or channel) over the training rows; nothing where none is scaled."""
    wanted = wanted_scaling(plan, unscaled)
    if set(wanted) == {"none"}:
        return (), ()
    figures = Figures.over(_encoded_blocks(unscaled, reader, rows))
    pairs = [figures.scaling(how, position) for position, how in enumerate(wanted)]
    return tuple(shift for shift, _ in pairs), tuple(scale for _, scale in pairs)


def _encoded_blocks(unscaled: Preparation, reader: Reader, rows: Positions) -> Iterator[Floats]:
    """Give the unscaled inputs of some rows at a time: shape (numbers or channels, values)."""
    size = max(1, BLOCK_NUMBERS // max(1, math.prod(unscaled.shape)))
    for start in range(0, len(rows), size):
        for names in unscaled.roles.values():
            columns = reader.read(names, rows[start : start + size])
            yield from _by_number(unscaled, columns, names)


def _by_number(
    unscaled: Preparation, columns: Mapping[str, Array], names: tuple[str, ...]
) -> Iterator[Floats]:
    if not unscaled.is_numbers:
        encoded = unscaled.encoded(columns, names).double().numpy()
        yield np.ascontiguousarray(np.moveaxis(encoded, 1, 0)).reshape(encoded.shape[1], -1)
        return
    for start in range(0, len(columns[names[0]]), CACHED_ROWS):
        some = slice(start, start + CACHED_ROWS)
        filled = (
            encoding.filled(one, columns[n][some]) for one, n in zip(unscaled.inputs, names, strict=True)
        )
        yield np.stack([values.astype(np.float64) for values in filled])


def wanted_scaling(plan: Plan, unscaled: Preparation) -> list[str]:
    """Name the scaling of each number: one-hot inputs and embedded codes stay as they are."""
    preprocessing = plan.spec.preprocessing
    wanted: list[str] = []
    for one, column in zip(unscaled.inputs, plan.features, strict=True):
        if one.kind == "array":
            how = "standardize" if preprocessing.arrays == "standardize" else "none"
            wanted += [how] * (one.shape[0] if unscaled.is_image else len(encoding.names(one)))
        else:
            how = preprocessing.treatment(column).scaling if one.kind == "number" else "none"
            wanted += [how] * len(encoding.names(one))
    if unscaled.exponents is None:
        return wanted
    return [
        next((wanted[i] for i, power in enumerate(term) if power and wanted[i] != "none"), "none")
        for term in unscaled.exponents
    ]


def _target_scaling(plan: Plan, reader: Reader, rows: Positions) -> dict[str, tuple[float, ...]]:
    how = plan.spec.preprocessing.target_scaling
    if how == "none" or plan.spec.loss.target != "values":
        return {}
    width = sum(math.prod(column.shape) for column in plan.targets)
    figures = Figures.over(_target_blocks(plan.spec.data.target_names, width, reader, rows))
    pairs = [figures.scaling(how, position) for position in range(width)]
    return {"shift": tuple(s for s, _ in pairs), "scale": tuple(s for _, s in pairs)}


def _target_blocks(names: tuple[str, ...], width: int, reader: Reader, rows: Positions) -> Iterator[Floats]:
    """Give the targets of some rows at a time: shape (numbers, rows)."""
    size = max(1, BLOCK_NUMBERS // width)
    for start in range(0, len(rows), size):
        columns = reader.read(names, rows[start : start + size])
        yield np.concatenate([encoding.as_columns(columns[name]).T for name in names])
