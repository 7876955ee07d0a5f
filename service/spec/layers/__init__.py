"""The layers a model is made of: torch's names and parameters, with shapes and counts by arithmetic."""

from service.spec.layers.activations import ACTIVATIONS, Activation, ActivationSpec, AnyActivation
from service.spec.layers.base import Layer
from service.spec.layers.shapes import Path, Shape, ShapeError
from service.spec.layers.union import MAX_DEPTH, MAX_LAYERS, LayerArray, LayerSpec, Residual

__all__ = [
    "ACTIVATIONS",
    "MAX_DEPTH",
    "MAX_LAYERS",
    "Activation",
    "ActivationSpec",
    "AnyActivation",
    "Layer",
    "LayerArray",
    "LayerSpec",
    "Path",
    "Residual",
    "Shape",
    "ShapeError",
]
