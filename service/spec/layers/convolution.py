"""Convolutions, and their transposes, which go the other way."""

import math
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from service.spec.layers.base import Layer
from service.spec.layers.shapes import (
    Extent,
    Extents,
    Extents1,
    Extents2,
    Shape,
    ShapeError,
    Size,
    Sizes,
    Sizes1,
    Sizes2,
    Sizes3,
    one_error,
    per_axis,
    require_axes,
)

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d"]

# One number stands for every axis; the type variable of the axes cannot say that it is always allowed.
_ONE: Any = 1
_ZERO: Any = 0

_PADDING = one_error(
    "Padding is a whole number from 0 up, an array with one for each axis, 'same' or 'valid'.",
    "'same' keeps the size, 'valid' (0) adds nothing.",
)
_Word = Literal["same", "valid"]
Padding1 = Annotated[Extent | tuple[Extent] | _Word, _PADDING]
Padding2 = Annotated[Extent | tuple[Extent, Extent] | _Word, _PADDING]
Padding3 = Annotated[Extent | tuple[Extent, Extent, Extent] | _Word, _PADDING]
_Padding = TypeVar("_Padding", bound=int | tuple[int, ...] | str)


class _Channels(Layer, Generic[Sizes]):
    """What convolutions and their transposes share."""

    axes: ClassVar[int]
    """Axes over which the kernel moves."""

    out_channels: Size
    """Channels of the output: one for each kernel."""
    kernel_size: Sizes
    """How far a kernel reaches along each axis; one number for all axes, or one for each."""
    stride: Sizes = _ONE
    """Steps by which the kernel moves along each axis."""
    dilation: Sizes = _ONE
    """Distance between the kernel's points along each axis."""
    groups: Size = 1
    """Into how many parts the channels are divided, each with its own kernels; divides both channel counts."""
    bias: bool = True
    """Add a trained number to each output channel."""

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Add `in_channels`."""
        return {"in_channels": shape[0], **super().arguments(shape)}

    def _require_channels(self, shape: Shape) -> None:
        require_axes(self.type, shape, self.axes + 1)
        for name, channels in (("input", shape[0]), ("output", self.out_channels)):
            if channels % self.groups:
                raise ShapeError(
                    f"{self.groups:,} groups do not divide the {channels:,} {name} channels.",
                    hint=f"Set groups to {math.gcd(shape[0], self.out_channels)}, or to 1.",
                    path=("groups",),
                )


class _Convolution(_Channels[Sizes], Generic[Sizes, _Padding]):
    padding: _Padding = _ZERO
    """Points added to both ends of each axis; `same` keeps the size at stride 1, `valid` adds none."""
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    """What the added points hold: 0, the mirrored values, the outermost value, or the other end's values."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give `[out_channels, …]`, each axis `floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`."""
        self._require_channels(shape)
        stride = per_axis(self.stride, self.axes)
        if self.padding == "same" and set(stride) != {1}:
            raise ShapeError(
                "Padding 'same' needs a stride of 1.",
                hint="Set padding to half of kernel_size, rounded down.",
                path=("padding",),
                code="incompatible_fields",
            )
        reaches = self._reaches()
        added = self._added(reaches)
        self._require_padding(shape[1:], added)
        return (self.out_channels, *map(self._moved, shape[1:], reaches, added, stride))

    def parameter_count(self, shape: Shape) -> int:
        """Count the kernels' numbers and the biases."""
        kernel = shape[0] // self.groups * math.prod(per_axis(self.kernel_size, self.axes))
        return self.out_channels * (kernel + int(self.bias))

    def _reaches(self) -> tuple[int, ...]:
        """Give how many points the kernel spans beyond its first, for each axis."""
        pairs = zip(per_axis(self.kernel_size, self.axes), per_axis(self.dilation, self.axes), strict=True)
        return tuple(dilation * (kernel - 1) for kernel, dilation in pairs)

    def _added(self, reaches: tuple[int, ...]) -> tuple[int, ...]:
        """Give how many points are added to both ends together, for each axis."""
        words = {"same": reaches, "valid": (0,) * self.axes}
        if isinstance(self.padding, str):
            return words[self.padding]
        return tuple(2 * padding for padding in per_axis(self.padding, self.axes))

    def _require_padding(self, sizes: Shape, added: tuple[int, ...]) -> None:
        """Refuse to mirror or to wrap around more than there is."""
        spare = {"reflect": 1, "circular": 0}.get(self.padding_mode)
        if spare is None:
            return
        for size, points in zip(sizes, added, strict=True):
            if -(-points // 2) > size - spare:
                raise ShapeError(
                    f"Padding mode `{self.padding_mode}` cannot add {-(-points // 2):,} points to an axis "
                    f"of size {size:,}.",
                    hint="Use padding_mode `replicate` or `zeros`, or less padding.",
                    path=("padding_mode",),
                )

    def _moved(self, size: int, reach: int, added: int, stride: int) -> int:
        room = size + added - reach - 1
        if room < 0:
            raise ShapeError(
                f"The kernel of `{self.type}` reaches over {reach + 1:,} points, but the axis has {size:,}"
                + (f" and {added:,} of padding." if added else "."),
                hint="Make kernel_size (or dilation) smaller, raise padding, or pool less before this layer.",
                path=("kernel_size",),
            )
        return room // stride + 1


class Conv1d(_Convolution[Sizes1, Padding1]):
    """Kernels that move along rows of shape [channels, length], such as signals."""

    axes = 1
    type: Literal["Conv1d"]


class Conv2d(_Convolution[Sizes2, Padding2]):
    """Kernels that move over rows of shape [channels, height, width], such as images."""

    axes = 2
    type: Literal["Conv2d"]


class Conv3d(_Convolution[Sizes3, Padding3]):
    """Kernels that move through rows of shape [channels, depth, height, width], such as volumes."""

    axes = 3
    type: Literal["Conv3d"]


class _TransposedConvolution(_Channels[Sizes], Generic[Sizes, Extents]):
    padding: Extents = _ZERO
    """Points taken off both ends of each axis of the output."""
    output_padding: Extents = _ZERO
    """Points added to one end of each axis of the output; below stride or dilation."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give `[out_channels, …]`, each axis `(n - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`."""
        self._require_channels(shape)
        fields = (self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation)
        return (
            self.out_channels,
            *map(self._spread, shape[1:], *(per_axis(field, self.axes) for field in fields)),
        )

    def parameter_count(self, shape: Shape) -> int:
        """Count the kernels' numbers and the biases."""
        kernel = self.out_channels // self.groups * math.prod(per_axis(self.kernel_size, self.axes))
        return shape[0] * kernel + self.out_channels * int(self.bias)

    def _spread(self, size: int, kernel: int, stride: int, padding: int, extra: int, dilation: int) -> int:
        if extra >= max(stride, dilation):
            raise ShapeError(
                f"output_padding {extra:,} is not below the larger of stride {stride:,} and dilation {dilation:,}.",
                hint=f"Set output_padding to at most {max(stride, dilation) - 1:,}.",
                path=("output_padding",),
                code="incompatible_fields",
            )
        spread = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
        if spread < 1:
            raise ShapeError(
                f"Nothing is left: padding {padding:,} takes off more than the {spread + 2 * padding:,} "
                f"points that an axis of size {size:,} is spread to.",
                hint=f"Set padding to at most {(spread + 2 * padding - 1) // 2:,}.",
                path=("padding",),
            )
        return spread


class ConvTranspose1d(_TransposedConvolution[Sizes1, Extents1]):
    """The way back of Conv1d: spreads each point of rows of shape [channels, length] over a kernel."""

    axes = 1
    type: Literal["ConvTranspose1d"]


class ConvTranspose2d(_TransposedConvolution[Sizes2, Extents2]):
    """The way back of Conv2d: spreads each point of rows of shape [channels, height, width] over a kernel."""

    axes = 2
    type: Literal["ConvTranspose2d"]
