"""The part of the script that builds the network, layer by layer, with torch's own modules."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch

from service.exports.script.python import WIDTH, call, comment, literal
from service.spec.initializers import Init, Initializer
from service.spec.layers import Layer, Residual, Shape, stack
from service.spec.layers.sequences import GRU, LSTM, RNN
from service.spec.models import LayeredModel, ModelSpec
from service.training.embedding import network_of
from service.training.networks import NORMALIZATIONS, initializer_of
from service.training.preparation import Preparation

__all__ = ["ModelText", "model_text", "skeleton"]


class ModelText:
    """The text of a network.

    Attributes:
        classes: Definitions that torch lacks, each of several lines.
        lines: How the model is built.
    """

    def __init__(self, classes: Sequence[Sequence[str]], lines: Sequence[str]) -> None:
        self.classes = classes
        self.lines = lines


def skeleton(model: LayeredModel, preparation: Preparation) -> torch.nn.Module:
    """Build the network without its numbers: it has the names and shapes of the parameters."""
    with torch.device("meta"):
        return network_of(cast("ModelSpec", model), preparation)


def model_text(model: LayeredModel, preparation: Preparation, *, seed: int) -> ModelText:
    """Write a network that starts from the parameters from which the service's one started.

    Args:
        model: Of the spec.
        preparation: Of the inputs.
        seed: Of the initial parameters.
    """
    layers = model.expansion(inputs=preparation.shape, outputs=preparation.outputs)
    steps = list(stack.trace(stack.placed(layers), preparation.shape))
    written = [_written(step.layer, step.inputs) for step in steps]
    embedded = [one for one in preparation.inputs if one.is_embedded]
    lines = [
        *comment("The seed from which torch draws the initial parameters."),
        f"torch.manual_seed({seed})",
        *_assigned("network" if embedded else "model", written),
        *_initialized(model.init, skeleton(model, preparation), is_embedded=bool(embedded)),
        *_with_embeddings(preparation),
    ]
    if preparation.dtype == "float64":
        lines.append("model.double()  # Drawn in float32, as torch does, then converted.")
    return ModelText(_classes(layers, is_embedded=bool(embedded)), lines)


def _assigned(name: str, written: Sequence[list[str]]) -> list[str]:
    if len(written) == 1:
        return _beneath(f"{name} = ", written[0], "")
    return [f"{name} = nn.Sequential(", *_indented(written), ")"]


def _beneath(head: str, lines: Sequence[str], tail: str) -> list[str]:
    return [
        head + lines[0] + (tail if len(lines) == 1 else ""),
        *lines[1:-1],
        *([lines[-1] + tail] if len(lines) > 1 else []),
    ]


def _indented(written: Iterable[list[str]]) -> Iterator[str]:
    for lines in written:
        yield from (f"    {line}" for line in _beneath("", lines, ","))


def _written(layer: Layer, shape: Shape) -> list[str]:
    if isinstance(layer, Residual):
        parts = [_branch(part, shape) for part in (layer.layers, layer.shortcut)]
        return ["Residual(", *_indented(parts), ")"]
    name = f"nn.{layer.type}"
    if layer.type == "Embedding":
        name = "CodeEmbedding"
    if isinstance(layer, RNN | LSTM | GRU):
        name = _recurrent_name(layer)
        return [call(name, _recurrent_options, layer.arguments(shape))]
    return [call(name, getattr(torch.nn, layer.type), layer.arguments(shape))]


def _recurrent_options(  # noqa: PLR0913 - as many as torch's
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    nonlinearity: str = "tanh",
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> None:
    """Stand for the signature of torch's recurrent layers, which take anything and look at it later."""


def _branch(layers: Sequence[Layer], shape: Shape) -> list[str]:
    steps = list(stack.trace(stack.placed(layers), shape))
    if not steps:
        return ["nn.Sequential()"]
    return ["nn.Sequential(", *_indented([_written(step.layer, step.inputs) for step in steps]), ")"]


def _recurrent_name(layer: RNN | LSTM | GRU) -> str:
    return ("Every" if layer.output == "sequence" else "Last") + layer.type


# What torch does not have.


def _classes(layers: Sequence[Layer], *, is_embedded: bool) -> list[list[str]]:
    used = list(_all_of(layers))
    found: dict[str, list[str]] = {}
    for layer in used:
        if isinstance(layer, Residual):
            found["Residual"] = _RESIDUAL
        elif layer.type == "Embedding":
            found["CodeEmbedding"] = _CODE_EMBEDDING
        elif isinstance(layer, RNN | LSTM | GRU):
            found[_recurrent_name(layer)] = _recurrent(layer)
    if is_embedded:
        found["WithEmbeddings"] = _WITH_EMBEDDINGS
    return list(found.values())


def _all_of(layers: Iterable[Layer]) -> Iterator[Layer]:
    for layer in layers:
        yield layer
        if isinstance(layer, Residual):
            yield from _all_of(layer.inner)


