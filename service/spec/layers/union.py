"""All layers, the branch with a shortcut, and arrays of layers."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, to_json

from service.spec.layers import (
    activations,
    convolution,
    dense,
    normalization,
    pooling,
    regularization,
    reshaping,
    sequences,
    stack,
)
from service.spec.layers.base import Layer
from service.spec.layers.shapes import NOT_EMPTY, Shape, ShapeError, shown

__all__ = ["MAX_DEPTH", "MAX_LAYERS", "LayerArray", "LayerSpec", "Residual"]

MAX_LAYERS = 1000
"""Layers of one model, those within residual branches included."""
MAX_DEPTH = 8
"""Residual branches within each other."""


class Residual(Layer):
    """Adds its input, through a shortcut if there is one, to the output of its branch (He et al., 2015)."""

    type: Literal["residual"]
    layers: Annotated[
        tuple["LayerSpec", ...], Field(max_length=MAX_LAYERS, json_schema_extra={"minItems": 1}), NOT_EMPTY
    ]
    """The branch, from its first layer to its last."""
    shortcut: Annotated[tuple["LayerSpec", ...], Field(max_length=MAX_LAYERS)] = ()
    """Layers for the input where the branch changes its shape; none adds the input as it is."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape of the branch's output, which must be that of the shortcut's."""
        branch = stack.output_shape(stack.placed(self.layers, "layers"), shape)
        shortcut = stack.output_shape(stack.placed(self.shortcut, "shortcut"), shape)
        if branch != shortcut:
            what = "the shortcut gives" if self.shortcut else "the input has"
            raise ShapeError(
                f"The branch gives rows of shape {shown(branch)} and {what} {shown(shortcut)}: they cannot be added.",
                hint=_fitting_shortcut(shape, branch),
                path=("shortcut",),
            )
        return branch

    def parameter_count(self, shape: Shape) -> int:
        """Count those of the branch and of the shortcut."""
        return sum(stack.parameter_count(stack.placed(part), shape) for part in (self.layers, self.shortcut))

    def activation_count(self, shape: Shape) -> int:
        """Count those of the branch and of the shortcut, and the sum."""
        parts = (self.layers, self.shortcut)
        return super().activation_count(shape) + sum(
            stack.activation_count(stack.placed(part), shape) for part in parts
        )

    @property
    def inner(self) -> tuple[Layer, ...]:
        """The layers of the branch and of the shortcut."""
        return self.layers + self.shortcut


LayerSpec = Annotated[
    dense.Linear
    | convolution.Conv1d
    | convolution.Conv2d
    | convolution.Conv3d
    | convolution.ConvTranspose1d
    | convolution.ConvTranspose2d
    | pooling.MaxPool1d
    | pooling.MaxPool2d
    | pooling.AvgPool1d
    | pooling.AvgPool2d
    | pooling.AdaptiveAvgPool1d
    | pooling.AdaptiveAvgPool2d
    | pooling.AdaptiveMaxPool1d
    | pooling.AdaptiveMaxPool2d
    | normalization.BatchNorm1d
    | normalization.BatchNorm2d
    | normalization.LayerNorm
    | normalization.GroupNorm
    | normalization.InstanceNorm1d
    | normalization.InstanceNorm2d
    | regularization.Dropout
    | regularization.Dropout1d
    | regularization.Dropout2d
    | regularization.AlphaDropout
    | reshaping.Flatten
    | reshaping.Unflatten
    | reshaping.Upsample
    | reshaping.ZeroPad2d
    | sequences.Embedding
    | sequences.RNN
    | sequences.LSTM
    | sequences.GRU
    | sequences.TransformerEncoderLayer
    | Residual
    | activations.Identity
    | activations.ReLU
    | activations.ReLU6
    | activations.LeakyReLU
    | activations.PReLU
    | activations.RReLU
    | activations.ELU
    | activations.SELU
    | activations.CELU
    | activations.GELU
    | activations.SiLU
    | activations.Mish
    | activations.Sigmoid
    | activations.Tanh
    | activations.Softplus
    | activations.Softsign
    | activations.Softshrink
    | activations.Hardshrink
    | activations.Tanhshrink
    | activations.Threshold
    | activations.Hardtanh
    | activations.Hardswish
    | activations.Hardsigmoid
    | activations.LogSigmoid
    | activations.Softmax
    | activations.LogSoftmax
    | activations.Softmin
    | activations.GLU,
    Field(discriminator="type"),
]
"""Every layer."""

Residual.model_rebuild()

_ARRAY: TypeAdapter[tuple[LayerSpec, ...]] = TypeAdapter(
    Annotated[
        tuple[LayerSpec, ...], Field(max_length=MAX_LAYERS, json_schema_extra={"minItems": 1}), NOT_EMPTY
    ]
)


def _bounded(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON value
    """Count before anything is validated: a body of a million layers must cost no more than its parsing.

    What a Python function has seen is Python's and no longer JSON's, where an array may be a tuple; so it is
    handed on as JSON.
    """
    if not isinstance(value, list):
        return handler(value)
    _require_few(value)
    return _ARRAY.validate_json(to_json(value))


def _require_few(layers: list[Any]) -> None:
    seen, pending = 0, [(layers, 0)]
    while pending:
        array, depth = pending.pop()
        seen += len(array)
        if seen > MAX_LAYERS or depth > MAX_DEPTH:
            what = (
                f"has more than {MAX_LAYERS:,} layers"
                if seen > MAX_LAYERS
                else f"nests residual layers more than {MAX_DEPTH} deep"
            )
            hint = "Use fewer layers; wider ones train faster than many."
            raise PydanticCustomError("limit_exceeded", "The model {what}.", {"what": what, "hint": hint})
        branches = (
            layer.get(key) for layer in array if isinstance(layer, dict) for key in ("layers", "shortcut")
        )
        pending += [(branch, depth + 1) for branch in branches if isinstance(branch, list)]


LayerArray = Annotated[
    tuple[LayerSpec, ...],
    Field(max_length=MAX_LAYERS, json_schema_extra={"minItems": 1}),
    NOT_EMPTY,
    WrapValidator(_bounded),
]
"""Layers from the first to the last, bounded in number and depth."""


def _fitting_shortcut(shape: Shape, wanted: Shape) -> str:
    """Write the shortcut that turns `shape` to `wanted`, where one layer does it."""
    layer = _projection(shape, wanted)
    if layer is None:
        return f"Give `shortcut` layers that turn {shown(shape)} to {shown(wanted)}."
    return f'Set "shortcut" to [{layer}].'


def _projection(shape: Shape, wanted: Shape) -> str | None:
    if len(shape) == len(wanted) and shape[:-1] == wanted[:-1]:
        return f'{{"type": "Linear", "out_features": {wanted[-1]}}}'
    axes = len(shape) - 1
    if len(shape) != len(wanted) or axes not in {1, 2, 3}:
        return None
    strides = tuple(-(-size // smaller) for size, smaller in zip(shape[1:], wanted[1:], strict=True))
    reached = tuple((size - 1) // stride + 1 for size, stride in zip(shape[1:], strides, strict=True))
    if reached != wanted[1:]:
        return None
    stride = "" if set(strides) == {1} else f', "stride": {shown(strides)}'
    return f'{{"type": "Conv{axes}d", "out_channels": {wanted[0]}, "kernel_size": 1{stride}}}'
