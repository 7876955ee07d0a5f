"""The layers: each computes its outputs, and from the gradient of these that of its inputs and parameters.

What autograd does for any module is written out here for known ones, with torch's own kernels. A pass may change what
it is given in place, and may be asked for one gradient after each output.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import torch

from service.training.dense.flat import Flat

__all__ = ["KNOWN", "Pass", "is_pointwise", "layers_of", "passes_of", "pointwise"]

_aten: Any = torch.ops.aten
# The kernels take their flags by position.
_NO, _YES = False, True


class Pass(Protocol):
    """One layer of a network, or a part of one."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Compute the outputs of a batch; keep what the gradient needs."""
        ...

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Write the gradients of the parameters of this layer, and give that of its inputs."""
        ...


def passes_of(network: torch.nn.Module, flat: Flat) -> list[Pass]:
    """Take a network apart.

    Args:
        network: A layer of `KNOWN`, or a `torch.nn.Sequential` of such.
        flat: Where its parameters and their gradients are.
    """
    found: list[Pass] = []
    is_free = False
    for layer in layers_of(network):
        kind = type(layer).__name__
        # The rows are the caller's, and what an activation has given it still needs.
        if kind in _BY_OUTPUT and not is_free:
            found.append(_Copy())
        found.append((KNOWN if found else _FIRST)[kind](layer, flat))
        is_free = is_free if kind in _VIEWS else kind not in _BY_OUTPUT
    return found


def layers_of(network: torch.nn.Module) -> Iterable[torch.nn.Module]:
    """Give the layers of a network."""
    return network if isinstance(network, torch.nn.Sequential) else [network]


def is_pointwise(layer: torch.nn.Module) -> bool:
    """Tell whether a layer does the same with each number, whatever their shape, and draws none."""
    name = type(layer).__name__
    return name in {*_BY_OUTPUT, *_BY_INPUT, "Identity"} and getattr(torch.nn, name) is type(layer)


def pointwise(layer: torch.nn.Module, *, is_free: bool) -> list[Pass]:
    """Give the passes of such a layer.

    Args:
        layer: One for which `is_pointwise` holds.
        is_free: Whether it may change in place what it is given.
    """
    kind = type(layer).__name__
    if kind in _BY_OUTPUT:
        own = _Activation(layer)
        return [own] if is_free else [_Copy(), own]
    return [_ActivationOfInput(layer)] if kind in _BY_INPUT else []


class Buffers:
    """Tensors to write results into, one for each number of rows: an epoch has two at most."""

    def __init__(self, columns: int, like: torch.Tensor) -> None:
        self._columns, self._like = columns, like
        self._by_rows: dict[int, torch.Tensor] = {}

    def of(self, rows: int) -> torch.Tensor:
        """Give the tensor of shape (rows, columns)."""
        found = self._by_rows.get(rows)
        if found is None:
            found = self._by_rows[rows] = self._like.new_empty(rows, self._columns)
        return found


class _Copy:
    """Copies the rows, so that what follows may change them."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.clone()

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def _bias_of(layer: Any, flat: Flat) -> tuple[torch.Tensor | None, torch.Tensor | None]:  # noqa: ANN401 - a layer that may have one
    """Give the bias of a layer and its gradient, where it has one."""
    return (None, None) if layer.bias is None else (layer.bias.detach(), flat.gradient(layer.bias))


class _Linear:
    def __init__(self, layer: torch.nn.Linear, flat: Flat) -> None:
        self._weight = layer.weight.detach()
        self._turned = self._weight.t()
        self._weight_gradient = flat.gradient(layer.weight)
        self._bias, self._bias_gradient = _bias_of(layer, flat)
        self._outputs = Buffers(layer.out_features, self._weight)
        self._inputs = Buffers(layer.in_features, self._weight)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._values = values
        out = self._outputs.of(values.size(0))
        if self._bias is None:
            return torch.mm(values, self._turned, out=out)
        return torch.addmm(self._bias, values, self._turned, out=out)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        torch.mm(gradient.t(), self._values, out=self._weight_gradient)
        if self._bias_gradient is not None:
            torch.sum(gradient, 0, out=self._bias_gradient)
        return torch.mm(gradient, self._weight, out=self._inputs.of(gradient.size(0)))


