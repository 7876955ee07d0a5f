"""Dropout: while training, random numbers or channels are left out; when predicting, nothing is."""

from typing import ClassVar, Literal

from service.spec.base import UnitInterval
from service.spec.layers.base import Pointwise
from service.spec.layers.shapes import Shape, require_axes

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d"]


class _Dropout(Pointwise):
    p: UnitInterval = 0.5
    """Probability of leaving out; the rest is scaled up so that the mean stays."""

    @property
    def draws(self) -> bool:
        """What is left out is random."""
        return self.p > 0


class Dropout(_Dropout):
    """Leaves out single numbers."""

    type: Literal["Dropout"]


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1 after SELU."""

    type: Literal["AlphaDropout"]


class _ChannelDropout(_Dropout):
    axes: ClassVar[int]

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once it has channels."""
        require_axes(self.type, shape, self.axes + 1)
        return shape


class Dropout1d(_ChannelDropout):
    """Leaves out whole channels of rows of shape [channels, length]."""

    axes = 1
    type: Literal["Dropout1d"]


class Dropout2d(_ChannelDropout):
    """Leaves out whole channels of rows of shape [channels, height, width]."""

    axes = 2
    type: Literal["Dropout2d"]
