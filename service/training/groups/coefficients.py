"""The coefficients of all groups at once, in raw units: what `service.training.weights` reads of one model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.spec.job import JobSpec
from service.training import encoding
from service.training.groups.models import GroupModels
from service.training.naming import output_names, unique
from service.training.preparation import Preparation
from service.training.weights import is_linear

__all__ = ["GroupCoefficients"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupCoefficients:
    """Coefficients and intercepts of all groups; those of a group without a model are without meaning.

    Attributes:
        inputs: Names of the inputs.
        outputs: Names of the outputs; empty where there is one.
        values: Shape (groups, outputs, inputs).
        intercepts: Shape (groups, outputs).
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Floats
    intercepts: Floats

    @classmethod
    def of(cls, models: GroupModels, spec: JobSpec) -> "GroupCoefficients | None":
        """Read them, by the formula of `weights.coefficients`; None for models that are not linear in their inputs."""
        base = models.preparation
        tensors = {name.removeprefix("0."): tensor for name, tensor in models.tensors.items()}
        weight = tensors.get("weight")
        if base is None or weight is None or not is_linear(spec.model.type, weight.shape[1:], base):
            return None
        weights = weight.double().numpy()
        bias = tensors["bias"].double().numpy() if "bias" in tensors else np.zeros(weights.shape[:2])
        scalings = {name: values.numpy() for name, values in models.scalings.items()}
        with np.errstate(all="ignore"):  # Groups without a model have zeros for scales.
            if base.scale:
                weights = weights / scalings["scale"][:, None, :]
                bias = bias - np.einsum("goi,gi->go", weights, scalings["shift"])
            start, factor = _units(
                scalings["target_shift"], scalings["target_scale"], outputs=weights.shape[1]
            )
            values = factor[:, :, None] * weights / _divisors(base, weights.shape[2])
        several = weights.shape[1] > 1
        names = output_names(base.target, loss=spec.loss, count=weights.shape[1]) if several else ()
        return cls(unique(base.names), names, values, start + factor * bias)

    def of_group(self, group: int) -> tuple[Any, Any]:
        """Give coefficients by input name and the intercept; with several outputs, both by output name."""
        rows = [dict(zip(self.inputs, row, strict=True)) for row in self.values[group].tolist()]
        intercepts = self.intercepts[group].tolist()
        if not self.outputs:
            return rows[0], intercepts[0]
        return dict(zip(self.outputs, rows, strict=True)), dict(zip(self.outputs, intercepts, strict=True))


def _divisors(base: Preparation, inputs: int) -> Floats:
    found = [divisor for one in base.inputs for divisor in [one.divisor] * len(encoding.names(one))]
    return np.array(found) if len(found) == inputs else np.ones(inputs)


def _units(shift: Floats, scale: Floats, *, outputs: int) -> tuple[Floats, Floats]:
    """Give what is added to each output, and what it is multiplied by, to be in raw units."""
    if not scale.shape[1]:
        return np.zeros((len(scale), outputs)), np.ones((len(scale), outputs))
    if scale.shape[1] == outputs:
        return shift, scale
    # The logarithm of a variance stands beside each mean: a variance in raw units is the square of the scale times it.
    return np.hstack([shift, 2 * np.log(scale)]), np.hstack([scale, np.ones_like(scale)])
