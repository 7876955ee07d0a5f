"""Layers for sequences: embeddings of codes, recurrent layers and the transformer's encoder."""

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from service.spec.base import UnitInterval
from service.spec.layers.base import Layer
from service.spec.layers.shapes import Extent, PositiveNumber, Shape, ShapeError, Size, require_axes, shown

__all__ = ["GRU", "LSTM", "RNN", "Embedding", "TransformerEncoderLayer"]

_SEQUENCE = "[length, features]"


class Embedding(Layer):
    """Replaces each whole number from 0 up by a trained vector: words, categories, places."""

    type: Literal["Embedding"]
    num_embeddings: Size
    """How many different codes there are; the largest code is one less."""
    embedding_dim: Size
    """Length of each vector."""
    padding_idx: int | None = None
    """The code that stands for nothing: its vector is 0 and not trained. Negative counts from the end."""
    max_norm: PositiveNumber | None = None
    """Longer vectors are shortened to this length."""
    norm_type: PositiveNumber = 2.0
    """The p of the norm that measures the length."""
    scale_grad_by_freq: bool = False
    """Divide each vector's gradient by how often its code occurs in the batch."""

    def output_shape(self, shape: Shape) -> Shape:
        """Add a last axis for the vector."""
        if (
            self.padding_idx is not None
            and not -self.num_embeddings <= self.padding_idx < self.num_embeddings
        ):
            raise ShapeError(
                f"There is no code {self.padding_idx}: the codes are 0 to {self.num_embeddings - 1:,}.",
                hint="Set padding_idx to one of the codes, or leave it out.",
                path=("padding_idx",),
                code="incompatible_fields",
            )
        return (*shape, self.embedding_dim)

    def parameter_count(self, shape: Shape) -> int:  # noqa: ARG002 - the fields tell it alone
        """Count the numbers of all vectors."""
        return self.num_embeddings * self.embedding_dim


class _Recurrent(Layer):
    """What recurrent layers share: one step after the other along the length, with a memory."""

    gates: ClassVar[int]
    """Weight matrices from the input, and from the memory, to the memory."""

    hidden_size: Size
    """Numbers of the memory."""
    num_layers: Annotated[int, Field(ge=1, le=32)] = 1
    """How many layers are stacked."""
    bias: bool = True
    """Add trained numbers to the sums."""
    dropout: UnitInterval = 0.0
    """Probability of leaving out numbers between stacked layers."""
    bidirectional: bool = False
    """Read the sequence from both ends, and put the two outputs beside each other."""
    output: Literal["sequence", "last"] = "last"
    """`last` gives the memory at the end, [features]; `sequence` the output of every step, [length, features]."""

    @property
    def draws(self) -> bool:
        """Whether there is dropout."""
        return self.dropout > 0

    def output_shape(self, shape: Shape) -> Shape:
        """Give `[features]` or `[length, features]`, with one feature for each number of the memory and direction."""
        require_axes(self.type, shape, 2, names=_SEQUENCE)
        if self.dropout and self.num_layers == 1:
            raise ShapeError(
                "Dropout acts between stacked layers, and there is only one.",
                hint="Set num_layers to 2 or more, or put a Dropout layer behind this one.",
                path=("dropout",),
                code="incompatible_fields",
            )
        features = self._directions * self._state
        return (features,) if self.output == "last" else (shape[0], features)

    def parameter_count(self, shape: Shape) -> int:
        """Count the matrices and biases of every layer and direction."""
        first = self._layer_count(shape[-1])
        others = self._layer_count(self._directions * self._state)
        return self._directions * (first + (self.num_layers - 1) * others)

    def activation_count(self, shape: Shape) -> int:
        """Count the gates, the memory and the output of every step, layer and direction."""
        step = (self.gates + 1) * self.hidden_size + self._state
        return shape[0] * self.num_layers * self._directions * step

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Add `input_size`, and say that rows come first."""
        fields = self.model_dump(exclude={"type", "output"})
        return {"input_size": shape[-1], "batch_first": True, **fields}

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _state(self) -> int:
        """Give the numbers that a step hands on."""
        return self.hidden_size

    def _layer_count(self, inputs: int) -> int:
        return self.gates * self.hidden_size * (inputs + self._state + 2 * int(self.bias))


class RNN(_Recurrent):
    """The plain recurrent layer: `h = tanh(W x + U h)`."""

    gates = 1
    type: Literal["RNN"]
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """What bends the sums."""


class LSTM(_Recurrent):
    """The recurrent layer with a long memory and gates that keep, forget and give."""

    gates = 4
    type: Literal["LSTM"]
    proj_size: Extent = 0
    """Shrink what a step hands on to so many numbers, below hidden_size; 0 does not."""

    def output_shape(self, shape: Shape) -> Shape:
        """As for every recurrent layer, with `proj_size` features where it is set."""
        if self.proj_size >= self.hidden_size:
            raise ShapeError(
                f"proj_size {self.proj_size:,} is not below hidden_size {self.hidden_size:,}.",
                hint=f"Set proj_size to at most {self.hidden_size - 1:,}, or leave it out.",
                path=("proj_size",),
                code="incompatible_fields",
            )
        return super().output_shape(shape)

    @property
    def _state(self) -> int:
        return self.proj_size or self.hidden_size

    def _layer_count(self, inputs: int) -> int:
        return super()._layer_count(inputs) + self.proj_size * self.hidden_size


class GRU(_Recurrent):
    """The recurrent layer with two gates: lighter than LSTM."""

    gates = 3
    type: Literal["GRU"]


class TransformerEncoderLayer(Layer):
    """Self-attention over the sequence and two fully connected layers, each with a shortcut and LayerNorm."""

    type: Literal["TransformerEncoderLayer"]
    nhead: Size
    """Attention heads; divides the number of features."""
    dim_feedforward: Size = 2048
    """Width between the two fully connected layers."""
    dropout: UnitInterval = 0.1
    """Probability of leaving out, in three places."""
    activation: Literal["relu", "gelu"] = "relu"
    """What bends the numbers between the two fully connected layers."""
    layer_norm_eps: PositiveNumber = 1e-5
    """Added to the variance against division by zero."""
    norm_first: bool = False
    """Normalize before attention and the fully connected layers instead of after them."""
    bias: bool = True
    """Add trained numbers to the sums."""

    @property
    def draws(self) -> bool:
        """Whether there is dropout."""
        return self.dropout > 0

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape back, once its features can be divided among the heads."""
        require_axes(self.type, shape, 2, names=_SEQUENCE)
        if shape[1] % self.nhead:
            raise ShapeError(
                f"{self.nhead:,} heads do not divide the {shape[1]:,} features of rows of shape {shown(shape)}.",
                hint=f"Set nhead to {math.gcd(self.nhead, shape[1])}.",
                path=("nhead",),
            )
        return shape

    def parameter_count(self, shape: Shape) -> int:
        """Count four square matrices of attention, two of the fully connected layers, two norms, and biases."""
        features, width = shape[1], self.dim_feedforward
        matrices = 4 * features * features + 2 * features * width + 2 * features
        return matrices + int(self.bias) * (4 * features + width + features + 2 * features)

    def activation_count(self, shape: Shape) -> int:
        """Count the attention of every pair of steps for each head, and what each step passes through."""
        length, features = shape
        return length * (2 * self.nhead * length + 12 * features + 2 * self.dim_feedforward)

    def arguments(self, shape: Shape) -> dict[str, Any]:
        """Add `d_model`, and say that rows come first."""
        return {"d_model": shape[1], "batch_first": True, **super().arguments(shape)}