class _FirstLinear(_Linear):
    """A first layer: nobody asks for the gradient of the rows."""

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        torch.mm(gradient.t(), self._values, out=self._weight_gradient)
        if self._bias_gradient is not None:
            torch.sum(gradient, 0, out=self._bias_gradient)
        return gradient


class _Flatten:
    def __init__(self, layer: torch.nn.Flatten, flat: Flat) -> None:  # noqa: ARG002 - the signature of every pass
        self._start, self._end = layer.start_dim, layer.end_dim

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._shape = values.shape
        return values.flatten(self._start, self._end)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.view(self._shape)


class _Identity:
    def __init__(self, layer: torch.nn.Module, flat: Flat) -> None:
        pass

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class _Activation:
    """A function of each number, whose slope follows from its output (kept in place) or from its input."""

    def __init__(self, layer: Any, flat: Flat | None = None) -> None:  # noqa: ANN401, ARG002 - any activation; the signature of every pass
        self._layer = layer
        self._apply, self._slope = _ACTIVATIONS[type(layer).__name__]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._kept = self._apply(values, self._layer)
        return self._kept

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        return self._slope(gradient, self._kept, self._layer)


class _ActivationOfInput(_Activation):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._kept = values
        return self._apply(values, self._layer)


Apply = Callable[[torch.Tensor, Any], torch.Tensor]
Slope = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]

_BY_OUTPUT: dict[str, tuple[Apply, Slope]] = {
    "ReLU": (
        lambda x, _: torch.relu_(x),
        lambda g, y, _: _aten.threshold_backward.grad_input(g, y, 0, grad_input=g),
    ),
    "Tanh": (lambda x, _: torch.tanh_(x), lambda g, y, _: _aten.tanh_backward.grad_input(g, y, grad_input=g)),
    "Sigmoid": (
        lambda x, _: torch.sigmoid_(x),
        lambda g, y, _: _aten.sigmoid_backward.grad_input(g, y, grad_input=g),
    ),
}
_BY_INPUT: dict[str, tuple[Apply, Slope]] = {
    "LeakyReLU": (
        lambda x, layer: _aten.leaky_relu(x, layer.negative_slope),
        lambda g, x, layer: _aten.leaky_relu_backward(g, x, layer.negative_slope, _NO),
    ),
    "ELU": (
        lambda x, layer: _aten.elu(x, layer.alpha),
        lambda g, x, layer: _aten.elu_backward(g, layer.alpha, 1, 1, _NO, x),
    ),
    "GELU": (
        lambda x, layer: _aten.gelu(x, approximate=layer.approximate),
        lambda g, x, layer: _aten.gelu_backward(g, x, approximate=layer.approximate),
    ),
    "SiLU": (lambda x, _: _aten.silu(x), lambda g, x, _: _aten.silu_backward(g, x)),
    "Softplus": (
        lambda x, layer: _aten.softplus(x, layer.beta, layer.threshold),
        lambda g, x, layer: _aten.softplus_backward(g, x, layer.beta, layer.threshold),
    ),
    "ReLU6": (lambda x, _: _aten.hardtanh(x, 0, 6), lambda g, x, _: _aten.hardtanh_backward(g, x, 0, 6)),
}
_ACTIVATIONS = _BY_OUTPUT | _BY_INPUT


class _Dropout:
    """Draws exactly what `torch.nn.Dropout` draws."""

    def __init__(self, layer: torch.nn.Dropout, flat: Flat) -> None:  # noqa: ARG002 - the signature of every pass
        self._kept = 1 - layer.p

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if self._kept == 1:
            return values
        self._noise = torch.empty_like(values)
        if self._kept == 0:
            self._noise.zero_()
        else:
            self._noise.bernoulli_(self._kept).div_(self._kept)
        return values * self._noise

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient if self._kept == 1 else gradient.mul_(self._noise)


