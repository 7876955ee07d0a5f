"""The arithmetic of each layer against torch itself: shapes, parameters, defaults, and what torch refuses."""

import inspect
import json
import warnings
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.spec.layers import ACTIVATIONS, Layer, LayerSpec, Shape, ShapeError
from service.spec.layers.naming import members_by_name
from service.training import networks

LAYERS = members_by_name(LayerSpec)
ADAPTER: TypeAdapter[Layer] = TypeAdapter(LayerSpec)

Fields = dict[str, st.SearchStrategy[Any]]
few = st.integers(1, 4)
none_or_few = st.integers(0, 3)
yes_or_no = st.booleans()


def each(axes: int, one: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """One number for all axes, or one for each."""
    return one | st.lists(one, min_size=axes, max_size=axes)


def shapes(axes: int, largest: int = 7) -> st.SearchStrategy[Shape]:
    return st.tuples(*[st.integers(1, largest)] * axes)


def any_shape(least: int = 1, most: int = 4) -> st.SearchStrategy[Shape]:
    return st.integers(least, most).flatmap(lambda axes: shapes(axes, 4))


def convolution(axes: int) -> Fields:
    return {
        "out_channels": few,
        "kernel_size": each(axes, few),
        "stride": each(axes, st.integers(1, 3)),
        "dilation": each(axes, st.integers(1, 3)),
        "padding": each(axes, none_or_few) | st.sampled_from(["same", "valid"]),
        "groups": st.sampled_from([1, 1, 2, 3]),
        "bias": yes_or_no,
        "padding_mode": st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    }


def transposed(axes: int) -> Fields:
    fields = {
        **convolution(axes),
        "padding": each(axes, none_or_few),
        "output_padding": each(axes, none_or_few),
    }
    del fields["padding_mode"]
    return fields


def pool(axes: int, **more: st.SearchStrategy[Any]) -> Fields:
    return {
        "kernel_size": each(axes, few),
        "stride": st.none() | each(axes, st.integers(1, 5)),
        "padding": each(axes, st.integers(0, 2)),
        "ceil_mode": yes_or_no,
        **more,
    }


NORM: Fields = {"eps": st.floats(1e-6, 1.0), "affine": yes_or_no, "bias": yes_or_no}
RECURRENT: Fields = {
    "hidden_size": few,
    "num_layers": st.integers(1, 3),
    "bias": yes_or_no,
    "dropout": st.sampled_from([0.0, 0.5]),
    "bidirectional": yes_or_no,
    "output": st.sampled_from(["sequence", "last"]),
}
AXIS = st.integers(-6, 5)

CASES: dict[str, tuple[Fields, st.SearchStrategy[Shape]]] = {
    "Linear": ({"out_features": few, "bias": yes_or_no}, any_shape()),
    "Conv1d": (convolution(1), shapes(2)),
    "Conv2d": (convolution(2), shapes(3)),
    "Conv3d": (convolution(3), shapes(4, 4)),
    "ConvTranspose1d": (transposed(1), shapes(2)),
    "ConvTranspose2d": (transposed(2), shapes(3)),
    "MaxPool1d": (pool(1, dilation=each(1, st.integers(1, 3))), shapes(2)),
    "MaxPool2d": (pool(2, dilation=each(2, st.integers(1, 3))), shapes(3)),
    "AvgPool1d": (pool(1, count_include_pad=yes_or_no), shapes(2)),
    "AvgPool2d": (pool(2, count_include_pad=yes_or_no, divisor_override=st.none() | few), shapes(3)),
    "AdaptiveAvgPool1d": ({"output_size": each(1, few)}, shapes(2)),
    "AdaptiveAvgPool2d": ({"output_size": few | st.tuples(few | st.none(), few | st.none())}, shapes(3)),
    "AdaptiveMaxPool1d": ({"output_size": each(1, few)}, shapes(2)),
    "AdaptiveMaxPool2d": ({"output_size": few | st.tuples(few | st.none(), few | st.none())}, shapes(3)),
    "BatchNorm1d": ({**NORM, "momentum": st.none() | st.floats(0, 1)}, any_shape(1, 2)),
    "BatchNorm2d": ({**NORM, "track_running_stats": yes_or_no}, shapes(3)),
    "InstanceNorm1d": ({**NORM, "momentum": st.floats(0, 1)}, shapes(2, 3)),
    "InstanceNorm2d": ({**NORM, "track_running_stats": yes_or_no}, shapes(3, 3)),
    "LayerNorm": (
        {
            "normalized_shape": st.none() | few | st.lists(few, min_size=1, max_size=5),
            "elementwise_affine": yes_or_no,
            "bias": yes_or_no,
        },
        any_shape(),
    ),
    "GroupNorm": ({"num_groups": few, "affine": yes_or_no, "bias": yes_or_no}, any_shape()),
    "Dropout": ({"p": st.floats(0, 0.9)}, any_shape()),
    "AlphaDropout": ({"p": st.floats(0, 0.9)}, any_shape()),
    "Dropout1d": ({"p": st.floats(0, 0.9)}, shapes(2)),
    "Dropout2d": ({"p": st.floats(0, 0.9)}, shapes(3)),
    "Flatten": ({"start_dim": AXIS, "end_dim": AXIS}, any_shape()),
    "Unflatten": (
        {
            "dim": AXIS,
            "unflattened_size": st.lists(st.sampled_from([-1, 1, 2, 3, 4]), min_size=1, max_size=3),
        },
        any_shape(),
    ),
    "Upsample": (
        {
            "size": st.none() | few | st.lists(few, min_size=1, max_size=3),
            "scale_factor": st.none()
            | st.floats(0.1, 4)
            | st.lists(st.floats(0.1, 4), min_size=1, max_size=3),
            "mode": st.sampled_from(
                ["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"]
            ),
            "align_corners": st.none() | yes_or_no,
        },
        any_shape(2, 4),
    ),
    "ZeroPad2d": ({"padding": none_or_few | st.lists(none_or_few, min_size=4, max_size=4)}, any_shape(2)),
    "Embedding": (
        {
            "num_embeddings": few,
            "embedding_dim": few,
            "padding_idx": st.none() | st.integers(-6, 6),
            "max_norm": st.none() | st.floats(0.5, 2),
            "scale_grad_by_freq": yes_or_no,
        },
        any_shape(1, 3),
    ),
    "RNN": ({**RECURRENT, "nonlinearity": st.sampled_from(["tanh", "relu"])}, shapes(2)),
    "LSTM": ({**RECURRENT, "proj_size": none_or_few}, shapes(2)),
    "GRU": (RECURRENT, shapes(2)),
    "TransformerEncoderLayer": (
        {
            "nhead": few,
            "dim_feedforward": few,
            "activation": st.sampled_from(["relu", "gelu"]),
            "norm_first": yes_or_no,
            "bias": yes_or_no,
        },
        shapes(2),
    ),
    **{name: ({}, any_shape()) for name in ACTIVATIONS},
    "PReLU": ({"num_parameters": few, "init": st.floats(-1, 1)}, any_shape()),
    "RReLU": ({"lower": st.floats(0, 1), "upper": st.floats(0, 1)}, any_shape()),
    "Hardtanh": ({"min_val": st.floats(-2, 2), "max_val": st.floats(-2, 2)}, any_shape()),
    "Threshold": ({"threshold": st.floats(-2, 2), "value": st.floats(-2, 2)}, any_shape()),
    **{name: ({"dim": AXIS}, any_shape()) for name in ("Softmax", "LogSoftmax", "Softmin", "GLU")},
}
ROWS = {"BatchNorm1d": 2, "BatchNorm2d": 2, "LayerNorm": 5}
"""One row is the strictest for most; normalizing over the batch needs two, and torch's LayerNorm would take the
rows' axis for one of its own, were it of a size that is drawn here."""
AXIS_OF_ROWS_IS_OURS = {"Flatten", "Unflatten", "Softmax", "LogSoftmax", "Softmin", "GLU"}
"""Torch would mix rows along axis 0; the service refuses, which a test of its own shows."""


def made(fields: dict[str, Any]) -> Layer:
    return ADAPTER.validate_json(json.dumps(fields))


def arithmetic(layer: Layer, shape: Shape) -> tuple[Shape, int] | None:
    """What the layer says of itself, or None where it refuses the shape."""
    try:
        return layer.output_shape(shape), layer.parameter_count(shape)
    except ShapeError:
        return None


def reality(layer: Layer, shape: Shape) -> tuple[Shape, int] | None:
    """What torch does, or None where it refuses the shape or leaves nothing of it."""
    try:
        with warnings.catch_warnings():
            # Torch only warns where dropout has no effect; the arithmetic refuses that. Other warnings are of speed.
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "dropout option adds dropout")
            module = networks._module(layer, shape)
            output = module(torch.zeros(ROWS.get(layer.type, 1), *shape).requires_grad_())
    except (RuntimeError, ValueError, AssertionError, IndexError, NotImplementedError, UserWarning):
        return None
    if 0 in output.shape:  # A few layers of torch give nothing where the others refuse; ours all refuse.
        return None
    return tuple(output.shape[1:]), sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", sorted(CASES))
