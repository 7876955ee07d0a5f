"""Breaking changes of the contract: each kind is planted, and found; what breaks nobody is left alone."""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import __version__
from tests.conftest import ROOT
from tests.node import needs

sys.path.insert(0, str(ROOT / "contract"))

import breaks as contract

Document = dict[str, Any]
needs_tool = needs(contract.TOOL)


def committed() -> Document:
    document: Document = json.loads((ROOT / "openapi.json").read_text("utf-8"))
    return document


def schemas(document: Document) -> Document:
    found: Document = document["components"]["schemas"]
    return found


def operation(document: Document, call: str) -> Document:
    method, path = call.split()
    found: Document = document["paths"][path][method.lower()]
    return found


def parameter(document: Document, call: str, name: str) -> Document:
    return next(one for one in operation(document, call)["parameters"] if one["name"] == name)


def remove_path(document: Document) -> None:
    del document["paths"]["/v1/jobs/{job_id}/predict"]


def remove_method(document: Document) -> None:
    del document["paths"]["/v1/sweeps/{sweep_id}"]["delete"]


def rename_operation(document: Document) -> None:
    operation(document, "GET /v1/capabilities")["operationId"] = "capabilities"


def ask_for_a_key(document: Document) -> None:
    operation(document, "GET /healthz")["security"] = [{"key": []}]
    document["components"]["securitySchemes"]["key"] = {"type": "http", "scheme": "bearer"}


def require_parameter(document: Document) -> None:
    project = {"name": "project", "in": "query", "required": True, "schema": {"type": "string"}}
    operation(document, "GET /v1/datasets")["parameters"].append(project)


def remove_parameter(document: Document) -> None:
    call = "GET /v1/sweeps"
    operation(document, call)["parameters"].remove(parameter(document, call, "name"))


def narrow_parameter(document: Document) -> None:
    parameter(document, "GET /v1/jobs", "limit")["schema"]["maximum"] = 50


def require_field(document: Document) -> None:
    spec = schemas(document)["SweepSpec"]
    spec["properties"]["owner"] = {"type": "string"}
    spec["required"].append("owner")


def remove_field_of_a_variant(document: Document) -> None:
    del schemas(document)["SGD"]["properties"]["momentum"]


def narrow_field_of_a_variant(document: Document) -> None:
    schemas(document)["RMSprop"]["properties"]["lr"]["maximum"] = 1


def change_type_of_a_field(document: Document) -> None:
    schemas(document)["MLPModel"]["properties"]["hidden"] = {"type": "integer"}


def remove_a_variant(document: Document) -> None:
    loss = schemas(document)["JobSpec"]["properties"]["loss"]
    loss["oneOf"].remove({"$ref": "#/components/schemas/HuberLoss"})
    del loss["discriminator"]["mapping"]["HuberLoss"]


def remove_a_value_of_a_field(document: Document) -> None:
    schemas(document)["TrainingSpec"]["properties"]["dtype"]["enum"].remove("float64")


def remove_content_type(document: Document) -> None:
    del operation(document, "POST /v1/datasets")["requestBody"]["content"]["application/x-npz"]


def remove_answered_field(document: Document) -> None:
    job = schemas(document)["Job"]
    del job["properties"]["device"]
    job["required"].remove("device")


def answer_a_field_sometimes(document: Document) -> None:
    schemas(document)["PartRows"]["required"].remove("dev")


def answer_null(document: Document) -> None:
    epoch = schemas(document)["Progress"]["properties"]["epoch"]
    schemas(document)["Progress"]["properties"]["epoch"] = {"anyOf": [epoch, {"type": "null"}]}


def answer_another_type(document: Document) -> None:
    schemas(document)["Queue"]["properties"]["jobs_ahead"] = {"type": "string"}


def answer_a_new_status(document: Document) -> None:
    schemas(document)["Status"]["enum"].append("napping")


def answer_another_success(document: Document) -> None:
    responses = operation(document, "DELETE /v1/jobs/{job_id}")["responses"]
    responses["200"] = responses.pop("204")


def remove_answered_form(document: Document) -> None:
    del operation(document, "GET /v1/jobs/{job_id}/history")["responses"]["200"]["content"]["text/csv"]