class _Convolution:
    def __init__(self, layer: torch.nn.Conv1d | torch.nn.Conv2d, flat: Flat) -> None:
        self._layer = layer
        self._weight = layer.weight.detach()
        self._weight_gradient = flat.gradient(layer.weight)
        self._bias, self._bias_gradient = _bias_of(layer, flat)
        self._apply = torch.conv1d if isinstance(layer, torch.nn.Conv1d) else torch.conv2d
        self._is_first = False

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._values = values
        one = self._layer
        return self._apply(
            values, self._weight, self._bias, one.stride, one.padding, one.dilation, one.groups
        )

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        one = self._layer
        of_inputs: torch.Tensor
        of_inputs, of_weight, of_bias = _aten.convolution_backward(
            gradient,
            self._values,
            self._weight,
            None if self._bias is None else [one.out_channels],
            one.stride,
            one.padding,
            one.dilation,
            _NO,
            [0] * len(one.stride),
            one.groups,
            [not self._is_first, True, self._bias is not None],
        )
        self._weight_gradient.copy_(of_weight)
        if self._bias_gradient is not None:
            self._bias_gradient.copy_(of_bias)
        return gradient if self._is_first else of_inputs


class _FirstConvolution(_Convolution):
    """A first layer: nobody asks for the gradient of the rows."""

    def __init__(self, layer: torch.nn.Conv1d | torch.nn.Conv2d, flat: Flat) -> None:
        super().__init__(layer, flat)
        self._is_first = True


class _MaxPool2d:
    def __init__(self, layer: torch.nn.MaxPool2d, flat: Flat) -> None:  # noqa: ARG002 - the signature of every pass
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        self._how = [*map(_pair, sizes), layer.ceil_mode]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._values = values
        pooled: torch.Tensor
        pooled, self._places = _aten.max_pool2d_with_indices(values, *self._how)
        return pooled

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = _aten.max_pool2d_with_indices_backward(
            gradient, self._values, *self._how, self._places
        )
        return found


def _pair(size: int | tuple[int, ...]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


class _AvgPool2d:
    def __init__(self, layer: torch.nn.AvgPool2d, flat: Flat) -> None:  # noqa: ARG002 - the signature of every pass
        sizes = map(_pair, (layer.kernel_size, layer.stride, layer.padding))
        self._how = [*sizes, layer.ceil_mode, layer.count_include_pad, layer.divisor_override]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self._values = values
        pooled: torch.Tensor = _aten.avg_pool2d(values, *self._how)
        return pooled

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = _aten.avg_pool2d_backward(gradient, self._values, *self._how)
        return found


class _BatchNorm:
    def __init__(self, layer: Any, flat: Flat) -> None:  # noqa: ANN401 - of one or two dimensions
        self._layer = layer
        self._weight, self._bias = layer.weight.detach(), layer.bias.detach()
        self._weight_gradient, self._bias_gradient = flat.gradient(layer.weight), flat.gradient(layer.bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        one, self._values = self._layer, values
        one.num_batches_tracked.add_(1)
        outputs, self._mean, self._scale = torch.native_batch_norm(
            values, self._weight, self._bias, one.running_mean, one.running_var, _YES, one.momentum, one.eps
        )
        return outputs

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        one = self._layer
        of_inputs: torch.Tensor
        of_inputs, of_weight, of_bias = _aten.native_batch_norm_backward(
            gradient, self._values, self._weight, one.running_mean, one.running_var,
            self._mean, self._scale, _YES, one.eps, [_YES] * 3,
        )  # fmt: skip
        self._weight_gradient.copy_(of_weight)
        self._bias_gradient.copy_(of_bias)
        return of_inputs


KNOWN: Mapping[str, Callable[[Any, Flat], Pass]] = {
    "Linear": _Linear,
    "Flatten": _Flatten,
    "Identity": _Identity,
    "Dropout": _Dropout,
    "Conv1d": _Convolution,
    "Conv2d": _Convolution,
    "MaxPool2d": _MaxPool2d,
    "AvgPool2d": _AvgPool2d,
    "BatchNorm1d": _BatchNorm,
    "BatchNorm2d": _BatchNorm,
    **dict.fromkeys(_BY_OUTPUT, _Activation),
    **dict.fromkeys(_BY_INPUT, _ActivationOfInput),
}
"""By the name of torch's class, which is its only one: a plugin's layer of that name is not of that class."""

_FIRST: Mapping[str, Callable[[Any, Flat], Pass]] = {
    **KNOWN,
    "Linear": _FirstLinear,
    "Conv1d": _FirstConvolution,
    "Conv2d": _FirstConvolution,
}
_VIEWS = {"Flatten", "Identity"}
