"""From a model to its network. Layers use torch's names, so torch itself is the table."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch

from service.exceptions import TrainingFailed
from service.spec.initializers import Init, Initializer
from service.spec.layers import Layer, Residual, Shape, stack
from service.spec.layers.sequences import GRU, LSTM, RNN
from service.spec.limits import Limits
from service.spec.models import LayeredModel, ModelSpec, PluginModel

__all__ = ["NORMALIZATIONS", "ResidualBranch", "build", "initializer_of"]


def build(
    model: ModelSpec,
    *,
    inputs: Shape,
    outputs: int | None,
    dtype: torch.dtype,
    max_parameters: int = Limits().max_parameters,
) -> torch.nn.Module:
    """Build a network with the initial parameters that torch's global generator gives it.

    They are drawn in float32 whatever `dtype` is, in the order of the layers, as `torch.nn.Sequential` written
    by hand would, then by the model's initializers, and at last converted: one seed starts both number formats
    from the same point. A model of one layer is that layer itself; several are a `torch.nn.Sequential`, and the
    names in its state dict begin with 0, 1, 2 and so on.

    Args:
        model: The model, without problems.
        inputs: Shape of what the network takes for one row.
        outputs: Numbers that it gives for one row, or None where the model itself says it.
        dtype: Number format of the parameters.
        max_parameters: How many trained numbers a plugin's network may have; it is the first to know.

    Raises:
        TrainingFailed: A plugin's network cannot be built, is too large, or gives something else than asked for.
        ShapeError: The layers do not fit, which `model.problems` would have told.
    """
    if isinstance(model, PluginModel):
        network = _plugged(model, inputs=inputs, outputs=outputs, max_parameters=max_parameters)
    else:
        network = _joined(_modules(model, inputs=inputs, outputs=outputs))
    _initialize(network, model.init)
    return network.to(dtype)


def _modules(model: LayeredModel, *, inputs: Shape, outputs: int | None) -> list[torch.nn.Module]:
    return _built(model.expansion(inputs=inputs, outputs=outputs), inputs)


def _built(layers: Iterable[Layer], inputs: Shape) -> list[torch.nn.Module]:
    return [_module(step.layer, step.inputs) for step in stack.trace(stack.placed(layers), inputs)]


def _joined(modules: list[torch.nn.Module]) -> torch.nn.Module:
    return modules[0] if len(modules) == 1 else torch.nn.Sequential(*modules)


def _module(layer: Layer, shape: Shape) -> torch.nn.Module:
    return _BUILDERS.get(layer.type, _from_torch)(layer, shape)


def _from_torch(layer: Layer, shape: Shape) -> torch.nn.Module:
    module: torch.nn.Module = getattr(torch.nn, layer.type)(**layer.arguments(shape))
    return module


class ResidualBranch(torch.nn.Module):
    """Adds its input, through the shortcut, to the output of its branch."""

    def __init__(self, branch: torch.nn.Module, shortcut: torch.nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Give `branch(values) + shortcut(values)`."""
        total: torch.Tensor = self.branch(values) + self.shortcut(values)
        return total


def _residual(layer: Layer, shape: Shape) -> torch.nn.Module:
    residual = cast("Residual", layer)
    branch = torch.nn.Sequential(*_built(residual.layers, shape))
    return ResidualBranch(branch, torch.nn.Sequential(*_built(residual.shortcut, shape)))


class _CodeEmbedding(torch.nn.Embedding):
    """Takes codes in whatever number format the rows have."""

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return super().forward(codes.long())


def _embedding(layer: Layer, shape: Shape) -> torch.nn.Module:
    return _CodeEmbedding(**layer.arguments(shape))


