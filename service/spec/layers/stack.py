"""Layers one after the other: shapes and counts, by arithmetic alone."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from service.spec.layers.base import Layer
from service.spec.layers.shapes import MAX_NUMBERS, Path, Shape, ShapeError

__all__ = ["Placed", "Step", "activation_count", "output_shape", "parameter_count", "placed", "trace"]

Placed = tuple[Path, Layer]
"""A layer and the place in the spec that it comes from."""


@dataclass(frozen=True, slots=True)
class Step:
    """One layer and the shapes of one row's value before and behind it."""

    layer: Layer
    inputs: Shape
    outputs: Shape


def placed(layers: Iterable[Layer], *above: str | int) -> Iterator[Placed]:
    """Give each layer its place in the array that `above` leads to."""
    return (((*above, index), layer) for index, layer in enumerate(layers))


def trace(layers: Iterable[Placed], shape: Shape) -> Iterator[Step]:
    """Follow the shape of one row's value from layer to layer.

    Raises:
        ShapeError: A layer cannot take what the one before it gives; with the place in the spec.
    """
    for path, layer in layers:
        try:
            outputs = layer.output_shape(shape)
            _require_numbers(outputs)
        except ShapeError as error:
            raise error.beneath(*path) from None
        yield Step(layer, shape, outputs)
        shape = outputs


def output_shape(layers: Iterable[Placed], shape: Shape) -> Shape:
    """Give the shape of one row's value behind the last layer.

    Raises:
        ShapeError: As `trace` does.
    """
    for step in trace(layers, shape):
        shape = step.outputs
    return shape


def parameter_count(layers: Iterable[Placed], shape: Shape) -> int:
    """Count the trained numbers of all layers.

    Raises:
        ShapeError: As `trace` does.
    """
    return sum(step.layer.parameter_count(step.inputs) for step in trace(layers, shape))


def activation_count(layers: Iterable[Placed], shape: Shape) -> int:
    """Count the numbers that one row's way through all layers leaves behind for the gradient.

    Raises:
        ShapeError: As `trace` does.
    """
    return sum(step.layer.activation_count(step.inputs) for step in trace(layers, shape))


def _require_numbers(shape: Shape) -> None:
    if math.prod(shape) > MAX_NUMBERS:
        raise ShapeError(
            "One row's value would hold more numbers than 64 bits can count.",
            hint="Make the layer smaller.",
            code="limit_exceeded",
        )
