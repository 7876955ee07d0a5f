"""The catalog lists whatever a spec can name, with schemas that hold for their own defaults."""

from typing import Any, get_args

import jsonschema
import pytest

from service.spec import (
    augmentation,
    catalog,
    data,
    evaluation,
    initializers,
    layers,
    losses,
    models,
    optimizers,
    schedulers,
)
from service.spec.metrics import METRICS

UNIONS = {
    "data": data.DataSpec,
    "distributions": data.Distribution,
    "noise": data.Noise,
    "models": models.ModelSpec,
    "losses": losses.LossSpec,
    "optimizers": optimizers.OptimizerSpec,
    "layers": layers.LayerSpec,
    "initializers": initializers.AnyInitializer,
    "schedulers": schedulers.SchedulerSpec,
    "augmentation": augmentation.Augmentation,
    "splits": evaluation.Split,
}
SECTIONS = {"preprocessing", "regularization", "training", "evaluation"}
ENTRIES = [
    (kind, entry) for kind, entries in catalog.catalog().items() for entry in entries if kind != "metrics"
]
NAMES = [f"{kind}-{entry['name']}" for kind, entry in ENTRIES]


def described(entry: dict[str, Any]) -> dict[str, Any]:
    """The schema of an entry itself; one that can hold itself is found among its definitions."""
    schema: dict[str, Any] = entry["schema"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return {**schema["$defs"][name], "$defs": schema["$defs"]} if name else schema


def members_of(union: object) -> list[type]:
    inner = get_args(union)[0]
    return list(get_args(inner) or [inner])


@pytest.mark.parametrize("kind", UNIONS)
def test_every_member_of_every_union_is_listed(kind: str) -> None:
    tagged = [
        member.model_fields.get("type") or member.model_fields["distribution"]
        for member in members_of(UNIONS[kind])
    ]
    expected = [get_args(field.annotation)[0] for field in tagged]
    assert [entry["name"] for entry in catalog.catalog()[kind]] == expected


def test_nothing_else_is_listed_but_the_sections_and_the_metrics() -> None:
    assert catalog.catalog().keys() == UNIONS.keys() | SECTIONS | {"metrics"}
    assert {entry["name"] for entry in catalog.catalog()["metrics"]} == set(METRICS)


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=NAMES)
def test_every_entry_has_a_summary_and_a_valid_schema(kind: str, entry: dict[str, Any]) -> None:
    assert entry["summary"].endswith((".", "`."))
    jsonschema.Draft202012Validator.check_schema(entry["schema"])
    assert described(entry)["additionalProperties"] is False


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=NAMES)
def test_every_schema_holds_for_its_own_defaults(kind: str, entry: dict[str, Any]) -> None:
    schema = described(entry)
    for field in schema["properties"].values():
        if "default" in field:
            jsonschema.validate(field["default"], {**field, "$defs": schema.get("$defs", {})})


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_the_defaults_of_an_optimizer_are_torchs_own(name: str) -> None:
    import inspect

    import torch

    (schema,) = [entry["schema"] for entry in catalog.catalog()["optimizers"] if entry["name"] == name]
    signature = inspect.signature(getattr(torch.optim, name)).parameters
    ours = {field: about["default"] for field, about in schema["properties"].items() if "default" in about}
    theirs = {field: signature[field].default for field in ours}
    assert ours == {
        field: list(value) if isinstance(value, tuple) else value for field, value in theirs.items()
    }


@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"])
def test_the_defaults_of_a_loss_are_torchs_own(name: str) -> None:
    import inspect

    import torch

    (schema,) = [entry["schema"] for entry in catalog.catalog()["losses"] if entry["name"] == name]
    signature = inspect.signature(getattr(torch.nn, name)).parameters
    ours = {field: about["default"] for field, about in schema["properties"].items() if "default" in about}
    assert ours == {field: signature[field].default for field in ours}