class _OneOutput(torch.nn.Module):
    """Chooses one of the outputs of torch's recurrent layers; mixed in before one of them, it keeps their names."""

    output: str

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Give the output of every step, or the last state of each direction beside each other."""
        steps, state = super().forward(values)
        if self.output == "sequence":
            return cast("torch.Tensor", steps)
        hidden = state[0] if isinstance(state, tuple) else state
        directions = 2 if self.bidirectional else 1
        return torch.cat(tuple(hidden[-directions:]), dim=-1)


class _RNN(_OneOutput, torch.nn.RNN):  # type: ignore[misc] # forward gives one tensor, not two
    pass


class _LSTM(_OneOutput, torch.nn.LSTM):  # type: ignore[misc] # forward gives one tensor, not two
    pass


class _GRU(_OneOutput, torch.nn.GRU):  # type: ignore[misc] # forward gives one tensor, not two
    pass


_RECURRENT: dict[str, Callable[..., _OneOutput]] = {"RNN": _RNN, "LSTM": _LSTM, "GRU": _GRU}


def _recurrent(layer: Layer, shape: Shape) -> torch.nn.Module:
    module = _RECURRENT[layer.type](**layer.arguments(shape))
    module.output = cast("RNN | LSTM | GRU", layer).output
    return module


_BUILDERS: dict[str, Callable[[Layer, Shape], torch.nn.Module]] = {
    "residual": _residual,
    "Embedding": _embedding,
    "RNN": _recurrent,
    "LSTM": _recurrent,
    "GRU": _recurrent,
}


def _plugged(
    model: PluginModel, *, inputs: Shape, outputs: int | None, max_parameters: int
) -> torch.nn.Module:
    """Build a plugin's network. Its code is foreign, so whatever it raises becomes the job's error."""
    try:
        network = _plugin_class(model)(inputs, outputs, **model.parameters)
        _require_few_parameters(model, network, max_parameters)
        given = _tried(network, inputs)
    except TrainingFailed:
        raise
    except Exception as error:
        message = f"The plugin model `{model.type}` could not be built: {type(error).__name__}: {error}"
        hint = "Check the model's parameters against the plugin's documentation, or ask who installed it."
        raise TrainingFailed("plugin_failed", message, hint) from error
    if outputs is not None and given != (outputs,):
        message = f"The plugin model `{model.type}` gives {list(given)} for a row, and [{outputs}] is needed."
        raise TrainingFailed("plugin_failed", message, "Its network must give one number for each output.")
    if model.output_activation is None:
        return network
    return torch.nn.Sequential(network, *_built([model.output_activation], given))


def _plugin_class(model: PluginModel) -> Callable[..., torch.nn.Module]:
    module, _, name = model.network.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise TypeError(f"{model.network} is no torch.nn.Module")
    return found


def _require_few_parameters(model: PluginModel, network: torch.nn.Module, limit: int) -> None:
    count = sum(parameter.numel() for parameter in network.parameters())
    if count > limit:
        message = f"The plugin model `{model.type}` has {count:,} parameters; the limit is {limit:,}."
        hint = (
            "Make it smaller, or ask the operator to raise the limit (GET /v1/capabilities tells all limits)."
        )
        raise TrainingFailed("limit_exceeded", message, hint)


def _tried(network: torch.nn.Module, inputs: Shape) -> Shape:
    """Send two rows of zeros through, and give the shape of one row's output. No random number is drawn."""
    training = network.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        given = network.eval()(torch.zeros(2, *inputs))
    network.train(training)
    return tuple(given.shape[1:])


NORMALIZATIONS = (
    torch.nn.BatchNorm1d,
    torch.nn.BatchNorm2d,
    torch.nn.BatchNorm3d,
    torch.nn.InstanceNorm1d,
    torch.nn.InstanceNorm2d,
    torch.nn.InstanceNorm3d,
    torch.nn.LayerNorm,
    torch.nn.GroupNorm,
)
"""Layers that start as torch starts them, whatever the model's `init` says."""


def _initialize(network: torch.nn.Module, init: Init) -> None:
    """Start the parameters as the model says, in their order; normalization layers keep torch's start."""
    for path, parameter in network.named_parameters():
        owner, _, name = path.rpartition(".")
        module = network.get_submodule(owner)
        initializer = initializer_of(init, name, parameter)
        if initializer is None or isinstance(module, NORMALIZATIONS) or not initializer.fits(parameter.ndim):
            continue
        function: Callable[..., Any] = getattr(torch.nn.init, initializer.type)
        function(parameter, **initializer.model_dump(exclude={"type"}))
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            with torch.no_grad():
                parameter[module.padding_idx] = 0  # The vector of the code that stands for nothing stays 0.


def initializer_of(init: Init, name: str, parameter: torch.nn.Parameter) -> Initializer | None:
    """Say what a model's `init` names for a parameter, by its own name and its axes; None where nothing is named."""
    if parameter.ndim > 1:
        return init.weight
    return init.bias if "bias" in name else None
