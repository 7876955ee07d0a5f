"""Layers beyond torch's own: residual branches, bounds, and errors that help."""

import json
import time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from service.spec.layers import MAX_DEPTH, MAX_LAYERS, Layer, LayerSpec, ShapeError
from service.spec.models import ModelSpec, SequentialModel

ADAPTER: TypeAdapter[Layer] = TypeAdapter(LayerSpec)
MODELS: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def made(**fields: object) -> Layer:
    return ADAPTER.validate_json(json.dumps(fields))


def refused(body: str) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        MODELS.validate_json(body)
    return caught.value.errors()


CONV = {"type": "Conv2d", "out_channels": 8, "kernel_size": 3}


@pytest.mark.parametrize(
    ("branch", "shape", "names_both"),
    [
        ([{"type": "Linear", "out_features": 3}], (5,), ("[3]", "[5]")),
        ([CONV | {"padding": 1}], (1, 6, 6), ("[8, 6, 6]", "[1, 6, 6]")),
        ([CONV | {"padding": 1, "stride": 2}], (1, 7, 6), ("[8, 4, 3]", "[1, 7, 6]")),
        (
            [{"type": "Conv1d", "out_channels": 4, "kernel_size": 3, "stride": 3}],
            (2, 9),
            ("[4, 3]", "[2, 9]"),
        ),
        ([{"type": "LSTM", "hidden_size": 4, "output": "sequence"}], (7, 3), ("[7, 4]", "[7, 3]")),
    ],
)
def test_the_shortcut_of_the_hint_fits(
    branch: list[Any], shape: tuple[int, ...], names_both: tuple[str, str]
) -> None:
    with pytest.raises(ShapeError) as caught:
        made(type="residual", layers=branch).output_shape(shape)
    assert all(name in str(caught.value) for name in names_both)
    assert caught.value.path == ("shortcut",)
    shortcut = json.loads(caught.value.hint.removeprefix('Set "shortcut" to ').removesuffix("."))
    fixed = made(type="residual", layers=branch, shortcut=shortcut)
    assert fixed.output_shape(shape) != shape


def test_without_a_fitting_shortcut_the_hint_names_both_shapes() -> None:
    branch = [{"type": "Flatten"}, {"type": "Linear", "out_features": 3}]
    with pytest.raises(ShapeError) as caught:
        made(type="residual", layers=branch).output_shape((2, 4))
    assert "[2, 4] to [3]" in caught.value.hint


def test_an_error_within_branches_tells_its_place() -> None:
    inner = {"type": "residual", "layers": [{"type": "ReLU"}, CONV | {"groups": 3}]}
    with pytest.raises(ShapeError) as caught:
        made(type="residual", layers=[inner]).output_shape((4, 9, 9))
    assert caught.value.path == ("layers", 0, "layers", 1, "groups")


def test_the_hint_for_a_missing_axis_fits() -> None:
    for shape in [(28, 28), (784,)]:
        with pytest.raises(ShapeError) as caught:
            made(**CONV).output_shape(shape)
        layer = json.loads(caught.value.hint[caught.value.hint.index("{") : caught.value.hint.index("}") + 1])
        assert len(made(**layer).output_shape(shape)) == 3


def test_axes_that_mix_rows_are_refused() -> None:
    for layer in [made(type="Softmax", dim=0), made(type="Flatten", start_dim=0), made(type="GLU", dim=-2)]:
        with pytest.raises(ShapeError, match="holds the rows"):
            layer.output_shape((4,))


def nested(depth: int) -> dict[str, Any]:
    layer: dict[str, Any] = {"type": "ReLU"}
    for _ in range(depth):
        layer = {"type": "residual", "layers": [layer]}
    return layer


def test_branches_nest_to_their_bound_and_no_deeper() -> None:
    model = MODELS.validate_json(json.dumps({"type": "sequential", "layers": [nested(MAX_DEPTH)]}))
    assert model.parameter_count(inputs=(3,), outputs=3) == 0
    (error,) = refused(json.dumps({"type": "sequential", "layers": [nested(MAX_DEPTH + 1)]}))
    assert error["type"] == "limit_exceeded"
    assert error["ctx"]["hint"]


@pytest.mark.parametrize(
    "layers",
    [
        [{"type": "ReLU"}] * 100_000,
        [{"type": "residual", "layers": [{"type": "ReLU"}] * 1000}] * 100,
        [{"type": "residual", "layers": [{"type": "ReLU"}], "shortcut": [{"type": "ReLU"}] * MAX_LAYERS}],
    ],
    ids=["in one array", "in branches", "in a shortcut"],
)
def test_many_layers_are_refused_before_they_are_built(layers: list[Any]) -> None:
    body = json.dumps({"type": "sequential", "layers": layers})
    started = time.process_time()
    json.loads(body)
    parsing = time.process_time() - started
    started = time.process_time()
    (error,) = refused(body)
    # Reading the body, handing it to Python, and the error: a few times the parsing, whatever the machine.
    assert time.process_time() - started < 15 * parsing + 0.05
    assert error["type"] == "limit_exceeded"


def test_a_thousand_layers_are_accepted_in_no_time() -> None:
    layers = [{"type": "Linear", "out_features": 1_000_000_000}] * MAX_LAYERS
    started = time.process_time()
    model = MODELS.validate_json(json.dumps({"type": "sequential", "layers": layers}))
    count = model.parameter_count(inputs=(3,), outputs=1_000_000_000)
    assert time.process_time() - started < 0.5
    assert count == 4 * 10**9 + 999 * (10**9 + 1) * 10**9


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "Upsample", "scale_factor": 1_000_000.0},
        {"type": "ZeroPad2d", "padding": 1_000_000_000},
        {"type": "ConvTranspose2d", "out_channels": 10**9, "kernel_size": 10**9, "stride": 10**9},
    ],
)
def test_shapes_that_grow_without_end_are_refused(layer: dict[str, Any]) -> None:
    model = MODELS.validate_json(json.dumps({"type": "sequential", "layers": [layer] * MAX_LAYERS}))
    (problem,) = model.problems(inputs=(1, 8, 8), outputs=1)
    assert problem.code == "limit_exceeded"
    assert problem.pointer is not None
    assert problem.pointer.startswith("/layers/")


def test_a_wrong_layer_within_branches_is_pointed_at() -> None:
    layers = [{"type": "residual", "layers": [{"type": "Linear", "out_features": 0}, {"type": "Lineaer"}]}]
    errors = refused(json.dumps({"type": "sequential", "layers": layers}))
    assert [error["loc"] for error in errors] == [
        ("sequential", "layers", 0, "residual", "layers", 0, "Linear", "out_features"),
        ("sequential", "layers", 0, "residual", "layers", 1),
    ]


@pytest.mark.parametrize("kernel", ["3", 0, [3, 3, 3], [], [3, "3"], 3.5, True, None, {"a": 1}, -1])
def test_a_wrong_size_is_one_error_with_a_hint(kernel: object) -> None:
    with pytest.raises(ValidationError) as caught:
        made(**CONV | {"kernel_size": kernel})
    (error,) = caught.value.errors()
    assert error["loc"] == ("Conv2d", "kernel_size")
    assert error["ctx"]["hint"]


def test_a_model_of_python_objects_is_a_model_too() -> None:
    model = SequentialModel(type="sequential", layers=(made(type="Linear"),))
    assert model.output_shape(inputs=(4,), outputs=2) == (2,)
