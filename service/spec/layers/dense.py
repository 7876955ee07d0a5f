"""The fully connected layer."""

from typing import Any, Literal

from service.spec.layers.base import Layer
from service.spec.layers.shapes import Shape, ShapeError, Size

__all__ = ["Linear"]


class Linear(Layer):
    """Weighted sums of the numbers along the last axis: `x @ weight.T + bias`."""

    type: Literal["Linear"]
    out_features: Size | None = None
    """Size of the output's last axis. The last layer of a model may leave it out: then it is what the
    target needs."""
    bias: bool = True
    """Add a trained number to each sum."""

    def output_shape(self, shape: Shape) -> Shape:
        """Replace the last axis."""
        if self.out_features is None:
            raise ShapeError(
                "`out_features` is required in every Linear but the last layer of the model.",
                hint="Set out_features to the number of outputs of this layer, for example 64.",
                path=("out_features",),
                code="missing",
            )
        if not shape:
            raise ShapeError("`Linear` needs rows with at least one axis.", hint="Put Unflatten before it.")
        return (*shape[:-1], self.out_features)

    def parameter_count(self, shape: Shape) -> int:
        """Count `(in_features + 1) * out_features`, without the 1 where there is no bias."""
        return (shape[-1] + int(self.bias)) * (self.out_features or 0)

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Add `in_features`."""
        return {"in_features": shape[-1], **super().arguments(shape)}
