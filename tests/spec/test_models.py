"""Models: what they expand to, what they count, and what is wrong with them, by arithmetic."""

import itertools
import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sklearn.preprocessing import PolynomialFeatures

from service.spec.layers import ShapeError
from service.spec.models import LayeredModel, ModelSpec, PolynomialModel
from service.training import networks

MODELS: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def made(**fields: object) -> Any:  # noqa: ANN401 - any of the models; each test knows which
    return MODELS.validate_json(json.dumps(fields))


def types_of(model: LayeredModel, inputs: tuple[int, ...], outputs: int) -> list[str]:
    return [layer.type for layer in model.expansion(inputs=inputs, outputs=outputs)]


POOL = {"type": "MaxPool2d", "kernel_size": 2}
EXAMPLES: list[tuple[dict[str, Any], tuple[int, ...], int, list[str]]] = [
    ({"type": "linear"}, (3,), 2, ["Linear"]),
    ({"type": "linear", "bias": False}, (2, 3), 1, ["Flatten", "Linear"]),
    ({"type": "polynomial", "degree": 2}, (9,), 1, ["Linear"]),
    ({"type": "logistic", "output_activation": "Sigmoid"}, (3,), 1, ["Linear", "Sigmoid"]),
    ({"type": "softmax"}, (8, 8), 10, ["Flatten", "Linear"]),
    ({"type": "mlp", "hidden": [4, 5]}, (3,), 1, ["Linear", "ReLU", "Linear", "ReLU", "Linear"]),
    (
        {"type": "mlp", "hidden": [4], "normalization": "batch", "activation": "Tanh", "dropout": 0.5},
        (3,),
        1,
        ["Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear"],
    ),
    (
        {"type": "mlp", "hidden": [4], "normalization": "layer", "bias": False},
        (1, 2, 3),
        2,
        ["Flatten", "Linear", "LayerNorm", "ReLU", "Linear"],
    ),
    (
        {"type": "cnn", "blocks": [{"channels": 4, "pool": POOL}], "head": [6]},
        (8, 8),
        3,
        ["Unflatten", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear", "ReLU", "Linear"],
    ),
    (
        {
            "type": "cnn",
            "blocks": [
                {"channels": 4, "normalization": "batch", "dropout": 0.1, "activation": "GELU"},
                {"channels": 4, "stride": 2, "normalization": "layer"},
                {"channels": 6, "kernel_size": [3, 1], "padding": "same", "normalization": "instance"},
            ],
            "pooling": "average",
        },
        (3, 8, 8),
        3,
        [
            *("Conv2d", "BatchNorm2d", "GELU", "Dropout2d", "Conv2d", "GroupNorm", "ReLU"),
            *("Conv2d", "InstanceNorm2d", "ReLU", "AdaptiveAvgPool2d", "Flatten", "Linear"),
        ],
    ),
    (
        {
            "type": "cnn",
            "convolution": "Conv1d",
            "blocks": [{"channels": 4, "kernel_size": [5], "dropout": 0.2}],
        },
        (2, 9),
        1,
        ["Conv1d", "ReLU", "Dropout1d", "Flatten", "Linear"],
    ),
    (
        {"type": "cnn", "blocks": [{"channels": 4}]},
        (9,),
        1,
        ["Unflatten", "Conv1d", "ReLU", "Flatten", "Linear"],
    ),
    (
        {"type": "sequential", "layers": [{"type": "LSTM", "hidden_size": 4}, {"type": "Linear"}]},
        (7, 2),
        3,
        ["LSTM", "Linear"],
    ),
    ({"type": "sequential", "layers": [{"type": "Linear"}]}, (7,), 3, ["Linear"]),
]
IDS = [f"{index}-{fields['type']}" for index, (fields, *_) in enumerate(EXAMPLES)]


@pytest.mark.parametrize(("fields", "inputs", "outputs", "expected"), EXAMPLES, ids=IDS)
def test_a_model_expands_into_layers(
    fields: dict[str, Any], inputs: tuple[int, ...], outputs: int, expected: list[str]
) -> None:
    model = made(**fields)
    assert types_of(model, inputs, outputs) == expected
    assert model.problems(inputs=inputs, outputs=outputs) == []


@pytest.mark.parametrize(("fields", "inputs", "outputs", "expected"), EXAMPLES, ids=IDS)
def test_counts_and_shapes_are_those_of_the_network(
    fields: dict[str, Any], inputs: tuple[int, ...], outputs: int, expected: list[str]
) -> None:
    model = made(**fields)
    network = networks.build(model, inputs=inputs, outputs=outputs, dtype=torch.float32)
    assert sum(p.numel() for p in network.parameters()) == model.parameter_count(
        inputs=inputs, outputs=outputs
    )
    assert tuple(network(torch.zeros(2, *inputs)).shape) == (2, outputs)
    assert model.activation_count(inputs=inputs, outputs=outputs) >= outputs


@pytest.mark.parametrize(("fields", "inputs", "outputs", "expected"), EXAMPLES, ids=IDS)
def test_what_a_model_says_of_its_layers_is_so(
    fields: dict[str, Any], inputs: tuple[int, ...], outputs: int, expected: list[str]
) -> None:
    model = made(**fields)
    assert model.has_batch_norm == any(name.startswith("BatchNorm") for name in expected)
    assert model.has_dropout == any(name.startswith("Dropout") for name in expected)
    assert model.last_activation == (expected[-1] if expected[-1] == "Sigmoid" else None)


@pytest.mark.parametrize(("fields", "inputs", "outputs", "expected"), EXAMPLES, ids=IDS)
def test_the_effective_model_is_read_as_the_same(
    fields: dict[str, Any], inputs: tuple[int, ...], outputs: int, expected: list[str]
) -> None:
    model = made(**fields)
    assert MODELS.validate_json(MODELS.dump_json(model)) == model


WRONG: list[tuple[dict[str, Any], tuple[int, ...], int | None, str, str]] = [
    (
        {"type": "sequential", "layers": [{"type": "Linear", "out_features": 3}]},
        (2,),
        1,
        "/layers/0/out_features",
        "Set out_features to 1",
    ),
    (
        {"type": "sequential", "layers": [{"type": "Linear"}, {"type": "ReLU"}]},
        (2,),
        1,
        "/layers/0/out_features",
        "64",
    ),
    ({"type": "sequential", "layers": [{"type": "ReLU"}]}, (2, 3), 1, "/layers/0", "Flatten"),
    (
        {
            "type": "sequential",
            "layers": [{"type": "ReLU"}, {"type": "Conv2d", "out_channels": 2, "kernel_size": 9}],
        },
        (1, 8, 8),
        1,
        "/layers/1/kernel_size",
        "smaller",
    ),
    (
        {
            "type": "cnn",
            "blocks": [{"channels": 4, "pool": POOL}, {"channels": 4, "kernel_size": 9, "padding": 0}],
        },
        (8, 8),
        1,
        "/blocks/1/kernel_size",
        "smaller",
    ),
    (
        {"type": "cnn", "blocks": [{"channels": 4, "pool": POOL | {"kernel_size": 9}}]},
        (8, 8),
        1,
        "/blocks/0/pool/kernel_size",
        "smaller",
    ),
    (
        {"type": "cnn", "blocks": [{"channels": 4, "kernel_size": [3]}]},
        (8, 8),
        1,
        "/blocks/0/kernel_size",
        "2",
    ),
    (
        {"type": "cnn", "blocks": [{"channels": 4, "padding": "same", "stride": 2}]},
        (8, 8),
        1,
        "/blocks/0/padding",
        "half",
    ),
    ({"type": "cnn", "blocks": [{"channels": 4}]}, (1, 2, 3, 4), 1, "", "[channels, height, width]"),
    (
        {"type": "cnn", "convolution": "Conv1d", "blocks": [{"channels": 4}]},
        (1, 2, 3),
        1,
        "/convolution",
        "Conv1d",
    ),
    ({"type": "mlp", "hidden": [4]}, (2,), None, "/outputs", "sequential"),
    ({"type": "softmax"}, (2,), None, "/outputs", "sequential"),
    ({"type": "mlp", "hidden": [4], "outputs": 8}, (2,), 3, "/outputs", "Leave outputs out"),
    ({"type": "polynomial", "degree": 20}, (100_001,), 1, "/degree", "Lower the degree"),
    ({"type": "linear", "output_activation": {"type": "GLU"}}, (2,), 1, "/output_activation/dim", "even"),
    (
        {"type": "linear", "init": {"weight": {"type": "uniform_", "a": 1, "b": 0}}},
        (2,),
        1,
        "/init/weight/a",
        "Swap",
    ),
]


@pytest.mark.parametrize(("fields", "inputs", "outputs", "pointer", "hint"), WRONG)
def test_what_does_not_fit_is_pointed_at_with_a_hint(
    fields: dict[str, Any], inputs: tuple[int, ...], outputs: int | None, pointer: str, hint: str
) -> None:
    (problem,) = made(**fields).problems(inputs=inputs, outputs=outputs)
    assert problem.pointer == pointer
    assert hint in problem.hint
    assert problem.message


def test_models_that_say_their_outputs_fit_losses_that_do_not() -> None:
    model = made(type="mlp", hidden=[4], outputs=8)
    assert model.problems(inputs=(2,), outputs=None) == []
    assert model.output_shape(inputs=(2,), outputs=None) == (8,)
    steps = made(type="sequential", layers=[{"type": "Linear", "out_features": 5}])
    assert steps.problems(inputs=(7, 2), outputs=None) == []


@pytest.mark.parametrize(
    ("degree", "features", "interactions"), list(itertools.product((1, 2, 3, 5), (1, 2, 4), (True, False)))
)
def test_the_terms_are_counted_without_being_listed(degree: int, features: int, interactions: object) -> None:
    model = PolynomialModel(type="polynomial", degree=degree, interactions=bool(interactions))
    names = [f"x{index}" for index in range(features)]
    terms = model.terms(names)
    assert len(terms) == len(set(terms)) == model.term_count(features) == len(model.term_names(names))


@pytest.mark.parametrize(("degree", "features"), list(itertools.product((1, 2, 3, 4), (1, 2, 3))))
def test_the_terms_are_those_of_scikit_learn_in_its_order(degree: int, features: int) -> None:
    model = PolynomialModel(type="polynomial", degree=degree)
    reference = PolynomialFeatures(degree, include_bias=False).fit([[0.0] * features])
    assert model.terms(["x"] * features) == tuple(map(tuple, reference.powers_.tolist()))


def test_terms_are_named_as_people_write_them() -> None:
    model = PolynomialModel(type="polynomial", degree=3)
    assert model.term_names(["x", "z"]) == ("x", "z", "x^2", "x*z", "z^2", "x^3", "x^2*z", "x*z^2", "z^3")
    powers = PolynomialModel(type="polynomial", degree=3, interactions=False)
    assert powers.term_names(["x", "z"]) == ("x", "z", "x^2", "z^2", "x^3", "z^3")


def test_a_polynomial_of_too_many_terms_is_refused_before_it_is_listed() -> None:
    model = PolynomialModel(type="polynomial", degree=20)
    with pytest.raises(ShapeError, match="terms; the limit is 100,000"):
        model.terms([f"x{index}" for index in range(10_000)])


def test_an_activation_is_a_name_or_an_object() -> None:
    by_name, by_object = (made(type="mlp", hidden=[4], activation=one) for one in ("Tanh", {"type": "Tanh"}))
    assert by_name == by_object
    assert (
        made(
            type="mlp", hidden=[4], activation={"type": "LeakyReLU", "negative_slope": 0.2}
        ).activation.negative_slope
        == 0.2
    )


@pytest.mark.parametrize(
    ("name", "hint"), [("Relu", "`ReLU`"), ("Threshold", ""), ("Linear", ""), ("x" * 10_000, "")]
)
def test_a_wrong_activation_is_one_error_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        made(type="mlp", hidden=[4], activation=name)
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("unknown_name", ("mlp", "activation"))
    assert hint in error["ctx"]["hint"]
    assert error["ctx"]["hint"]
    assert len(error["msg"]) < 200


def test_an_earlier_job_is_named_by_its_id_or_with_what_to_freeze() -> None:
    assert made(type="linear").init_from_job is None
    assert made(type="linear", init_from="job_a").init_from_job == "job_a"
    model = made(type="linear", init_from={"job": "job_a", "freeze": ["0.*", "bias"], "strict": False})
    assert [model.start.freezes(name) for name in ("0.weight", "bias", "10.weight")] == [
        True,
        True,
        False,
    ]
    with pytest.raises(ValidationError, match="froze"):
        made(type="linear", init_from={"job": "job_a", "froze": []})


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([fields for fields, *_ in EXAMPLES]),
    st.lists(st.integers(1, 2**40), min_size=1, max_size=5).map(tuple),
    st.integers(1, 10**9) | st.none(),
)
def test_any_inputs_and_outputs_give_problems_or_counts_and_never_a_crash(
    fields: dict[str, Any], inputs: tuple[int, ...], outputs: int | None
) -> None:
    model = made(**fields)
    problems = model.problems(inputs=inputs, outputs=outputs)
    if not problems:
        assert model.parameter_count(inputs=inputs, outputs=outputs) >= 0
        assert model.activation_count(inputs=inputs, outputs=outputs) > 0
