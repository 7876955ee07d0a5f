"""The whole prediction as one torch module: raw columns in by name, predictions in raw units out by name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from service.spec.job import JobSpec
from service.training.embedding import network_of
from service.training.encoding import Input
from service.training.naming import class_of, label_of, unique, value_names
from service.training.objective import Objective, Predictions
from service.training.rows import DTYPES
from service.training.weights import from_bytes, preparation_of

__all__ = ["NO_CLASS", "Output", "WholeModel"]

NO_CLASS = -(2**63)
"""The class, where classes are whole numbers, of a row that lacks a value which nothing fills in."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output.

    Attributes:
        name: What it is called.
        kind: `number`, `class`, `label` (0 or 1), `probabilities` or `std`.
        columns: What its numbers are of, in their order: classes, or elements of the target; nothing where there is
            one number for a row.
        classes: Of a class, by their codes.
    """

    name: str
    kind: str
    columns: tuple[str, ...] = ()
    classes: tuple[str | float, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the classes are texts: what the module gives are then their codes, -1 where there is none."""
        return bool(self.classes) and isinstance(self.classes[0], str)


class WholeModel(torch.nn.Module):
    """Does what `service.inference.Predictor` does, in operations that can be exported.

    Attributes:
        preparation: How columns become inputs.
        feature_names: The columns it takes: numbers as float64 of shape (rows,), NaN where one is missing;
            categories as int64 codes, -1 where one is missing; arrays of shape (rows, …).
        outputs: What it gives, in order.
    """

    def __init__(self, spec: JobSpec, parameters: bytes) -> None:
        """Load a model.

        Args:
            spec: The effective spec of the job.
            parameters: Its trained tensors and its preparation in the safetensors format.
        """
        super().__init__()
        self.preparation = preparation_of(parameters)
        self.feature_names = self.preparation.feature_names
        self._objective = Objective(spec.loss)
        self._dtype = DTYPES[self.preparation.dtype]
        self.network = network_of(spec.model, self.preparation)
        self.network.load_state_dict(from_bytes(parameters))
        # First of all: batch normalization would take what is sent through below for rows to learn from.
        self.eval().requires_grad_(requires_grad=False)
        self.outputs = self._outputs_of(spec)

    def forward(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Predict rows.

        Args:
            columns: By feature name.

        Returns:
            By output name: numbers as float64 of shape (rows,), NaN in rows that lack a value.
        """
        broken = self._broken(columns)
        meaning = self._objective.predictions(self.network(self._inputs(columns)))
        found = [
            *self._values(meaning),
            *self._probabilities(meaning),
            *self._std(meaning),
        ]
        pairs = zip(self.outputs, found, strict=True)
        return {output.name: _marked(values, broken, output) for output, values in pairs}

    # From columns to the network's inputs.

    def _inputs(self, columns: Mapping[str, Tensor]) -> Tensor:
        preparation = self.preparation
        if preparation.is_image:
            one = preparation.inputs[0]
            encoded = columns[self.feature_names[0]].to(self._dtype)
            encoded = encoded if one.divisor == 1 else encoded / one.divisor
        else:
            pairs = zip(preparation.inputs, self.feature_names, strict=True)
            encoded = torch.cat([_encoded(one, columns[name]) for one, name in pairs], dim=1)
        if preparation.exponents is not None:
            encoded = _terms(encoded, preparation.exponents)
        if preparation.scale:
            form = (-1, *[1] * (len(preparation.shape) - 1)) if preparation.is_image else (-1,)
            shift = torch.tensor(preparation.shift, dtype=encoded.dtype).reshape(form)
            encoded = (encoded - shift) / torch.tensor(preparation.scale, dtype=encoded.dtype).reshape(form)
        return encoded.to(self._dtype)

    def _broken(self, columns: Mapping[str, Tensor]) -> Tensor | None:
        """Mark the rows that lack a value which nothing fills in; None where no column could lack one."""
        found: Tensor | None = None
        for one, name in zip(self.preparation.inputs, self.feature_names, strict=True):
            if one.fill is not None or one.kind == "array":
                continue
            values = columns[name]
            gaps = torch.isnan(values) if one.kind == "number" else values < 0
            found = gaps if found is None else found | gaps
        return found

    # From what the network gives to what people read.

    def _values(self, meaning: Predictions) -> list[Tensor]:
        values = meaning.values.unsqueeze(1) if meaning.values.dim() == 1 else meaning.values.flatten(1)
        first = self.outputs[0]
        if first.kind == "class":
            return [_class(values[:, 0], first)]
        raw = self.preparation.target.to_raw(values)
        raw = raw.double() if raw.is_floating_point() else raw
        found, start = [], 0
        for output in (one for one in self.outputs if one.kind in {"number", "label"}):
            width = max(1, len(output.columns))
            part = raw[:, start : start + width]
            found.append(part if output.columns else part[:, 0])
            start += width
        return found

    def _probabilities(self, meaning: Predictions) -> list[Tensor]:
        found = meaning.probabilities
        if found is None:
            return []
        classes = self.outputs[0].classes
        if len(classes) == 2 and found.shape[1] == 1:  # noqa: PLR2004 - the class and its opposite
            found = torch.cat([1 - found, found], dim=1)
        return [found]

    def _std(self, meaning: Predictions) -> list[Tensor]:
        if meaning.std is None:
            return []
        scale = torch.tensor(self.preparation.target.scale or (1.0,), dtype=torch.float64)
        return [meaning.std.double() * scale]

    def _outputs_of(self, spec: JobSpec) -> tuple[Output, ...]:
        """Name the outputs: what they are shows when rows of zeros are sent through."""
        pairs = zip(self.preparation.inputs, self.feature_names, strict=True)
        zeros = {name: torch.zeros(2, *one.shape, dtype=_DTYPES[one.kind]) for one, name in pairs}
        with torch.no_grad():
            meaning = self._objective.predictions(self.network(self._inputs(zeros)))
        code = self.preparation.target
        classes = () if spec.loss.roles else tuple(class_of(one) for one in code.classes)
        width = 1 if meaning.values.dim() == 1 else math.prod(meaning.values.shape[1:])
        names = value_names(code, loss=spec.loss, count=width)
        kind = "number" if meaning.values.is_floating_point() else "label"
        found = [Output(code.names[0], "class", (), classes)] if classes else _grouped(code, names, kind)
        if meaning.probabilities is not None:
            labels = unique(map(label_of, classes)) if classes else names
            found.append(Output("probabilities", "probabilities", labels))
        if meaning.std is not None:
            found.append(Output("std", "std", names))
        taken = unique([*self.feature_names, *(one.name for one in found)])[len(self.feature_names) :]
        return tuple(
            Output(name, one.kind, one.columns, one.classes) for name, one in zip(taken, found, strict=True)
        )


_DTYPES = {"number": torch.float64, "category": torch.int64, "array": torch.float64}


def _grouped(code: Any, names: Sequence[str], kind: str) -> list[Output]:  # noqa: ANN401 - a TargetCode
    """Give an output for each target column; one for all where what comes out is something else than the target."""
    sizes = [math.prod(shape) for shape in code.shapes or ((),) * len(code.names)]
    if sum(sizes) != len(names) or names[0].startswith("output"):
        return [Output("output", kind, tuple(names) if len(names) > 1 else ())]
    shapes = code.shapes or ((),) * len(code.names)
    found, start = [], 0
    for name, size, shape in zip(code.names, sizes, shapes, strict=True):
        found.append(Output(name, kind, tuple(names[start : start + size]) if shape else ()))
        start += size
    return found


def _encoded(one: Input, values: Tensor) -> Tensor:
    """Encode a column as float64 of shape (rows, numbers)."""
    if one.kind == "array":
        return values.double().flatten(1) / one.divisor
    if one.kind == "number":
        values = values if one.fill is None else torch.where(torch.isnan(values), one.fill, values)
        return values.unsqueeze(1)
    codes = values if one.fill is None else torch.where(values < 0, int(one.fill), values)
    if one.one_hot:
        return (codes.unsqueeze(1) == torch.arange(len(one.categories or ()))).double()
    # A row without a known category gets NaN in the end: any code will do for it.
    return codes.clamp_min(0).double().unsqueeze(1)


def _terms(table: Tensor, exponents: Sequence[Sequence[int]]) -> Tensor:
    """Compute the terms of a polynomial as products of as many columns as its degree, one of which is all ones."""
    ones, degree = table.shape[1], max(sum(powers) for powers in exponents)
    table = torch.cat([table, torch.ones_like(table[:, :1])], dim=1)
    factors = [
        [place for place, power in enumerate(powers) for _ in range(power)] + [ones] * (degree - sum(powers))
        for powers in exponents
    ]
    places = torch.tensor(factors).T
    product = table[:, places[0]]
    for some in places[1:]:
        product = product * table[:, some]
    return product


def _class(codes: Tensor, output: Output) -> Tensor:
    if output.is_text:
        return codes
    whole = all(isinstance(one, int) for one in output.classes)
    return torch.tensor(output.classes, dtype=torch.int64 if whole else torch.float64)[codes]


def _marked(values: Tensor, broken: Tensor | None, output: Output) -> Tensor:
    if broken is None:
        return values
    if values.is_floating_point():
        nothing: float | int = math.nan
    else:
        nothing = -1 if output.is_text or output.kind == "label" else NO_CLASS
    return torch.where(broken.reshape(-1, *[1] * (values.dim() - 1)), nothing, values)