def test_shapes_and_parameters_are_torchs_and_what_torch_refuses_is_refused(name: str) -> None:
    fields, shape_of_rows = CASES[name]

    required = {
        key: fields.get(key) for key, field in LAYERS[name].model_fields.items() if field.is_required()
    }
    always = {**required, "type": st.just(name), **({"out_features": few} if name == "Linear" else {})}
    optional = {key: values for key, values in fields.items() if key not in always}

    @settings(max_examples=60, deadline=None)
    @given(st.fixed_dictionaries(always, optional=optional), shape_of_rows)
    def check(chosen: dict[str, Any], shape: Shape) -> None:
        layer = made(chosen)
        said = arithmetic(layer, shape)
        if said is None and layer.type in AXIS_OF_ROWS_IS_OURS and mixes_rows(chosen, shape):
            return
        assert said == reality(layer, shape), (layer, shape)

    check()


def mixes_rows(chosen: dict[str, Any], shape: Shape) -> bool:
    return bool({0, -len(shape) - 1} & {chosen.get(key) for key in ("dim", "start_dim", "end_dim")})


def test_every_layer_is_compared_with_torch() -> None:
    assert set(CASES) == set(LAYERS) - {"residual"}


NOT_THE_CALLERS = {
    # No effect on the numbers, or the service's business.
    *("self", "device", "dtype", "inplace", "batch_first"),
    # A second output, deprecated names, or what no optimizer of the service takes.
    *("return_indices", "min_value", "max_value", "sparse", "_weight", "_freeze", "recompute_scale_factor"),
    *("args", "kwargs"),
}
FROM_THE_INPUT = {"in_features", "in_channels", "num_features", "num_channels", "input_size", "d_model"}
DIFFERENT: dict[tuple[str, str], str] = {
    ("Linear", "out_features"): "the last one may leave it to the target",
    ("LayerNorm", "normalized_shape"): "the last axis, when left out",
    ("TransformerEncoderLayer", "activation"): "a name, where torch has the function of that name",
    ("ConvTranspose1d", "padding_mode"): "torch takes zeros only",
    ("ConvTranspose2d", "padding_mode"): "torch takes zeros only",
    ("RNN", "proj_size"): "torch has it for LSTM only",
    ("GRU", "proj_size"): "torch has it for LSTM only",
    ("Softmax", "dim"): "torch warns without one",
    ("LogSoftmax", "dim"): "torch warns without one",
    ("Softmin", "dim"): "torch warns without one",
}


