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
from service.training.rows import Batch

__all__ = ["Preparation", "TargetCode", "fitted"]

BLOCK_NUMBERS = 2**22
"""Numbers that are encoded at once, 32 MiB: the memory that a large table takes beside its result."""
Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


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
        return self._scaled(self.encoded(columns, names))

    def batch(self, frame: Frame, rows: Positions | slice) -> Batch:
        """Encode features, target and weights of some rows.

        Several roles are stacked along a second axis: shape (rows, roles, *shape).
        """
        columns = {name: array[rows] for name, array in frame.arrays.items() if name in self._columns()}
        by_role = [self.features(columns, role=role) for role in self.roles]
        features = by_role[0] if len(by_role) == 1 else torch.stack(by_role, dim=1)
        target = encoding.target(self.target, columns, rows=len(features), dtype=self._torch_dtype)
        weight = None
        if self.weight is not None:
            weight = torch.from_numpy(columns[self.weight].astype(np.float64)).to(self._torch_dtype)
        return Batch(features, target, weight)

    def _columns(self) -> set[str]:
        used = {name for names in self.roles.values() for name in names}
        return {*used, *self.target.names, *self.target.lengths, *([self.weight] if self.weight else [])}

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


def fitted(plan: Plan, frame: Frame, rows: Positions) -> Preparation:
    """Fit a preparation on the training rows.

    Args:
        plan: Of the effective spec.
        frame: All rows of the job.
        rows: Positions of the training rows.

    Raises:
        TrainingFailed: `missing_values`, when a column has nothing to fill its gaps with.
    """
    spec = plan.spec
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
    shift, scale = _input_scaling(plan, unscaled, frame, rows)
    target = unscaled.target.model_copy(update=_target_scaling(plan, frame, rows))
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
    plan: Plan, unscaled: Preparation, frame: Frame, rows: Positions
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute shift and scale of each number (or channel) over the training rows; nothing where none is scaled."""
    wanted = _wanted_scaling(plan, unscaled)
    if set(wanted) == {"none"}:
        return (), ()
    figures = Figures.over(_encoded_blocks(unscaled, frame, rows))
    pairs = [figures.scaling(how, position) for position, how in enumerate(wanted)]
    return tuple(shift for shift, _ in pairs), tuple(scale for _, scale in pairs)


def _encoded_blocks(unscaled: Preparation, frame: Frame, rows: Positions) -> Iterator[Floats]:
    """Give the unscaled inputs of some rows at a time: shape (values, numbers or channels)."""
    size = max(1, BLOCK_NUMBERS // max(1, math.prod(unscaled.shape)))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        for names in unscaled.roles.values():
            columns = {name: frame.arrays[name][block] for name in names}
            encoded = unscaled.encoded(columns, names).double().numpy()
            yield np.moveaxis(encoded, 1, -1).reshape(-1, encoded.shape[1]) if encoded.ndim > 2 else encoded  # noqa: PLR2004 - an image


def _wanted_scaling(plan: Plan, unscaled: Preparation) -> list[str]:
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


def _target_scaling(plan: Plan, frame: Frame, rows: Positions) -> dict[str, tuple[float, ...]]:
    how = plan.spec.preprocessing.target_scaling
    if how == "none" or plan.spec.loss.target != "values":
        return {}
    columns = [encoding.as_columns(frame.arrays[name][rows]) for name in plan.spec.data.target_names]
    table = np.concatenate(columns, axis=1)
    figures = Figures.over([table])
    pairs = [figures.scaling(how, position) for position in range(table.shape[1])]
    return {"shift": tuple(s for s, _ in pairs), "scale": tuple(s for _, s in pairs)}
