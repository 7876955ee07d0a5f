"""All parameters of a network in one tensor, and their gradients in another."""

import math

import torch

__all__ = ["Flat"]

ALIGNMENT = 64
"""Bytes at whose multiples each parameter begins, as torch's own tensors do: products are fastest from there."""


class Flat:
    """Moves the parameters of a network into one tensor: what is changed there is changed in the network.

    Element-wise optimizers need one call for all parameters then. Between the parameters there are zeros with zero
    gradients, which no optimizer moves.

    Attributes:
        parameter: All parameters, shape (n,), with their gradients as its `grad`.
        places: Where each parameter of the network begins in it.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        """Move the parameters; all are trained, and of one number format."""
        parameters = list(network.parameters())
        like = parameters[0].detach()
        places, size = [], 0
        step = ALIGNMENT // like.element_size()
        for one in parameters:
            places.append(size)
            size += math.ceil(one.numel() / step) * step
        values, gradients = like.new_zeros(size), like.new_zeros(size)
        self._gradients: dict[torch.Tensor, torch.Tensor] = {}
        for place, one in zip(places, parameters, strict=True):
            own = values[place : place + one.numel()].view(one.shape)
            own.copy_(one.detach())
            one.data = own
            self._gradients[one] = gradients[place : place + one.numel()].view(one.shape)
        self.places = places
        self.parameter = torch.nn.Parameter(values)
        self.parameter.grad = gradients

    def gradient(self, parameter: torch.Tensor) -> torch.Tensor:
        """Give where the gradient of one parameter of the network is to be written, in its shape."""
        return self._gradients[parameter]
