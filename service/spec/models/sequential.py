"""The model that is written out, layer by layer."""

from collections.abc import Iterable, Iterator
from typing import Literal

from service.exceptions import Problem
from service.spec.layers import stack
from service.spec.layers.base import Layer
from service.spec.layers.dense import Linear
from service.spec.layers.model import LayeredModel
from service.spec.layers.sequences import Embedding
from service.spec.layers.shapes import Shape, shown
from service.spec.layers.union import LayerArray, Residual

__all__ = ["SequentialModel"]


class SequentialModel(LayeredModel):
    """Layers one after the other, as written: `torch.nn.Sequential`.

    Behind the last one there must be one number for each output. A last Linear may leave `out_features` out:
    then it is what the target needs.
    """

    type: Literal["sequential"]
    layers: LayerArray
    """The layers, from the first to the last."""

    @property
    def last_activation(self) -> str | None:
        """Torch's name of the last layer, if it is an activation, or of the output activation."""
        last = self.layers[-1]
        return super().last_activation or (last.type if last.is_activation else None)

    @property
    def has_batch_norm(self) -> bool:
        """Whether a layer is one."""
        return any(layer.is_batch_norm for layer in _all(self.layers))

    @property
    def has_dropout(self) -> bool:
        """Whether a layer draws random numbers."""
        return any(layer.draws for layer in _all(self.layers)) or super().has_dropout

    @property
    def code_count(self) -> int | None:
        """How many codes the first layer knows, where it is an Embedding: inputs are 0 to one less."""
        first = self.layers[0]
        return first.num_embeddings if isinstance(first, Embedding) else None

    def placed(self, *, inputs: Shape, outputs: int | None) -> Iterator[stack.Placed]:  # noqa: ARG002 - as written
        """Give the layers as written, the last Linear completed."""
        last = self.layers[-1]
        if isinstance(last, Linear) and last.out_features is None and outputs is not None:
            completed: Layer = last.model_copy(update={"out_features": outputs})
            return stack.placed((*self.layers[:-1], completed), "layers")
        return stack.placed(self.layers, "layers")

    def _mismatch(self, given: Shape, outputs: int) -> Problem:
        last = self.layers[-1]
        fits = isinstance(last, Linear) and len(given) == 1
        return Problem(
            f"/layers/{len(self.layers) - 1}" + ("/out_features" if fits else ""),
            "shape_mismatch",
            f"The last layer gives {shown(given)} for a row, and the target with this loss needs "
            f"{shown((outputs,))}.",
            f"Set out_features to {outputs}, or leave it out." if fits else _ending(given),
        )


def _ending(given: Shape) -> str:
    flatten = '{"type": "Flatten"} and ' if len(given) > 1 else ""
    return f'Put {flatten}{{"type": "Linear"}} at the end.'


def _all(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Give the layers and those within them."""
    for layer in layers:
        yield layer
        if isinstance(layer, Residual):
            yield from _all(layer.inner)
