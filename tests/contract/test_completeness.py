"""Every operation says all that a reader and a generator need; what is left out is found."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from service.app import create_app
from service.settings import Settings
from tests.contract.completeness import Operation, missing

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    return create_app(Settings()).openapi()


def test_every_operation_is_whole(document: Document) -> None:
    assert missing(document) == []


def no_summary(operation: Operation) -> None:
    del operation["summary"]


def no_description(operation: Operation) -> None:
    operation["description"] = ""


def no_id(operation: Operation) -> None:
    del operation["operationId"]


def no_example_of_a_body(operation: Operation) -> None:
    for content in operation["requestBody"]["content"].values():
        content.pop("examples", None)
    for status in ("200", "202"):
        operation["responses"][status]["content"]["application/json"].pop("examples", None)


def no_example_of_an_answer(operation: Operation) -> None:
    operation["responses"]["200"]["content"]["application/json"].pop("examples", None)


def no_example_of_a_path(operation: Operation) -> None:
    del operation["parameters"][0]["example"]


def no_words_for_a_parameter(operation: Operation) -> None:
    del operation["parameters"][0]["description"]


def no_words_for_an_answer(operation: Operation) -> None:
    operation["responses"]["200"]["description"] = ""


def no_schema_of_an_answer(operation: Operation) -> None:
    del operation["responses"]["200"]["content"]["application/json"]["schema"]


def no_success(operation: Operation) -> None:
    del operation["responses"]["204"]


def no_problem(operation: Operation) -> None:
    operation["responses"]["404"]["content"] = {"text/html": {"schema": {"type": "string"}}}


def without(status: str) -> Callable[[Operation], None]:
    def remove(operation: Operation) -> None:
        del operation["responses"][status]

    return remove


GAPS: list[tuple[str, Callable[[Operation], None], str]] = [
    ("GET /v1/jobs", no_summary, "summary"),
    ("GET /v1/jobs", no_description, "description"),
    ("GET /v1/jobs", no_id, "operationId"),
    ("POST /v1/jobs", no_example_of_a_body, "example"),
    ("GET /v1/jobs/{job_id}", no_example_of_an_answer, "example"),
    ("DELETE /v1/jobs/{job_id}", no_example_of_a_path, "example of path job_id"),
    ("GET /v1/jobs", no_words_for_a_parameter, "description of query limit"),
    ("GET /v1/jobs", no_words_for_an_answer, "description of 200"),
    ("GET /v1/jobs", no_schema_of_an_answer, "schema of 200"),
    ("DELETE /v1/jobs/{job_id}", no_success, "success"),
    ("GET /v1/jobs/{job_id}", no_problem, "problem of 404"),
    ("GET /v1/capabilities", without("401"), "error 401"),
    ("GET /v1/capabilities", without("403"), "error 403"),
    ("GET /v1/capabilities", without("429"), "error 429"),
    ("GET /v1/jobs/{job_id}", without("404"), "error 404"),
    ("GET /v1/jobs", without("422"), "error 422"),
    ("POST /v1/jobs", without("413"), "error 413"),
    ("POST /v1/jobs", without("415"), "error 415"),
    ("GET /v1/jobs/{job_id}/history", without("406"), "error 406"),
]


@pytest.mark.parametrize(("call", "damage", "what"), GAPS, ids=[f"{call} {what}" for call, _, what in GAPS])
def test_what_is_left_out_is_found(
    document: Document, call: str, damage: Callable[[Operation], None], what: str
) -> None:
    method, path = call.split()
    damaged = {
        **document,
        "paths": {path: {method.lower(): copy.deepcopy(document["paths"][path][method.lower()])}},
    }
    damage(damaged["paths"][path][method.lower()])
    assert f"{call}: {what}" in missing(damaged)
