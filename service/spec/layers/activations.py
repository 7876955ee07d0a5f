"""The activations: layers that bend numbers. Every one without its own weights, and PReLU."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from service.spec.layers.base import Pointwise
from service.spec.layers.naming import members_by_name, name_or_object, or_name
from service.spec.layers.shapes import Axis, Number, PositiveNumber, Shape, ShapeError, Size, row_axis, shown

__all__ = ["ACTIVATIONS", "Activation", "ActivationSpec", "AnyActivation", "ReLU"]


class Activation(Pointwise):
    """A function of each number, or of the numbers along one axis."""

    is_activation: ClassVar[bool] = True


class Identity(Activation):
    """Every number as it is."""

    type: Literal["Identity"]


class ReLU(Activation):
    """Negative numbers become 0."""

    type: Literal["ReLU"]


class ReLU6(Activation):
    """Negative numbers become 0, and numbers above 6 become 6."""

    type: Literal["ReLU6"]


class LeakyReLU(Activation):
    """Negative numbers are scaled by a small slope."""

    type: Literal["LeakyReLU"]
    negative_slope: Number = 0.01
    """Slope below 0."""


class PReLU(Activation):
    """Negative numbers are scaled by a slope that is trained."""

    type: Literal["PReLU"]
    num_parameters: Size = 1
    """How many slopes: 1, or one for each channel."""
    init: Number = 0.25
    """Slope at the start."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once the slopes fit the channels."""
        if self.num_parameters not in {1, *shape[:1]}:
            raise ShapeError(
                f"PReLU has {self.num_parameters:,} slopes for rows of shape {shown(shape)}.",
                hint=f"Set num_parameters to 1 or to {shape[0] if shape else 1}, one for each channel.",
                path=("num_parameters",),
            )
        return shape

    def parameter_count(self, shape: Shape) -> int:  # noqa: ARG002 - the field tells it alone
        """Count the slopes."""
        return self.num_parameters


class RReLU(Activation):
    """Negative numbers are scaled by a slope drawn anew for each; by its mean when predicting."""

    type: Literal["RReLU"]
    lower: Number = 1 / 8
    """Smallest slope."""
    upper: Number = 1 / 3
    """Largest slope."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once the slopes have a range."""
        _require_order("lower", self.lower, "upper", self.upper, strictly=False)
        return shape

    @property
    def draws(self) -> bool:
        """The slopes are random."""
        return True


class ELU(Activation):
    """`alpha * (exp(x) - 1)` below 0, x above."""

    type: Literal["ELU"]
    alpha: Number = 1.0
    """Depth of the negative side."""


class SELU(Activation):
    """ELU with the scale that keeps mean 0 and variance 1 through many layers."""

    type: Literal["SELU"]


class CELU(Activation):
    """`alpha * (exp(x / alpha) - 1)` below 0, x above: ELU without a kink."""

    type: Literal["CELU"]
    alpha: PositiveNumber = 1.0
    """Depth of the negative side."""


class GELU(Activation):
    """x times the share of a standard normal distribution that lies below x."""

    type: Literal["GELU"]
    approximate: Literal["none", "tanh"] = "none"
    """`tanh` works with a faster formula that is a little off."""


class SiLU(Activation):
    """x times its sigmoid; also known as swish."""

    type: Literal["SiLU"]


class Mish(Activation):
    """x times the hyperbolic tangent of its softplus."""

    type: Literal["Mish"]


class Sigmoid(Activation):
    """`1 / (1 + exp(-x))`: between 0 and 1, as a probability."""

    type: Literal["Sigmoid"]


class Tanh(Activation):
    """The hyperbolic tangent: between -1 and 1."""

    type: Literal["Tanh"]


class Softplus(Activation):
    """`log(1 + exp(beta * x)) / beta`: a smooth ReLU, always above 0."""

    type: Literal["Softplus"]
    beta: PositiveNumber = 1.0
    """How sharp the bend at 0 is."""
    threshold: Number = 20.0
    """Where `beta * x` is above this, x itself is given: exp would overflow."""


class Softsign(Activation):
    """`x / (1 + |x|)`: between -1 and 1, flatter than Tanh."""

    type: Literal["Softsign"]