PLANTS: list[tuple[Callable[[Document], None], str, str, str]] = [
    (remove_path, "POST /v1/jobs/{job_id}/predict", "api-path-removed-without-deprecation", ""),
    (remove_method, "DELETE /v1/sweeps/{sweep_id}", "api-removed-without-deprecation", ""),
    (rename_operation, "GET /v1/capabilities", "api-operation-id-removed", "get_capabilities"),
    (ask_for_a_key, "GET /healthz", "api-security-added", "key"),
    (require_parameter, "GET /v1/datasets", "new-required-request-parameter", "`project`"),
    (remove_parameter, "GET /v1/sweeps", "request-parameter-removed", "`name`"),
    (narrow_parameter, "GET /v1/jobs", "request-parameter-max-decreased", "`limit`"),
    (require_field, "POST /v1/sweeps", "new-required-request-property", "`owner`"),
    (remove_field_of_a_variant, "POST /v1/jobs", "request-property-removed", "momentum"),
    (narrow_field_of_a_variant, "POST /v1/jobs", "request-property-max-set", "RMSprop"),
    (change_type_of_a_field, "POST /v1/jobs", "request-property-type-changed", "hidden"),
    (remove_a_variant, "POST /v1/jobs", "request-property-one-of-removed", "HuberLoss"),
    (remove_a_value_of_a_field, "POST /v1/jobs", "request-property-enum-value-removed", "float64"),
    (remove_content_type, "POST /v1/datasets", "request-body-media-type-removed", "npz"),
    (remove_answered_field, "GET /v1/jobs/{job_id}", "response-required-property-removed", "`device`"),
    (answer_a_field_sometimes, "GET /v1/jobs/{job_id}", "response-property-became-optional", "dev"),
    (answer_null, "GET /v1/jobs/{job_id}", "response-property-list-of-types-widened", "epoch"),
    (answer_another_type, "GET /v1/jobs/{job_id}", "response-property-type-changed", "jobs_ahead"),
    (answer_a_new_status, "GET /v1/jobs/{job_id}", "response-property-enum-value-added", "`napping`"),
    (answer_another_success, "DELETE /v1/jobs/{job_id}", "response-success-status-removed", "`204`"),
    (remove_answered_form, "GET /v1/jobs/{job_id}/history", "response-media-type-removed", "text/csv"),
]


@pytest.fixture(scope="module")
def found() -> list[contract.Break]:
    """All plants at once, each at a place of its own: the tool reads two documents in a second, not in twenty."""
    changed = committed()
    for plant, *_ in PLANTS:
        plant(changed)
    return contract.breaks(committed(), changed)


@needs_tool
@pytest.mark.parametrize(
    ("call", "kind", "word"), [row[1:] for row in PLANTS], ids=[row[0].__name__ for row in PLANTS]
)
def test_a_break_is_found(found: list[contract.Break], call: str, kind: str, word: str) -> None:
    there = [one for one in found if one.call == call and one.kind == kind]
    assert any(word in one.text for one in there), "\n".join(str(one) for one in found if one.call == call)


@needs_tool
def test_what_breaks_nobody_is_left_alone() -> None:
    changed = committed()
    made = schemas(changed)
    made["Lion"] = copy.deepcopy(made["SGD"])
    made["Lion"]["properties"]["type"]["const"] = "Lion"
    for name in ("JobSpec", "EffectiveSpec"):
        optimizer = made[name]["properties"]["optimizer"]
        optimizer["oneOf"].append({"$ref": "#/components/schemas/Lion"})
        optimizer["discriminator"]["mapping"]["Lion"] = "#/components/schemas/Lion"
        made[name]["properties"]["owner"] = {"type": "string", "default": ""}
    made["Job"]["properties"]["owner"] = {"type": "string"}
    made["Job"]["required"].append("owner")
    made["Status"]["description"] = "Where the job stands."
    parameter(changed, "GET /v1/jobs", "limit")["schema"]["maximum"] = 1000
    project = {"name": "project", "in": "query", "schema": {"type": "string"}}
    operation(changed, "GET /v1/datasets")["parameters"].append(project)
    changed["paths"]["/v1/news"] = {"get": {**operation(changed, "GET /healthz"), "operationId": "news"}}
    assert contract.breaks(committed(), changed) == []


@needs_tool
def test_the_contract_breaks_nobody_but_by_decision() -> None:
    undecided, idle = contract.judged(contract.breaks(baseline(), committed()), contract.accepted_breaks())
    assert undecided == []
    assert idle == []


@needs_tool
def test_the_command_tells_breaks_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = committed()
    remove_answered_form(changed)
    (tmp_path / "new.json").write_text(json.dumps(changed), "utf-8")
    old = ROOT / "openapi.json"
    assert contract.main(["--old", str(old), "--new", str(old)]) == 0
    capsys.readouterr()
    assert contract.main(["--old", str(old), "--new", str(tmp_path / "new.json")]) == 1
    assert "GET /v1/jobs/{job_id}/history  response-media-type-removed" in capsys.readouterr().out


def test_a_decision_covers_what_it_says_and_is_told_when_idle() -> None:
    one = contract.Break("GET /v1/jobs", "removed", "removed `seed`")
    other = contract.Break("GET /v1/jobs/{job_id}", "removed", "removed `name`")
    decision = contract.Accepted("GET /v1/jobs*", "removed", "*`seed`", "It is in the spec.")
    assert contract.judged([one, other], [decision]) == ([other], [])
    assert contract.judged([], [decision]) == ([], [decision])


def baseline() -> Document:
    document: Document = json.loads((ROOT / "contract" / "baseline.json").read_text("utf-8"))
    return document


def test_after_the_first_release_only_a_new_major_version_may_break() -> None:
    released, now = (version.split(".")[0] for version in (baseline()["info"]["version"], __version__))
    if released != "0" and released == now:
        assert contract.accepted_breaks() == []
    for decision in contract.accepted_breaks():
        assert decision.why.strip()
