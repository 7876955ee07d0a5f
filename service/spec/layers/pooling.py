"""Pooling: the largest or the mean of neighbouring points."""

from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from service.spec.layers.base import Layer
from service.spec.layers.shapes import (
    Extents,
    Extents1,
    Extents2,
    Shape,
    ShapeError,
    Size,
    Sizes,
    Sizes1,
    Sizes2,
    one_error,
    per_axis,
    require_axes,
)

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
]

# As in the convolutions: one number stands for every axis.
_ONE: Any = 1
_ZERO: Any = 0


class _Pool(Layer, Generic[Sizes, Extents]):
    axes: ClassVar[int]
    """Axes over which the window moves."""

    kernel_size: Sizes
    """How many points a window holds along each axis; one number for all axes, or one for each."""
    stride: Sizes | None = None
    """Steps by which the window moves along each axis; kernel_size when left out."""
    padding: Extents = _ZERO
    """Points added to both ends of each axis; at most half of the window."""
    ceil_mode: bool = False
    """Let the last window reach beyond the end, instead of leaving the last points out."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give `[channels, …]`, each axis `floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`."""
        require_axes(self.type, shape, self.axes + 1)
        kernel = per_axis(self.kernel_size, self.axes)
        stride = kernel if self.stride is None else per_axis(self.stride, self.axes)
        padding = per_axis(self.padding, self.axes)
        return (shape[0], *map(self._pooled, shape[1:], kernel, stride, padding, self._dilations()))

    def _dilations(self) -> tuple[int, ...]:
        return (1,) * self.axes

    def _pooled(self, size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
        window = dilation * (kernel - 1) + 1
        if padding > kernel // 2:
            raise ShapeError(
                f"Padding {padding:,} is more than half of the window of {kernel:,}.",
                hint=f"Set padding to at most {kernel // 2:,}.",
                path=("padding",),
                code="incompatible_fields",
            )
        room = size + 2 * padding - window
        pooled = (-(-room // stride) if self.ceil_mode else room // stride) + 1
        if self.ceil_mode and (pooled - 1) * stride >= size + padding:
            pooled -= 1  # A window that would start beyond the end, in the padding, is left out.
        if pooled < 1:
            raise ShapeError(
                f"The window of `{self.type}` holds {window:,} points, but the axis has only {size:,}.",
                hint="Make kernel_size smaller, or pool less before this layer.",
                path=("kernel_size",),
            )
        return pooled


class _MaxPool(_Pool[Sizes, Extents], Generic[Sizes, Extents]):
    dilation: Sizes = _ONE
    """Distance between the window's points along each axis."""

    def _dilations(self) -> tuple[int, ...]:
        return per_axis(self.dilation, self.axes)


class MaxPool1d(_MaxPool[Sizes1, Extents1]):
    """The largest number of each window along rows of shape [channels, length]."""

    axes = 1
    type: Literal["MaxPool1d"]


class MaxPool2d(_MaxPool[Sizes2, Extents2]):
    """The largest number of each window over rows of shape [channels, height, width]."""

    axes = 2
    type: Literal["MaxPool2d"]


class _AvgPool(_Pool[Sizes, Extents], Generic[Sizes, Extents]):
    count_include_pad: bool = True
    """Count the added points when dividing."""


class AvgPool1d(_AvgPool[Sizes1, Extents1]):
    """The mean of each window along rows of shape [channels, length]."""

    axes = 1
    type: Literal["AvgPool1d"]


class AvgPool2d(_AvgPool[Sizes2, Extents2]):
    """The mean of each window over rows of shape [channels, height, width]."""

    axes = 2
    type: Literal["AvgPool2d"]
    divisor_override: Size | None = None
    """Divide the sum of a window by this instead of by the number of its points."""


_TARGETS = one_error(
    "The output size is a whole number from 1 up, or an array with one (or null) for each axis.",
    "Send 1 to pool each channel to one number; null keeps an axis as it is.",
)
Targets1 = Annotated[Size | tuple[Size], _TARGETS]
Targets2 = Annotated[Size | tuple[Size | None, Size | None], _TARGETS]
_Targets = TypeVar("_Targets", bound=int | tuple[int | None, ...])


class _AdaptivePool(Layer, Generic[_Targets]):
    axes: ClassVar[int]
    """Axes over which the window moves."""

    output_size: _Targets
    """Size of each axis of the output; one number for all axes, or one for each, null for the input's."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give `[channels, *output_size]`."""
        require_axes(self.type, shape, self.axes + 1)
        wanted = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * self.axes
        return (
            shape[0],
            *(size if one is None else one for one, size in zip(wanted, shape[1:], strict=True)),
        )


class AdaptiveAvgPool1d(_AdaptivePool[Targets1]):
    """Means over as many equal parts of rows of shape [channels, length] as asked for."""

    axes = 1
    type: Literal["AdaptiveAvgPool1d"]


class AdaptiveAvgPool2d(_AdaptivePool[Targets2]):
    """Means over as many equal parts of rows of shape [channels, height, width] as asked for."""

    axes = 2
    type: Literal["AdaptiveAvgPool2d"]


class AdaptiveMaxPool1d(_AdaptivePool[Targets1]):
    """Largest numbers of as many equal parts of rows of shape [channels, length] as asked for."""

    axes = 1
    type: Literal["AdaptiveMaxPool1d"]


class AdaptiveMaxPool2d(_AdaptivePool[Targets2]):
    """Largest numbers of as many equal parts of rows of shape [channels, height, width] as asked for."""

    axes = 2
    type: Literal["AdaptiveMaxPool2d"]
