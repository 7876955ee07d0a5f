"""Requests as the OpenAPI document shows them, and what it says about their answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from service.exports.formats import FORMATS
from tests.contract.completeness import operations
from tests.contract.world import Json, World

Document = dict[str, Any]

SLOW_FORMS = ("application/onnx", "application/vnd.pytorch.pt2")
"""Made in seconds each, by a process of its own: tests/service/test_exports.py asks for them."""
_FORMAT_OF = {form.media_type: str(name) for name, form in FORMATS.items()}
"""Of an export the path names the form, and not the header Accept."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an operation: an example of its body, and a form of its answer."""

    operation_id: str
    method: str
    path: str
    parameters: tuple[dict[str, Any], ...]
    content_type: str | None
    body: Any
    accept: str
    label: str


def calls(document: Document, operation_id: str) -> Iterator[Call]:
    """Go through the examples of an operation's body, each with all forms of its answer."""
    name, operation = next(
        (name, one) for name, one in operations(document) if one["operationId"] == operation_id
    )
    method, path = name.split()
    parameters = tuple(operation.get("parameters", ()))
    for content_type, label, body in _bodies(operation):
        for accept in _forms(operation):
            text = f"{label} as {accept}"
            yield Call(operation_id, method, path, parameters, content_type, body, accept, text)


def _bodies(operation: dict[str, Any]) -> Iterator[tuple[str | None, str, Any]]:
    shown = 0
    for form, content in operation.get("requestBody", {}).get("content", {}).items():
        examples = {name: one["value"] for name, one in content.get("examples", {}).items()}
        if "example" in content:
            examples["example"] = content["example"]
        for name, value in examples.items():
            shown += 1
            yield form, name, value
    if not shown or not operation["requestBody"].get("required"):
        yield None, "no body", None


def _forms(operation: dict[str, Any]) -> list[str]:
    found = (
        form
        for status, response in operation["responses"].items()
        if status < "300"
        for form in response.get("content", {})
        if form not in SLOW_FORMS
    )
    return list(dict.fromkeys(found)) or ["*/*"]


def send(world: World, call: Call, **headers: str) -> httpx2.Response:
    """Send a call to the world's service, with things that exist in the place of those that an example names."""
    in_path = [one for one in call.parameters if one["in"] == "path"]
    known = {
        "format": _FORMAT_OF.get(call.accept),
        **world.paths(call.operation_id, [one["name"] for one in in_path]),
    }
    path = call.path.format(**{one["name"]: known.get(one["name"], one.get("example")) for one in in_path})
    query = {
        one["name"]: one["example"] for one in call.parameters if one["in"] == "query" and "example" in one
    }
    body = world.mentioned(call.body)
    content = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    sent = {"Accept": call.accept, **headers} | (
        {"Content-Type": call.content_type} if call.content_type else {}
    )
    return world.service.client.request(
        call.method, path, params=query, content=content, headers=sent, timeout=60
    )


def faults(document: Document, call: Call, answer: httpx2.Response) -> list[str]:
    """Tell where an answer is not what the document says."""
    responses = dict(operations(document))[f"{call.method} {call.path}"]["responses"]
    if answer.status_code >= 300 or str(answer.status_code) not in responses:
        return [f"{call.label}: {answer.status_code} {answer.text[:500]}"]
    contents = responses[str(answer.status_code)].get("content", {})
    if not contents:
        return [f"{call.label}: a body"] if answer.content else []
    form = answer.headers["Content-Type"].split(";")[0]
    if form not in contents:
        return [f"{call.label}: {form}"]
    if form != "application/json":
        return [] if answer.content else [f"{call.label}: empty"]
    return [f"{call.label}: {one}" for one in mismatches(document, contents[form]["schema"], answer.json())]


def mismatches(document: Document, schema: dict[str, Any], value: Json) -> list[str]:
    """Tell where a value does not fit a schema of the document."""
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]