_RESIDUAL = [
    "class Residual(nn.Module):",
    '    """Adds its input, through the shortcut, to the output of its branch."""',
    "",
    "    def __init__(self, branch, shortcut):",
    "        super().__init__()",
    "        self.branch, self.shortcut = branch, shortcut",
    "",
    "    def forward(self, x):",
    "        return self.branch(x) + self.shortcut(x)",
]
_CODE_EMBEDDING = [
    "class CodeEmbedding(nn.Embedding):",
    '    """Takes codes that come as floats, as all that is in x."""',
    "",
    "    def forward(self, codes):",
    "        return super().forward(codes.long())",
]
_WITH_EMBEDDINGS = [
    "class WithEmbeddings(nn.Module):",
    '    """Replaces the codes in some columns by learnt numbers, which come first."""',
    "",
    "    def __init__(self, embeddings, places, network):",
    "        super().__init__()",
    "        self.embeddings, self.network = nn.ModuleList(embeddings), network",
    "        self.places = places",
    "",
    "    def forward(self, x):",
    "        learnt = [table(x[:, place].long()) for table, place in zip(self.embeddings, self.places)]",
    "        others = [place for place in range(x.shape[1]) if place not in self.places]",
    "        return self.network(torch.cat([*learnt, x[:, others]], dim=1))",
]


def _recurrent(layer: RNN | LSTM | GRU) -> list[str]:
    head = [f"class {_recurrent_name(layer)}(nn.{layer.type}):"]
    if layer.output == "sequence":
        return [
            *head,
            '    """Gives the output of every step."""',
            "",
            "    def forward(self, x):",
            "        return super().forward(x)[0]",
        ]
    state = "(state, _)" if isinstance(layer, LSTM) else "state"
    return [
        *head,
        '    """Gives the memory at the end, of both directions where there are two."""',
        "",
        "    def forward(self, x):",
        f"        _, {state} = super().forward(x)",
        "        return torch.cat(tuple(state[-2 if self.bidirectional else -1:]), dim=-1)",
    ]


def _with_embeddings(preparation: Preparation) -> Iterator[str]:
    places, tables, place = [], [], 0
    for one in preparation.inputs:
        if one.is_embedded:
            places.append(place)
            tables.append(f"nn.Embedding({len(one.categories or ())}, {one.embedding_dim})")
            place += 1
        else:
            place += len(one.categories or ()) if one.kind == "category" else one.shape[0] if one.shape else 1
    if not tables:
        return
    yield f"embeddings = [{', '.join(tables)}]"
    yield f"model = WithEmbeddings(embeddings, {literal(places)}, network)"


# How the parameters start.


def _initialized(init: Init, network: torch.nn.Module, *, is_embedded: bool) -> Iterator[str]:
    if init.weight is None and init.bias is None:
        return
    inner = cast("torch.nn.Module", network.network) if is_embedded else network
    chosen = {path: _chosen(init, inner, path, one) for path, one in inner.named_parameters()}
    name = "network" if is_embedded else "model"
    yield from comment("Instead of torch's usual start:")
    yield f"for name, parameter in {name}.named_parameters():"
    word = "if"
    for what, initializer in (("weight", init.weight), ("bias", init.bias)):
        mine = [path for path, one in chosen.items() if one is initializer and initializer is not None]
        if initializer is None or not mine:
            continue
        yield f"    {word} {_condition(what, mine, inner, is_second=word == 'elif')}:"
        function = getattr(torch.nn.init, initializer.type)
        values = initializer.model_dump(exclude={"type"})
        yield f"        {call(f'nn.init.{initializer.type}', function, values, first=['parameter'])}"
        word = "elif"
    if word == "if":
        yield "    pass"
    for path, module in inner.named_modules():
        if (
            isinstance(module, torch.nn.Embedding)
            and module.padding_idx is not None
            and init.weight is not None
        ):
            yield "with torch.no_grad():"
            place = f'{name}.get_submodule("{path}")' if path else name
            yield f"    {place}.weight[{module.padding_idx}] = 0  # The code that stands for nothing."


def _chosen(
    init: Init, network: torch.nn.Module, path: str, parameter: torch.nn.Parameter
) -> Initializer | None:
    owner, _, name = path.rpartition(".")
    found = initializer_of(init, name, parameter)
    is_norm = isinstance(network.get_submodule(owner), NORMALIZATIONS)
    return None if found is None or is_norm or not found.fits(parameter.ndim) else found


def _condition(what: str, mine: Sequence[str], network: torch.nn.Module, *, is_second: bool) -> str:
    """Say which parameters are meant: by what they are, where that means the same, else by their names."""
    parameters = dict(network.named_parameters())
    weights = [path for path, one in parameters.items() if one.ndim > 1]
    biases = [path for path, one in parameters.items() if one.ndim == 1 and "bias" in path.rpartition(".")[2]]
    if what == "weight" and list(mine) == weights:
        return "parameter.ndim > 1"
    if what == "bias" and list(mine) == biases:
        return (
            '"bias" in name'
            if is_second or not weights or all("bias" not in one for one in weights)
            else 'parameter.ndim == 1 and "bias" in name'
        )
    text = f"name in {literal(list(mine))}"
    return (
        text
        if len(text) < WIDTH - 8
        else "name in [\n        " + ",\n        ".join(map(literal, mine)) + ",\n    ]"
    )