class Softshrink(Activation):
    """Numbers move towards 0 by `lambd`, and stop there."""

    type: Literal["Softshrink"]
    lambd: Annotated[float, Field(ge=0, le=1e30)] = 0.5
    """How far they move."""


class Hardshrink(Activation):
    """Numbers between -lambd and lambd become 0."""

    type: Literal["Hardshrink"]
    lambd: Number = 0.5
    """Half width of what becomes 0."""


class Tanhshrink(Activation):
    """`x - tanh(x)`."""

    type: Literal["Tanhshrink"]


class Threshold(Activation):
    """Numbers not above a threshold are replaced by one value."""

    type: Literal["Threshold"]
    threshold: Number
    """Numbers above it stay."""
    value: Number
    """What the others become."""


class Hardtanh(Activation):
    """Numbers outside a range become its nearer end."""

    type: Literal["Hardtanh"]
    min_val: Number = -1.0
    """Lower end."""
    max_val: Number = 1.0
    """Upper end."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once there is a range."""
        _require_order("min_val", self.min_val, "max_val", self.max_val, strictly=True)
        return shape


class Hardswish(Activation):
    """SiLU made of straight pieces and a parabola."""

    type: Literal["Hardswish"]


class Hardsigmoid(Activation):
    """Sigmoid made of straight pieces."""

    type: Literal["Hardsigmoid"]


class LogSigmoid(Activation):
    """The logarithm of the sigmoid."""

    type: Literal["LogSigmoid"]


class _AlongAxis(Activation):
    dim: Axis = -1
    """The axis along which the numbers belong together: 1 is the first of a row, -1 the last."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once the axis is there."""
        row_axis(self.dim, shape, field="dim")
        return shape


class Softmax(_AlongAxis):
    """Probabilities along an axis, in proportion to `exp(x)`; torch has no default axis, this has the last."""

    type: Literal["Softmax"]


class LogSoftmax(_AlongAxis):
    """The logarithm of Softmax, for NLLLoss; torch has no default axis, this has the last."""

    type: Literal["LogSoftmax"]


class Softmin(_AlongAxis):
    """Softmax of the negative numbers; torch has no default axis, this has the last."""

    type: Literal["Softmin"]


class GLU(_AlongAxis):
    """The first half along an axis, times the sigmoid of the second half."""

    type: Literal["GLU"]

    def output_shape(self, shape: Shape) -> Shape:
        """Halve the axis."""
        axis = row_axis(self.dim, shape, field="dim")
        if shape[axis] % 2:
            raise ShapeError(
                f"GLU halves axis {self.dim} of rows of shape {shown(shape)}, whose size is odd.",
                hint="Give the layer before it an even size.",
                path=("dim",),
            )
        return (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])


def _require_order(low: str, least: float, high: str, most: float, *, strictly: bool) -> None:
    if least > most or (strictly and least == most):
        raise ShapeError(
            f"{low} = {least:g} is not below {high} = {most:g}.",
            hint=f"Swap them, or leave {low} and {high} out.",
            path=(low,),
            code="incompatible_fields",
        )


AnyActivation = Annotated[
    Identity
    | ReLU
    | ReLU6
    | LeakyReLU
    | PReLU
    | RReLU
    | ELU
    | SELU
    | CELU
    | GELU
    | SiLU
    | Mish
    | Sigmoid
    | Tanh
    | Softplus
    | Softsign
    | Softshrink
    | Hardshrink
    | Tanhshrink
    | Threshold
    | Hardtanh
    | Hardswish
    | Hardsigmoid
    | LogSigmoid
    | Softmax
    | LogSoftmax
    | Softmin
    | GLU,
    Field(discriminator="type"),
]
"""Every activation, as an object with its parameters."""

ACTIVATIONS = members_by_name(AnyActivation)
"""The activations by their names."""

# Named, so that the JSON Schema has it once and clients made from it have one type.
ActivationSpec = TypeAliasType(
    "ActivationSpec",
    Annotated[
        AnyActivation,
        name_or_object(ACTIVATIONS, what="activation"),
        Field(json_schema_extra=or_name(ACTIVATIONS)),
    ],
)
"""An activation: torch's name for it, or an object with its parameters."""
