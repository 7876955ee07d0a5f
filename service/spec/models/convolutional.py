"""The convolutional network: blocks, then fully connected layers."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from service.spec.base import SpecModel, UnitInterval
from service.spec.layers import convolution, normalization, pooling, regularization
from service.spec.layers.activations import ActivationSpec, AnyActivation, ReLU
from service.spec.layers.base import Layer
from service.spec.layers.dense import Linear
from service.spec.layers.model import SizedModel
from service.spec.layers.reshaping import Flatten, Unflatten
from service.spec.layers.shapes import (
    NOT_EMPTY,
    Extent,
    Shape,
    ShapeError,
    Size,
    SizesAny,
    one_error,
    per_axis,
    shown,
)
from service.spec.layers.stack import Placed
from service.spec.models.dense import hidden_layers, required

__all__ = ["CNNModel", "ConvolutionBlock", "PoolSpec"]

PoolSpec = Annotated[
    pooling.MaxPool1d
    | pooling.MaxPool2d
    | pooling.AvgPool1d
    | pooling.AvgPool2d
    | pooling.AdaptiveAvgPool1d
    | pooling.AdaptiveAvgPool2d
    | pooling.AdaptiveMaxPool1d
    | pooling.AdaptiveMaxPool2d,
    Field(discriminator="type"),
]
_PADDING = one_error(
    "Padding is a whole number from 0 up, an array with one for each axis, 'same' or 'valid'.",
    "Leave it out to keep the size at stride 1.",
)
Padding = Annotated[
    Extent | Annotated[tuple[Extent, ...], Field(min_length=1, max_length=2)] | Literal["same", "valid"],
    _PADDING,
]


class ConvolutionBlock(SpecModel):
    """A convolution, then normalization, activation, pooling and dropout, in this order."""

    channels: Size
    """Channels of the output: one for each kernel."""
    kernel_size: SizesAny = 3
    """How far a kernel reaches; one number for all axes, or one for each."""
    stride: SizesAny = 1
    """Steps by which the kernel moves."""
    padding: Padding | None = None
    """Zeros added to both ends; left out, (kernel_size - 1) / 2, which keeps the size at stride 1."""
    activation: ActivationSpec | None = None
    """What bends the numbers; the model's activation when left out."""
    normalization: Literal["batch", "layer", "instance"] | None = None
    """BatchNorm, GroupNorm with one group (the whole row), or InstanceNorm behind the convolution."""
    pool: PoolSpec | None = None
    """Pooling behind the activation, such as {"type": "MaxPool2d", "kernel_size": 2}."""
    dropout: UnitInterval = 0.0
    """Probability of leaving out whole channels behind the block; 0 puts no layer there."""

    def placed(self, *, axes: int, activation: AnyActivation) -> Iterator[Placed]:
        """Give the layers; places are relative to the block."""
        yield (), self._convolution(axes)
        if self.normalization is not None:
            yield ("normalization",), _NORMALIZATIONS[axes][self.normalization]
        own = self.activation is not None
        yield ("activation",) if own else (), self.activation or activation
        if self.pool is not None:
            yield ("pool",), self.pool
        if self.dropout:
            name, dropout = _DROPOUTS[axes]
            yield ("dropout",), dropout(type=name, p=self.dropout)

    def _convolution(self, axes: int) -> Layer:
        name, layer = _CONVOLUTIONS[axes]
        kernel = self._each("kernel_size", self.kernel_size, axes)
        if self.padding is None:
            padding: Any = tuple((one - 1) // 2 for one in kernel)
        else:
            padding = (
                self.padding if isinstance(self.padding, str) else self._each("padding", self.padding, axes)
            )
        stride = self._each("stride", self.stride, axes)
        made: Layer = layer(
            type=name, out_channels=self.channels, kernel_size=kernel, stride=stride, padding=padding
        )
        return made

    def _each(self, field: str, value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
        each = per_axis(value, axes)
        if len(each) != axes:
            raise ShapeError(
                f"{field} has {len(each)} numbers, and the rows have {axes} axes beside the channels.",
                hint=f"Send one number, or {axes}.",
                path=(field,),
            )
        return each


# Made of a block's fields, whose types depend on the number of axes: checked when they are made, by pydantic.
_CONVOLUTIONS: dict[int, tuple[str, Any]] = {
    1: ("Conv1d", convolution.Conv1d),
    2: ("Conv2d", convolution.Conv2d),
}
_DROPOUTS: dict[int, tuple[str, Any]] = {
    1: ("Dropout1d", regularization.Dropout1d),
    2: ("Dropout2d", regularization.Dropout2d),
}
_WHOLE = normalization.GroupNorm(type="GroupNorm", num_groups=1)
_NORMALIZATIONS: dict[int, dict[str, Layer]] = {
    1: {
        "batch": normalization.BatchNorm1d(type="BatchNorm1d"),
        "layer": _WHOLE,
        "instance": normalization.InstanceNorm1d(type="InstanceNorm1d"),
    },
    2: {
        "batch": normalization.BatchNorm2d(type="BatchNorm2d"),
        "layer": _WHOLE,
        "instance": normalization.InstanceNorm2d(type="InstanceNorm2d"),
    },
}
_MEANS: dict[int, Layer] = {
    1: pooling.AdaptiveAvgPool1d(type="AdaptiveAvgPool1d", output_size=1),
    2: pooling.AdaptiveAvgPool2d(type="AdaptiveAvgPool2d", output_size=1),
}


class CNNModel(SizedModel):
    """A convolutional network for images and signals: blocks, then fully connected layers.

    Rows of shape [channels, height, width] go through Conv2d, and so do rows of shape [height, width], which
    get a channel. Rows of shape [channels, length] go through Conv1d if `convolution` says so; rows of one
    axis always do, with one channel.
    """

    type: Literal["cnn"]
    blocks: Annotated[
        tuple[ConvolutionBlock, ...], Field(max_length=100, json_schema_extra={"minItems": 1}), NOT_EMPTY
    ]
    """The convolutions, from the first to the last."""
    convolution: Literal["Conv1d", "Conv2d"] | None = None
    """How rows of two axes are read: as an image, Conv2d, when left out; as [channels, length] with Conv1d."""
    pooling: Literal["flatten", "average"] = "flatten"
    """How the last block's output becomes a vector: all of its numbers, or the mean of each channel."""
    head: Annotated[tuple[Size, ...], Field(max_length=100)] = ()
    """Widths of hidden layers between the vector and the outputs."""
    activation: ActivationSpec = ReLU(type="ReLU")
    """What bends the numbers in the head, and in blocks that name no activation."""
    dropout: UnitInterval = 0.0
    """Probability of leaving out numbers behind each hidden layer of the head; 0 puts no layer there."""

    @property
    def has_batch_norm(self) -> bool:
        """Whether a block has it."""
        return any(block.normalization == "batch" for block in self.blocks)

    @property
    def has_dropout(self) -> bool:
        """Whether a block or the head leaves out, or an activation draws."""
        used = [self.activation, *(block.activation for block in self.blocks if block.activation)]
        dropouts = [self.dropout, *(block.dropout for block in self.blocks)]
        return any(dropouts) or any(one.draws for one in used) or super().has_dropout

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[Placed]:
        """Give the blocks, Flatten and the head."""
        axes = self._axes(inputs)
        if len(inputs) == axes:
            yield (), Unflatten(type="Unflatten", dim=1, unflattened_size=(1, -1))
        for index, block in enumerate(self.blocks):
            yield from self._block(index, block, axes)
        if self.pooling == "average":
            yield ("pooling",), _MEANS[axes]
        yield (), Flatten(type="Flatten")
        for index, width in enumerate(self.head):
            layers = hidden_layers(width, activation=self.activation, dropout=self.dropout)
            yield from ((("head", index), layer) for layer in layers)
        yield (), Linear(type="Linear", out_features=required(self.outputs or outputs))

    def _block(self, index: int, block: ConvolutionBlock, axes: int) -> Iterator[Placed]:
        try:
            for path, layer in block.placed(axes=axes, activation=self.activation):
                yield ("blocks", index, *path), layer
        except ShapeError as error:
            raise error.beneath("blocks", index) from None

    def _axes(self, inputs: Shape) -> int:
        """Give over how many axes the kernels move."""
        wanted = _AXES[self.convolution]
        if len(inputs) not in wanted:
            raise ShapeError(
                f"A `cnn` cannot take rows of shape {shown(inputs)}"
                + (f" with {self.convolution}." if self.convolution else "."),
                hint="It takes [height, width] and [channels, height, width] with Conv2d, and [length] and "
                "[channels, length] with Conv1d.",
                path=("convolution",) if self.convolution else (),
            )
        return wanted[len(inputs)]


_AXES: dict[str | None, dict[int, int]] = {
    None: {1: 1, 2: 2, 3: 2},
    "Conv1d": {1: 1, 2: 1},
    "Conv2d": {2: 2, 3: 2},
}
"""By the named convolution and the axes of a row: over how many of them the kernels move."""
