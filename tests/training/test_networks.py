"""Networks equal what anybody would write by hand in torch, from the same seed, to the last bit."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.spec.models import ModelSpec
from service.training import networks

MODELS: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def built(
    inputs: tuple[int, ...], outputs: int, dtype: torch.dtype = torch.float32, **fields: object
) -> nn.Module:
    model = MODELS.validate_json(json.dumps(fields))
    torch.manual_seed(7)
    return networks.build(model, inputs=inputs, outputs=outputs, dtype=dtype)


def by_hand(write: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(7)
    return write()


def assert_equal(ours: nn.Module, theirs: nn.Module, inputs: tuple[int, ...]) -> None:
    mine, reference = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(reference)
    for name, tensor in reference.items():
        assert torch.equal(mine[name], tensor), name
    rows = torch.randn(4, *inputs, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    given = ours(rows)
    torch.manual_seed(3)
    assert torch.equal(given, theirs(rows))


HAND_WRITTEN: dict[str, tuple[dict[str, Any], tuple[int, ...], int, Callable[[], nn.Module]]] = {
    "linear": ({"type": "linear"}, (3,), 1, lambda: nn.Linear(3, 1)),
    "linear without bias": ({"type": "linear", "bias": False}, (3,), 2, lambda: nn.Linear(3, 2, bias=False)),
    "polynomial": ({"type": "polynomial", "degree": 3}, (9,), 1, lambda: nn.Linear(9, 1)),
    "logistic": (
        {"type": "logistic", "output_activation": "Sigmoid"},
        (3,),
        1,
        lambda: nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()),
    ),
    "softmax": ({"type": "softmax"}, (8, 8), 10, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
    "mlp": (
        {"type": "mlp", "hidden": [16, 8], "activation": "Tanh"},
        (3,),
        1,
        lambda: nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1)),
    ),
    "mlp with everything": (
        {
            "type": "mlp",
            "hidden": [16],
            "activation": {"type": "LeakyReLU", "negative_slope": 0.2},
            "normalization": "batch",
            "dropout": 0.3,
            "bias": False,
        },
        (3,),
        2,
        lambda: nn.Sequential(
            nn.Linear(3, 16, bias=False),
            nn.BatchNorm1d(16),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(16, 2, bias=False),
        ),
    ),
    "cnn": (
        {
            "type": "cnn",
            "blocks": [
                {"channels": 4, "normalization": "batch", "pool": {"type": "MaxPool2d", "kernel_size": 2}},
                {"channels": 6, "kernel_size": 5, "stride": 2, "dropout": 0.2, "activation": "GELU"},
            ],
            "head": [12],
        },
        (8, 8),
        3,
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 8)),
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Dropout2d(0.2),
            nn.Flatten(),
            nn.Linear(24, 12),
            nn.ReLU(),
            nn.Linear(12, 3),
        ),
    ),
    "cnn over signals": (
        {
            "type": "cnn",
            "convolution": "Conv1d",
            "blocks": [{"channels": 4, "padding": "same", "normalization": "layer"}],
            "pooling": "average",
        },
        (2, 9),
        1,
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3, padding="same"),
            nn.GroupNorm(1, 4),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(4, 1),
        ),
    ),
    "sequential": (
        {
            "type": "sequential",
            "layers": [
                {"type": "Conv1d", "out_channels": 4, "kernel_size": 3},
                {"type": "PReLU", "num_parameters": 4},
                {"type": "TransformerEncoderLayer", "nhead": 1, "dim_feedforward": 8, "dropout": 0},
                {"type": "Flatten"},
                {"type": "Linear"},
            ],
        },
        (2, 7),
        3,
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3),
            nn.PReLU(4),
            nn.TransformerEncoderLayer(5, 1, 8, dropout=0.0, batch_first=True),
            nn.Flatten(),
            nn.Linear(20, 3),
        ),
    ),
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_a_network_equals_the_hand_written_one_to_the_last_bit(name: str) -> None:
    fields, inputs, outputs, write = HAND_WRITTEN[name]
    assert_equal(built(inputs, outputs, **fields), by_hand(write), inputs)


def test_one_layer_is_that_layer_itself() -> None:
    assert list(built((2,), 1, type="linear").state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("both_ways", [True, False])
def test_recurrent_layers_are_torchs_with_one_of_their_outputs(kind: str, *, both_ways: bool) -> None:
    layer = {"type": kind, "hidden_size": 4, "num_layers": 2, "bidirectional": both_ways}
    last = built((7, 3), 1, type="sequential", layers=[layer])
    steps = built((7, 3), 1, type="sequential", layers=[layer | {"output": "sequence"}])
    reference = by_hand(
        lambda: getattr(nn, kind)(3, 4, num_layers=2, bidirectional=both_ways, batch_first=True)
    )
    rows = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    every_step, state = reference(rows)
    hidden = state[0] if kind == "LSTM" else state

    assert list(last.state_dict()) == list(reference.state_dict())
    assert torch.equal(steps(rows), every_step)
    assert torch.equal(last(rows)[:, :4], hidden[-2] if both_ways else hidden[-1])
    if both_ways:
        assert torch.equal(last(rows), torch.cat([hidden[-2], hidden[-1]], dim=1))
    else:
        assert torch.equal(last(rows), every_step[:, -1])


def test_an_embedding_takes_codes_in_the_rows_number_format() -> None:
    network = built(
        (3,), 1, type="sequential", layers=[{"type": "Embedding", "num_embeddings": 5, "embedding_dim": 2}]
    )
    reference = by_hand(lambda: nn.Embedding(5, 2))
    assert torch.equal(network(torch.tensor([[0.0, 4.0, 2.0]])), reference(torch.tensor([[0, 4, 2]])))


def test_a_residual_layer_adds_its_input_through_the_shortcut() -> None:
    layer = {
        "type": "residual",
        "layers": [{"type": "Linear", "out_features": 4}, {"type": "ReLU"}],
        "shortcut": [{"type": "Linear", "out_features": 4, "bias": False}],
    }
    network = built((3,), 2, type="sequential", layers=[layer, {"type": "Linear"}])
    torch.manual_seed(7)
    branch, shortcut, end = nn.Linear(3, 4), nn.Linear(3, 4, bias=False), nn.Linear(4, 2)
    rows = torch.randn(5, 3)
    assert torch.equal(network(rows), end(torch.relu(branch(rows)) + shortcut(rows)))
    assert list(network.state_dict())[:3] == ["0.branch.0.weight", "0.branch.0.bias", "0.shortcut.0.weight"]


def test_without_a_shortcut_the_input_itself_is_added() -> None:
    network = built(
        (3,), 3, type="sequential", layers=[{"type": "residual", "layers": [{"type": "Identity"}]}]
    )
    rows = torch.randn(5, 3)
    assert torch.equal(network(rows), 2 * rows)


def test_one_seed_starts_both_number_formats_from_the_same_point() -> None:
    fields: dict[str, Any] = {"type": "mlp", "hidden": [4], "init": {"weight": "orthogonal_"}}
    single, double = (
        built((3,), 1, dtype, **fields).state_dict() for dtype in (torch.float32, torch.float64)
    )
    for name, tensor in single.items():
        assert double[name].dtype == torch.float64
        assert torch.equal(double[name], tensor.double())


def test_initializers_are_torchs_in_the_order_of_the_parameters() -> None:
    init = {"weight": {"type": "xavier_uniform_", "gain": 2}, "bias": "zeros_"}
    network = built((3,), 1, type="mlp", hidden=[8, 8], normalization="batch", init=init)

    def write() -> nn.Module:
        written = nn.Sequential(
            *(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU()),
            *(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()),
            nn.Linear(8, 1),
        )
        for module in written:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain=2)
                nn.init.zeros_(module.bias)
        return written

    assert_equal(network, by_hand(write), (3,))


WEIGHT_INITIALIZERS: list[dict[str, Any]] = [
    {"type": "uniform_", "a": -1, "b": 1},
    {"type": "normal_", "mean": 1, "std": 2},
    {"type": "trunc_normal_", "std": 0.5, "a": -1, "b": 1},
    {"type": "constant_", "val": 0.25},
    {"type": "zeros_"},
    {"type": "ones_"},
    {"type": "xavier_uniform_", "gain": 2},
    {"type": "xavier_normal_", "gain": 2},
    {"type": "kaiming_uniform_", "a": 0.1, "mode": "fan_out", "nonlinearity": "leaky_relu"},
    {"type": "kaiming_normal_", "nonlinearity": "relu"},
    {"type": "orthogonal_", "gain": 2},
    {"type": "sparse_", "sparsity": 0.5},
    {"type": "eye_"},
]


@pytest.mark.parametrize("initializer", WEIGHT_INITIALIZERS, ids=lambda one: str(one["type"]))
def test_each_initializer_is_torchs(initializer: dict[str, Any]) -> None:
    network = built((6,), 4, type="linear", init={"weight": initializer})
    torch.manual_seed(7)
    reference = nn.Linear(6, 4)
    parameters = {key: value for key, value in initializer.items() if key != "type"}
    getattr(nn.init, initializer["type"])(reference.weight, **parameters)
    assert torch.equal(network.get_parameter("weight"), reference.weight)
    assert torch.equal(network.get_parameter("bias"), reference.bias)


def test_initializers_leave_what_they_do_not_fit() -> None:
    block = {"channels": 4, "normalization": "batch", "padding": 1}
    fields: dict[str, Any] = {"type": "cnn", "blocks": [block]}
    plain = built((4, 5, 5), 2, **fields).state_dict()
    dirac = built((4, 5, 5), 2, **fields, init={"weight": "dirac_"}).state_dict()
    assert torch.equal(dirac["0.weight"], nn.init.dirac_(torch.empty(4, 4, 3, 3)))
    assert [name for name in plain if not torch.equal(plain[name], dirac[name])] == ["0.weight"]


def test_the_code_that_stands_for_nothing_stays_zero() -> None:
    layer = {"type": "Embedding", "num_embeddings": 5, "embedding_dim": 2, "padding_idx": 1}
    network = built((3,), 1, type="sequential", layers=[layer], init={"weight": "ones_"})
    assert network.get_parameter("weight").sum(dim=1).tolist() == [2, 0, 2, 2, 2]


@pytest.mark.parametrize("bias", ["xavier_uniform_", "eye_", {"type": "orthogonal_"}])
def test_initializers_that_need_two_axes_are_no_initializers_of_biases(bias: object) -> None:
    with pytest.raises(ValueError, match="bias"):
        built((3,), 1, type="linear", init={"bias": bias})
