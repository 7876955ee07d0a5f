"""Normalization: numbers shifted and scaled to mean 0 and variance 1."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.spec.layers.base import Pointwise
from service.spec.layers.shapes import PositiveNumber, Shape, ShapeError, Size, one_error, require_axes, shown

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
]

Share = Annotated[float, Field(ge=0, le=1)]


class _ByChannel(Pointwise):
    """Normalization with one scale and one shift for each channel."""

    axes: ClassVar[tuple[int, ...]]
    """How many axes a row may have."""
    affine: bool

    eps: PositiveNumber = 1e-5
    """Added to the variance against division by zero."""
    bias: bool = True
    """Train a shift beside the scale, where `affine`."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once it has channels."""
        require_axes(self.type, shape, *self.axes)
        return shape

    def parameter_count(self, shape: Shape) -> int:
        """Count one scale and one shift for each channel."""
        return int(self.affine) * (1 + int(self.bias)) * shape[0]

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Add `num_features`."""
        return {"num_features": shape[0], **super().arguments(shape)}


class _BatchNorm(_ByChannel):
    is_batch_norm: ClassVar[bool] = True

    momentum: Share | None = 0.1
    """How much of each batch goes into the running mean and variance; null averages all batches evenly."""
    affine: bool = True
    """Train a scale and a shift for each channel."""
    track_running_stats: bool = True
    """Keep the running mean and variance for predicting; without, every batch is normalized by itself."""


class BatchNorm1d(_BatchNorm):
    """Each feature, or each channel of rows of shape [channels, length], normalized over the batch."""

    axes = (1, 2)
    type: Literal["BatchNorm1d"]


class BatchNorm2d(_BatchNorm):
    """Each channel of rows of shape [channels, height, width] normalized over the batch."""

    axes = (3,)
    type: Literal["BatchNorm2d"]


class _InstanceNorm(_ByChannel):
    momentum: Share = 0.1
    """How much of each batch goes into the running mean and variance."""
    affine: bool = False
    """Train a scale and a shift for each channel."""
    track_running_stats: bool = False
    """Keep the running mean and variance for predicting."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once each channel has several points."""
        require_axes(self.type, shape, *self.axes)
        if math.prod(shape[1:]) == 1:
            raise ShapeError(
                f"`{self.type}` normalizes each channel by itself, but one has a single number in rows of shape "
                f"{shown(shape)}.",
                hint="Leave the layer out, or use BatchNorm, which normalizes over the batch.",
            )
        return shape


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each row of shape [channels, length] normalized by itself."""

    axes = (2,)
    type: Literal["InstanceNorm1d"]


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each row of shape [channels, height, width] normalized by itself."""

    axes = (3,)
    type: Literal["InstanceNorm2d"]


class LayerNorm(Pointwise):
    """Each row normalized by itself, over its last axes."""

    type: Literal["LayerNorm"]
    normalized_shape: (
        Annotated[
            Size | Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)],
            one_error(
                "The normalized shape is a whole number from 1 up, or an array of them.",
                "Leave it out to normalize over the last axis.",
            ),
        ]
        | None
    ) = None
    """Shape of the last axes, over which is normalized; the last axis alone when left out."""
    eps: PositiveNumber = 1e-5
    """Added to the variance against division by zero."""
    elementwise_affine: bool = True
    """Train a scale and a shift for each place of the normalized shape."""
    bias: bool = True
    """Train a shift beside the scale, where `elementwise_affine`."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once it ends in the normalized shape."""
        normalized = self._normalized(shape)
        if not normalized or shape[-len(normalized) :] != normalized:
            raise ShapeError(
                f"Rows of shape {shown(shape)} do not end in the normalized shape {shown(normalized)}.",
                hint=f"Leave normalized_shape out, or set it to {shown(shape[-1:])}.",
                path=("normalized_shape",),
            )
        return shape

    def parameter_count(self, shape: Shape) -> int:
        """Count one scale and one shift for each normalized place."""
        return int(self.elementwise_affine) * (1 + int(self.bias)) * math.prod(self._normalized(shape))

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Fill in the normalized shape."""
        return {**super().arguments(shape), "normalized_shape": self._normalized(shape)}

    def _normalized(self, shape: Shape) -> Shape:
        if self.normalized_shape is None:
            return shape[-1:]
        return self.normalized_shape if isinstance(self.normalized_shape, tuple) else (self.normalized_shape,)


class GroupNorm(Pointwise):
    """Groups of channels of each row normalized by themselves; with one group, the whole row."""

    type: Literal["GroupNorm"]
    num_groups: Size
    """Into how many groups the channels are divided."""
    eps: PositiveNumber = 1e-5
    """Added to the variance against division by zero."""
    affine: bool = True
    """Train a scale and a shift for each channel."""
    bias: bool = True
    """Train a shift beside the scale, where `affine`."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once the groups divide its channels and hold several numbers each."""
        if not shape or shape[0] % self.num_groups:
            raise ShapeError(
                f"{self.num_groups:,} groups do not divide the channels of rows of shape {shown(shape)}.",
                hint=f"Set num_groups to {math.gcd(self.num_groups, *shape[:1])}.",
                path=("num_groups",),
            )
        if math.prod(shape) == self.num_groups:
            raise ShapeError(
                "Each group holds a single number, which normalizing turns to 0.",
                hint="Set num_groups to 1.",
                path=("num_groups",),
            )
        return shape

    def parameter_count(self, shape: Shape) -> int:
        """Count one scale and one shift for each channel."""
        return int(self.affine) * (1 + int(self.bias)) * shape[0]

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Add `num_channels`."""
        return {"num_channels": shape[0], **super().arguments(shape)}
