"""The examples of the OpenAPI document, sent to a live service; and the examples of answers, held against their schemas."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.app import create_app
from service.settings import Settings
from tests.conftest import ROOT, Service
from tests.contract.calls import calls, faults, mismatches, send
from tests.contract.completeness import operations
from tests.contract.world import SETTINGS, Json, World

COMMITTED = json.loads((ROOT / "openapi.json").read_text("utf-8"))
LAST = ("resume_job",)
"""What ends a state that others need."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    service = Service(tmp_path_factory.mktemp("world") / "data", **SETTINGS)
    yield World(service)
    service.close()


def operation_ids() -> list[str]:
    found = [one["operationId"] for _, one in operations(COMMITTED)]
    return sorted(found, key=lambda name: name in LAST)


@pytest.mark.parametrize("operation_id", operation_ids())
def test_every_example_is_answered_as_documented(
    world: World, document: dict[str, Any], operation_id: str
) -> None:
    sent = list(calls(document, operation_id))
    assert sent
    found = [fault for call in sent for fault in faults(document, call, send(world, call))]
    world.settle()
    assert found == []
    assert "Traceback" not in world.service.log


def test_every_example_of_an_answer_fits_its_schema(document: dict[str, Any]) -> None:
    examples, seen = document["components"]["examples"], 0
    for call, operation in operations(document):
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    value = examples[example["$ref"].rsplit("/", 1)[1]]["value"]
                    assert mismatches(document, content["schema"], value) == [], (call, status)
                    seen += 1
    assert seen > 20


def test_examples_of_answers_have_the_fields_that_answers_have(
    world: World, document: dict[str, Any]
) -> None:
    """Else a new field of an answer would be missing in its example: `make answers` records them anew."""
    for status, path in (("200", f"/v1/jobs/{world.finished}"), ("200", "/v1/jobs"), ("200", "/readyz")):
        answered = world.service.client.get(path).json()
        content = document["paths"][path.replace(world.finished, "{job_id}")]["get"]["responses"][status]
        name = content["content"]["application/json"]["examples"]["answer"]["$ref"].rsplit("/", 1)[1]
        assert shape(document["components"]["examples"][name]["value"]) == shape(answered)


def shape(value: Json) -> Json:
    """The names of fields, and of those below them where they are the service's own."""
    if not isinstance(value, dict):
        return None
    return {
        name: shape(one) if name in {"progress", "result", "links"} else None for name, one in value.items()
    }