def torch_parameters(name: str) -> dict[str, inspect.Parameter]:
    if name in {"RNN", "LSTM", "GRU"}:
        parameters = dict(inspect.signature(torch.nn.RNNBase.__init__).parameters)
        del parameters["mode"]
        return parameters
    constructor: Callable[..., None] = getattr(torch.nn, name).__init__
    return dict(inspect.signature(constructor).parameters)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"residual"}))
def test_parameters_and_defaults_are_torchs(name: str) -> None:
    theirs = {
        key: parameter.default
        for key, parameter in torch_parameters(name).items()
        if key not in NOT_THE_CALLERS | FROM_THE_INPUT and (name, key) not in DIFFERENT
    }
    ours = {
        key: inspect.Parameter.empty if field.is_required() else field.default
        for key, field in LAYERS[name].model_fields.items()
        if key != "type" and (name, key) not in DIFFERENT
    }
    assert {key: ours.get(key, "missing") for key in theirs} == theirs
    assert ours.keys() - theirs.keys() <= {"output", "nonlinearity"}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_every_field_is_described(name: str) -> None:
    schema = LAYERS[name].model_json_schema()
    schema = schema.get("$defs", {}).get("Residual", schema) if name == "residual" else schema
    undescribed = [
        key for key, field in schema["properties"].items() if key != "type" and "description" not in field
    ]
    assert undescribed == []
    assert schema["description"]


@pytest.mark.parametrize("name", [name for name in LAYERS if LAYERS[name].model_fields.keys() != {"type"}])
def test_a_layer_survives_the_way_through_json(name: str) -> None:
    fields, _ = CASES.get(name, ({}, None))

    @settings(max_examples=20, deadline=None)
    @given(st.fixed_dictionaries({"type": st.just(name), **fields}))
    def check(chosen: dict[str, Any]) -> None:
        layer = made(chosen)
        assert ADAPTER.validate_json(ADAPTER.dump_json(layer)) == layer

    if fields:
        check()


def test_the_unions_hold_each_layer_once() -> None:
    members = get_args(get_args(LayerSpec)[0])
    assert len(members) == len(LAYERS) == 62
