"""The losses have torch's names, parameters and defaults, and refuse what torch fails on."""

import inspect
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from service.spec.losses import Loss, LossSpec

ADAPTER: TypeAdapter[LossSpec] = TypeAdapter(LossSpec)
CLASSES: tuple[type[Loss], ...] = get_args(get_args(LossSpec)[0])
NAMES = [one.__name__ for one in CLASSES]
LEFT_OUT = {"size_average", "reduce", "reduction"}


def loss(name: str, **fields: object) -> LossSpec:
    return ADAPTER.validate_python({"type": name, **fields})


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_defaults_are_torchs_own(name: str) -> None:
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    fields = type(loss(name)).model_fields
    assert fields.keys() - {"type"} == theirs.keys() - LEFT_OUT
    assert loss(name).model_dump(exclude={"type"}) == {
        field: theirs[field].default for field in fields if field != "type"
    }


@pytest.mark.parametrize("name", NAMES)
def test_torch_builds_each_from_its_arguments(name: str) -> None:
    module = getattr(torch.nn, name)(**loss(name).arguments())
    assert module.reduction == ("batchmean" if name == "KLDivLoss" else "mean")


def test_every_loss_of_torch_is_there_but_those_that_are_more_than_a_loss() -> None:
    theirs = {name for name in dir(torch.nn) if name.endswith("Loss")}
    # They hold parameters of their own, or need a Python function.
    assert theirs - set(NAMES) == {
        "AdaptiveLogSoftmaxWithLoss",
        "LinearCrossEntropyLoss",
        "TripletMarginWithDistanceLoss",
    }


@pytest.mark.parametrize(
    ("name", "target", "roles", "accepts", "outputs"),
    [
        ("MSELoss", "values", 0, "raw", 3),
        ("L1Loss", "values", 0, "raw", 3),
        ("SmoothL1Loss", "values", 0, "raw", 3),
        ("HuberLoss", "values", 0, "raw", 3),
        ("PoissonNLLLoss", "values", 0, "raw", 3),
        ("GaussianNLLLoss", "values", 0, "raw", 6),
        ("CrossEntropyLoss", "classes", 0, "raw", 5),
        ("NLLLoss", "classes", 0, "log_probabilities", 5),
        ("MultiMarginLoss", "classes", 0, "raw", 5),
        ("KLDivLoss", "distribution", 0, "log_probabilities", 3),
        ("BCELoss", "binary", 0, "probability", 3),
        ("BCEWithLogitsLoss", "binary", 0, "raw", 3),
        ("MultiLabelSoftMarginLoss", "binary", 0, "raw", 3),
        ("SoftMarginLoss", "signs", 0, "raw", 3),
        ("HingeEmbeddingLoss", "signs", 0, "positive", 3),
        ("MultiLabelMarginLoss", "label_indices", 0, "raw", 3),
        ("MarginRankingLoss", "signs", 2, "raw", 1),
        ("CosineEmbeddingLoss", "signs", 2, "raw", None),
        ("TripletMarginLoss", "none", 3, "raw", None),
        ("CTCLoss", "sequence", 0, "log_probabilities", None),
    ],
)
def test_each_says_what_it_takes(
    name: str, target: str, roles: int, accepts: str, outputs: int | None
) -> None:
    one = loss(name)
    assert (one.target, len(one.roles), one.accepts[0]) == (target, roles, accepts)
    assert one.outputs(targets=3, classes=5) == outputs


def test_a_poisson_loss_of_counts_takes_positive_numbers() -> None:
    assert "raw" not in loss("PoissonNLLLoss", log_input=False).accepts


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("HuberLoss", {"delta": 0.0}),
        ("SmoothL1Loss", {"beta": -1.0}),
        ("GaussianNLLLoss", {"eps": 0.0}),
        ("GaussianNLLLoss", {"eps": 1e39}),
        ("CrossEntropyLoss", {"label_smoothing": 1.1}),
        ("CrossEntropyLoss", {"ignore_index": 10**30}),
        ("CrossEntropyLoss", {"weight": ()}),
        ("CrossEntropyLoss", {"weight": (1.0, 0.0)}),
        ("NLLLoss", {"weight": (1.0, -1.0)}),
        ("MultiMarginLoss", {"p": 3}),
        ("MultiMarginLoss", {"margin": 1e39}),
        ("HingeEmbeddingLoss", {"margin": 1e39}),
        ("CosineEmbeddingLoss", {"margin": 2.0}),
        ("TripletMarginLoss", {"margin": 0.0}),
        ("CTCLoss", {"blank": -1}),
        ("MSELoss", {"reduction": "sum"}),
    ],
)
def test_what_torch_fails_on_is_refused(name: str, fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        loss(name, **fields)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_explained(name: str) -> None:
    schema = type(loss(name)).model_json_schema()
    assert all("description" in about for field, about in schema["properties"].items() if field != "type")


def test_weights_are_given_by_field() -> None:
    weighted = loss("BCEWithLogitsLoss", weight=(1.0,), pos_weight=(2.0,))
    assert weighted.weights() == {"weight": (1.0,), "pos_weight": (2.0,)}
    assert loss("MSELoss").weights() == {}


def test_json_lists_are_read_as_weights() -> None:
    read = ADAPTER.validate_json('{"type": "CrossEntropyLoss", "weight": [1, 2.5]}')
    assert read.weight == (1.0, 2.5)
    assert ADAPTER.validate_json('{"type": "MultiMarginLoss", "p": 2}').p == 2
