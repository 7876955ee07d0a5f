"""How the parameters start: `torch.nn.init`'s functions, by their names and with their parameters."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from service.exceptions import Problem
from service.spec.base import SpecModel
from service.spec.layers.naming import members_by_name, name_or_object, or_name
from service.spec.layers.shapes import Number

__all__ = ["AnyInitializer", "BiasInitializer", "Init", "Initializer", "WeightInitializer"]

Spread = Annotated[float, Field(ge=0, le=1e30)]


class Initializer(SpecModel):
    """A function of `torch.nn.init`."""

    least_axes: ClassVar[int] = 2
    """Axes that a parameter must have at least: functions that look at inputs and outputs need two."""
    most_axes: ClassVar[int | None] = None
    """Axes that a parameter may have at most; None for any."""

    type: str
    """The name of the function in `torch.nn.init`."""

    def fits(self, axes: int) -> bool:
        """Tell whether the function takes a parameter with so many axes."""
        return self.least_axes <= axes and (self.most_axes is None or axes <= self.most_axes)

    def problems(self) -> list[Problem]:
        """Tell which fields do not go together; pointers are relative to the initializer."""
        return []


class _AnyShape(Initializer):
    least_axes: ClassVar[int] = 1


class Uniform(_AnyShape):
    """Evenly likely numbers between a and b."""

    type: Literal["uniform_"]
    a: Number = 0.0
    """Smallest number."""
    b: Number = 1.0
    """Largest number."""

    def problems(self) -> list[Problem]:
        """Refuse an empty range."""
        return _order_problems(self.a, self.b)


class Normal(_AnyShape):
    """Normally distributed numbers."""

    type: Literal["normal_"]
    mean: Number = 0.0
    """Their mean."""
    std: Spread = 1.0
    """Their standard deviation."""


class TruncatedNormal(_AnyShape):
    """Normally distributed numbers, drawn again where they lie outside of a and b."""

    type: Literal["trunc_normal_"]
    mean: Number = 0.0
    """Mean before cutting."""
    std: Annotated[float, Field(gt=0, le=1e30)] = 1.0
    """Standard deviation before cutting."""
    a: Number = -2.0
    """Smallest number."""
    b: Number = 2.0
    """Largest number."""

    def problems(self) -> list[Problem]:
        """Refuse an empty range, and one so far off that torch draws wrongly."""
        found = _order_problems(self.a, self.b)
        if not found and not self.a - 2 * self.std <= self.mean <= self.b + 2 * self.std:
            message = f"The mean {self.mean:g} lies more than two standard deviations outside of a and b."
            hint = "Move a and b to both sides of the mean."
            found = [Problem("/mean", "incompatible_fields", message, hint)]
        return found


class Constant(_AnyShape):
    """The same number everywhere."""

    type: Literal["constant_"]
    val: Number
    """The number."""


class Zeros(_AnyShape):
    """0 everywhere; usual for biases."""

    type: Literal["zeros_"]


class Ones(_AnyShape):
    """1 everywhere."""

    type: Literal["ones_"]


class Eye(Initializer):
    """The identity matrix, in parameters of two axes; others are left as torch's layers start them."""

    most_axes: ClassVar[int | None] = 2

    type: Literal["eye_"]


class Dirac(Initializer):
    """Kernels that hand their channels on, in convolutions; others are left as torch's layers start them."""

    least_axes: ClassVar[int] = 3
    most_axes: ClassVar[int | None] = 5

    type: Literal["dirac_"]


class XavierUniform(Initializer):
    """Evenly likely numbers whose spread keeps the variance through the layer (Glorot and Bengio, 2010)."""

    type: Literal["xavier_uniform_"]
    gain: Number = 1.0
    """Factor of the spread: 5/3 for Tanh, 1.414 for ReLU."""


class XavierNormal(Initializer):
    """Normally distributed numbers whose spread keeps the variance through the layer (Glorot and Bengio, 2010)."""

    type: Literal["xavier_normal_"]
    gain: Spread = 1.0
    """Factor of the spread: 5/3 for Tanh, 1.414 for ReLU."""


class _Kaiming(Initializer):
    a: Number = 0.0
    """Slope below 0, for `leaky_relu`."""
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Whether the variance is kept on the way forward, or on the way back."""
    nonlinearity: Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"] = "leaky_relu"
    """What follows the layer."""


class KaimingUniform(_Kaiming):
    """Evenly likely numbers whose spread keeps the variance through ReLU (He et al., 2015)."""

    type: Literal["kaiming_uniform_"]


class KaimingNormal(_Kaiming):
    """Normally distributed numbers whose spread keeps the variance through ReLU (He et al., 2015)."""

    type: Literal["kaiming_normal_"]


class Orthogonal(Initializer):
    """A random rotation (Saxe et al., 2013); kernels are taken as matrices."""

    type: Literal["orthogonal_"]
    gain: Number = 1.0
    """Factor of the rotation."""


class Sparse(Initializer):
    """Normally distributed numbers of which most are 0, in parameters of two axes (Martens, 2010)."""

    most_axes: ClassVar[int | None] = 2

    type: Literal["sparse_"]
    sparsity: Annotated[float, Field(ge=0, le=1)]
    """Share of each column that is 0."""
    std: Spread = 0.01
    """Standard deviation of the others."""


AnyInitializer = Annotated[
    Uniform
    | Normal
    | TruncatedNormal
    | Constant
    | Zeros
    | Ones
    | Eye
    | Dirac
    | XavierUniform
    | XavierNormal
    | KaimingUniform
    | KaimingNormal
    | Orthogonal
    | Sparse,
    Field(discriminator="type"),
]
"""Every initializer, as an object with its parameters."""
_AnyBiasInitializer = Annotated[
    Uniform | Normal | TruncatedNormal | Constant | Zeros | Ones, Field(discriminator="type")
]
_FOR_WEIGHTS = members_by_name(AnyInitializer)
_FOR_BIASES = members_by_name(_AnyBiasInitializer)

WeightInitializer = TypeAliasType(
    "WeightInitializer",
    Annotated[
        AnyInitializer,
        name_or_object(_FOR_WEIGHTS, what="initializer of weights"),
        Field(json_schema_extra=or_name(_FOR_WEIGHTS)),
    ],
)
"""An initializer: torch's name for it, or an object with its parameters."""
BiasInitializer = TypeAliasType(
    "BiasInitializer",
    Annotated[
        _AnyBiasInitializer,
        name_or_object(_FOR_BIASES, what="initializer of biases"),
        Field(json_schema_extra=or_name(_FOR_BIASES)),
    ],
)
"""An initializer that takes parameters of one axis."""


class Init(SpecModel):
    """How the parameters start; what is left out starts as torch's layers do.

    The functions are applied in the order of the network's parameters. Normalization layers keep torch's
    start, scale 1 and shift 0.
    """

    weight: WeightInitializer | None = None
    """For parameters with two or more axes: matrices, kernels, embeddings."""
    bias: BiasInitializer | None = None
    """For biases."""

    def problems(self) -> list[Problem]:
        """Tell which fields do not go together; pointers are relative to `init`."""
        parts = {"weight": self.weight, "bias": self.bias}
        return [
            Problem(f"/{name}{p.pointer}", p.code, p.message, p.hint)
            for name, part in parts.items()
            if part is not None
            for p in part.problems()
        ]


def _order_problems(low: float, high: float) -> list[Problem]:
    if low < high:
        return []
    message = f"a = {low:g} is not below b = {high:g}."
    return [Problem("/a", "incompatible_fields", message, "Swap them, or leave both out.")]
