"""Layers that change the shape: flattening, unflattening, padding and resizing."""

import math
from typing import Annotated, Literal

from pydantic import Field

from service.spec.layers.base import Layer
from service.spec.layers.shapes import (
    Axis,
    Extent,
    Shape,
    ShapeError,
    Size,
    one_error,
    per_axis,
    row_axis,
    shown,
)

__all__ = ["Flatten", "Unflatten", "Upsample", "ZeroPad2d"]


class Flatten(Layer):
    """Merges axes to one; all of a row unless told otherwise."""

    type: Literal["Flatten"]
    start_dim: Axis = 1
    """First axis to merge; 1 is the first of a row."""
    end_dim: Axis = -1
    """Last axis to merge."""

    def output_shape(self, shape: Shape) -> Shape:
        """Replace the axes from `start_dim` to `end_dim` by their product."""
        start = row_axis(self.start_dim, shape, field="start_dim")
        end = row_axis(self.end_dim, shape, field="end_dim")
        if start > end:
            raise ShapeError(
                f"start_dim {self.start_dim} lies behind end_dim {self.end_dim} in rows of shape {shown(shape)}.",
                hint="Leave both out to flatten the whole row.",
                path=("start_dim",),
                code="incompatible_fields",
            )
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])

    def activation_count(self, shape: Shape) -> int:  # noqa: ARG002 - whatever the shape
        """Nothing is copied."""
        return 0


class Unflatten(Layer):
    """Splits one axis into several: the way back of Flatten."""

    type: Literal["Unflatten"]
    dim: Axis
    """The axis to split; 1 is the first of a row."""
    unflattened_size: Annotated[
        tuple[Size | Literal[-1], ...],
        one_error(
            "The unflattened size is an array of whole numbers from 1 up; one of them may be -1.",
            "Send for example [1, 28, 28]. The product must be the size of the axis; -1 stands for what is left.",
        ),
        Field(min_length=1, max_length=8),
    ]
    """Sizes of the new axes; one may be -1, which stands for what is left."""

    def output_shape(self, shape: Shape) -> Shape:
        """Replace the axis by the sizes."""
        axis = row_axis(self.dim, shape, field="dim")
        return (*shape[:axis], *self._sizes(shape[axis]), *shape[axis + 1 :])

    def activation_count(self, shape: Shape) -> int:  # noqa: ARG002 - whatever the shape
        """Nothing is copied."""
        return 0

    def _sizes(self, size: int) -> Shape:
        known = math.prod(one for one in self.unflattened_size if one > 0)
        unknown = self.unflattened_size.count(-1)
        if unknown > 1 or size % known or (not unknown and size != known):
            raise ShapeError(
                f"An axis of size {size:,} cannot be split into {shown(self.unflattened_size)}.",
                hint=f"The product of the sizes must be {size:,}; at most one may be -1.",
                path=("unflattened_size",),
            )
        return tuple(size // known if one == -1 else one for one in self.unflattened_size)


class ZeroPad2d(Layer):
    """Adds zeros around the last two axes."""

    type: Literal["ZeroPad2d"]
    padding: Annotated[
        Extent | tuple[Extent, Extent, Extent, Extent],
        one_error(
            "Padding is a whole number from 0 up, or four of them.",
            "Four numbers are left, right, top and bottom.",
        ),
    ]
    """Zeros on every side, or left, right, top and bottom."""

    def output_shape(self, shape: Shape) -> Shape:
        """Add to the last two axes."""
        if len(shape) < 2:  # noqa: PLR2004 - height and width
            raise ShapeError(
                f"`ZeroPad2d` needs rows of shape [height, width] or [channels, height, width]; it is given "
                f"{shown(shape)}.",
                hint="Put Unflatten before it.",
            )
        left, right, top, bottom = per_axis(self.padding, 4)
        return (*shape[:-2], shape[-2] + top + bottom, shape[-1] + left + right)


_PER_AXIS = "Send one number for all axes, or one for each."
_MODES: dict[int, tuple[str, ...]] = {
    1: ("nearest", "nearest-exact", "linear"),
    2: ("nearest", "nearest-exact", "bilinear", "bicubic"),
    3: ("nearest", "nearest-exact", "trilinear"),
}
_Scale = Annotated[float, Field(gt=0, le=1_000_000)]


class Upsample(Layer):
    """Resizes every axis but the first, the channels'."""

    type: Literal["Upsample"]
    size: (
        Annotated[
            Size | Annotated[tuple[Size, ...], Field(min_length=1, max_length=3)],
            one_error("The size is a whole number from 1 up, or one for each axis.", _PER_AXIS),
        ]
        | None
    ) = None
    """Size of each axis of the output; either this or scale_factor."""
    scale_factor: (
        Annotated[
            _Scale | Annotated[tuple[_Scale, ...], Field(min_length=1, max_length=3)],
            one_error(
                "The scale is a number above 0 and at most 1,000,000, or one for each axis.", _PER_AXIS
            ),
        ]
        | None
    ) = None
    """How many times larger each axis becomes."""
    mode: Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"] = "nearest"
    """How the numbers between are found: linear for one axis, bilinear and bicubic for two, trilinear for three."""
    align_corners: bool | None = None
    """Whether the outermost points stay outermost; not with `nearest` and `nearest-exact`."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give `[channels, …]`, each axis as asked for, or `floor(n * scale_factor)`."""
        axes = len(shape) - 1
        self._require_fields(shape, axes)
        if self.size is not None:
            sizes = per_axis(self.size, axes)
            _require_each("size", sizes, axes)
            return (shape[0], *sizes)
        factor = self.scale_factor
        scales = factor if isinstance(factor, tuple) else (factor or 1.0,) * axes
        _require_each("scale_factor", scales, axes)
        sizes = tuple(math.floor(float(n) * scale) for n, scale in zip(shape[1:], scales, strict=True))
        if min(sizes) < 1:
            raise ShapeError(
                f"Nothing is left of rows of shape {shown(shape)} at this scale.",
                hint="Raise scale_factor.",
                path=("scale_factor",),
            )
        return (shape[0], *sizes)

    def _require_fields(self, shape: Shape, axes: int) -> None:
        if axes not in _MODES:
            raise ShapeError(
                f"`Upsample` needs rows with channels and one to three more axes; it is given {shown(shape)}.",
                hint="Put Unflatten before it.",
            )
        if (self.size is None) == (self.scale_factor is None):
            raise ShapeError(
                "Upsample needs either size or scale_factor.",
                hint="Set scale_factor to 2 to double each axis.",
                path=("scale_factor",),
                code="incompatible_fields",
            )
        if self.mode not in _MODES[axes]:
            raise ShapeError(
                f"Mode `{self.mode}` does not resize rows of shape {shown(shape)}.",
                hint=f"Use one of {', '.join(f'`{mode}`' for mode in _MODES[axes])}.",
                path=("mode",),
            )
        if self.align_corners is not None and self.mode.startswith("nearest"):
            raise ShapeError(
                f"Mode `{self.mode}` knows no align_corners.",
                hint="Leave align_corners out.",
                path=("align_corners",),
                code="incompatible_fields",
            )


def _require_each(field: str, each: tuple[float, ...], axes: int) -> None:
    if len(each) != axes:
        message = f"{field} has {len(each)} numbers for {axes} axes."
        raise ShapeError(message, hint=_PER_AXIS, path=(field,))
