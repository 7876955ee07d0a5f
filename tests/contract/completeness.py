"""What an operation of the OpenAPI document must say, and which operations do not say it."""

from collections.abc import Iterator
from typing import Any

Operation = dict[str, Any]

PROBLEM = "application/problem+json"
READABLE = ("application/json", "text/")

CHOSEN_IN_REQUEST = {
    "export_job": "the path names the format",
    "export_model": "the path names the format",
    "v2_infer": "the body says which outputs come as bytes",
    "v2_infer_version": "the body says which outputs come as bytes",
}
"""Operations whose answers have several forms of which the header Accept chooses none, and why: no form that it
names is refused."""


def operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    """Go through all operations, each with its name for people."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def missing(document: dict[str, Any]) -> list[str]:
    """List everything that is missing, as `GET /v1/jobs: summary`."""
    return [
        f"{call}: {what}" for call, operation in operations(document) for what in _missing(call, operation)
    ]


def _missing(call: str, operation: Operation) -> Iterator[str]:
    yield from (word for word in ("operationId", "summary", "description") if not operation.get(word))
    for parameter in operation.get("parameters", []):
        if not parameter.get("description"):
            yield f"description of {parameter['in']} {parameter['name']}"
        if parameter["in"] == "path" and not _shown(parameter):
            yield f"example of path {parameter['name']}"
    if not _has_example(operation):
        yield "example"
    yield from _missing_answers(operation)
    yield from (
        f"error {status}" for status in _errors(call, operation) if status not in operation["responses"]
    )


def _shown(described: dict[str, Any]) -> bool:
    return "example" in described or bool(described.get("examples"))


def _has_example(operation: Operation) -> bool:
    """Whether there is a body or an answer to look at, or at least parameters that name one."""
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    answers = [
        content
        for status, response in operation["responses"].items()
        if status < "400"
        for form, content in response.get("content", {}).items()
        if form.startswith(READABLE)
    ]
    paths = [one for one in operation.get("parameters", []) if one["in"] == "path"]
    return any(map(_shown, bodies)) or any(map(_shown, answers or paths))


def _missing_answers(operation: Operation) -> Iterator[str]:
    statuses = operation["responses"]
    if not any(status < "300" for status in statuses):
        yield "success"
    for status, response in statuses.items():
        if not response.get("description"):
            yield f"description of {status}"
        if status in {"204", "304"}:
            continue
        if not all("schema" in content for content in response.get("content", {}).values()) or (
            not response.get("content")
        ):
            yield f"schema of {status}"
        if status >= "400" and not {PROBLEM, "application/json"} & set(response.get("content", {})):
            yield f"problem of {status}"


def _errors(call: str, operation: Operation) -> Iterator[str]:
    """Tell which errors follow from what an operation takes and gives."""
    if "security" in operation or call.split()[1].startswith("/v1/"):
        yield from ("401", "403", "429")
    parameters = operation.get("parameters", [])
    if any(one["in"] == "path" and _is_free(one["schema"]) for one in parameters):
        yield "404"
    if any(_can_be_wrong(one["schema"]) for one in parameters if one["in"] != "path"):
        yield "422"
    if "requestBody" in operation:
        yield from ("413", "415", "422")
    forms = operation["responses"].get("200", {}).get("content", {})
    if len(forms) > 1 and operation["operationId"] not in CHOSEN_IN_REQUEST:
        yield "406"


def _is_free(schema: dict[str, Any]) -> bool:
    """Whether a parameter names something that may not be there; a choice refers to a schema of its own."""
    return "enum" not in schema and "$ref" not in schema


def _can_be_wrong(schema: dict[str, Any]) -> bool:
    """Whether some text is no value of a parameter."""
    parts = schema.get("anyOf", [schema])
    return any("enum" in part or part.get("type") in {"integer", "number", "boolean"} for part in parts)
