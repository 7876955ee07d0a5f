"""What every layer can tell of itself by arithmetic alone."""

import math
from typing import Any, ClassVar

from service.spec.base import SpecModel
from service.spec.layers.shapes import Shape

__all__ = ["Layer", "Pointwise"]


class Layer(SpecModel):
    """One layer, named after torch's and with torch's parameters and defaults.

    What the input determines (`in_features`, `in_channels`, `num_features`, …) is worked out from the shape
    of what the layer is given. `inplace`, `device` and `dtype` are not the caller's business and left out.
    """

    is_activation: ClassVar[bool] = False
    """Whether it only bends numbers, so that a loss may look at it."""
    is_batch_norm: ClassVar[bool] = False
    """Whether its output for one row depends on the other rows of the batch while training."""

    type: str
    """The name of the layer in `torch.nn`."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape of one row's output for one of the shape `shape`.

        Raises:
            ShapeError: The layer cannot take this shape, or its fields do not go together.
        """
        raise NotImplementedError

    def parameter_count(self, shape: Shape) -> int:  # noqa: ARG002 - layers without parameters need no shape
        """Count the trained numbers of the layer when it is given rows of the shape `shape`."""
        return 0

    def activation_count(self, shape: Shape) -> int:
        """Count the numbers that one row's way through the layer leaves behind for the gradient."""
        return math.prod(self.output_shape(shape))

    def arguments(self, shape: Shape) -> dict[str, Any]:  # noqa: ARG002
        """Give all arguments of `torch.nn.<type>` for rows of the shape `shape`."""
        return self.model_dump(exclude={"type"})

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers while training, as dropout does."""
        return False


class Pointwise(Layer):
    """A layer that treats each number by itself, whatever the shape."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back."""
        return shape
