"""The client's models are in step with the service's document, and take what a newer service says."""

import json
import types
import typing
from typing import Any

import pytest
from fitd_client import answers
from fitd_client.answers import registry

from tests.conftest import ROOT

SCHEMAS = json.loads((ROOT / "openapi.json").read_text("utf-8"))["components"]["schemas"]
NAMES = {"WhatIsWrong": "JobError", "Warned": "Advice"}
"""Models that have a better name here."""
AHEAD = {"Prediction": {"model", "version", "model_id", "checkpoint"}}
"""Fields that the client knows before the document has them."""
NO_SCHEMAS = {"Answer", "Page", "Event"} | ({*registry.__all__, "CheckpointPlace"} - set(SCHEMAS))
MODELS = {
    name: kind
    for name, kind in vars(answers).items()
    if isinstance(kind, type) and issubclass(kind, answers.Answer) and name not in NO_SCHEMAS
}


def _takes_none(annotation: Any) -> bool:  # noqa: ANN401 - of typing
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return any(_takes_none(one) for one in typing.get_args(annotation))
    return annotation is type(None) or annotation is Any


def _may_be_null(schema: dict[str, Any]) -> bool:
    options = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return any(option.get("type") == "null" for option in options)


@pytest.mark.parametrize("name", MODELS)
def test_the_fields_are_those_of_the_document(name: str) -> None:
    schema = SCHEMAS[NAMES.get(name, name)]
    fields = dict(MODELS[name].model_fields)
    if issubclass(MODELS[name], answers.Event):
        del fields["id"]  # It is that of the message.
    assert set(fields) - (AHEAD.get(name, set()) - set(schema["properties"])) == set(schema["properties"])
    for field, said in schema["properties"].items():
        if _may_be_null(said):
            assert _takes_none(fields[field].annotation), field
        if field not in schema.get("required", ()):
            assert not fields[field].is_required(), field


JOB = {
    "id": "job_a",
    "object": "job",
    "name": None,
    "status": "hibernating",
    "terminal": False,
    "stop_reason": None,
    "created_at": "2026-11-22T15:55:40Z",
    "started_at": None,
    "finished_at": None,
    "progress": {
        "epoch": 0,
        "epochs": 3,
        "fraction": 0.0,
        "seconds": 0.0,
        "eta_seconds": None,
        "train_loss": None,
        "dev_loss": None,
        "carbon_grams": 3,
    },
    "queue": None,
    "priority": 0,
    "attempt": 0,
    "transitions": [],
    "rerun_of": None,
    "sweep": None,
    "device": None,
    "engine": None,
    "seed": 0,
    "spec": {},
    "result": None,
    "error": None,
    "metadata": {},
    "links": {},
    "colour": "green",
}


def test_an_unknown_status_and_unknown_fields_break_nothing() -> None:
    job = answers.Job.model_validate(JOB)
    assert job.status == "hibernating"
    assert job.model_extra == {"colour": "green"}
    assert job.progress.model_extra == {"carbon_grams": 3}


def test_an_unknown_event_is_one_still() -> None:
    event = answers.event_of('{"type": "omen", "at": "2026-11-22T15:55:40Z", "bird": "owl"}', id="7")
    assert type(event) is answers.Event
    assert (event.id, event.model_extra) == ("7", {"bird": "owl"})
