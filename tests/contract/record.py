"""Record the examples of answers from a live service: `make answers` writes service/api/answers.json."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from service.app import create_app
from service.settings import Settings
from tests.conftest import ROOT, Service
from tests.contract.calls import Call, Document, calls, mismatches, send
from tests.contract.completeness import operations
from tests.contract.test_examples import LAST
from tests.contract.world import SETTINGS, Json, World

TARGET = ROOT / "service" / "api" / "answers.json"
LINES = ("text/csv", "text/plain", "text/x-python")
"""Forms of which the first lines are shown."""
LONGEST = 3
"""Values of a list that are shown; the history of a job has thousands."""
BRIEF = ("Capabilities",)
"""Schemas with long tables, of which one entry is shown."""
REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "404": ("GET", "/v1/jobs/job_cpywgox7ffd6k4q4siziyivi", {}),
    "406": ("GET", "/v1/jobs/{job}/history", {"headers": {"Accept": "image/png"}}),
    "409": ("POST", "/v1/jobs/{job}/cancel", {}),
    "415": ("POST", "/v1/jobs", {"content": b"lr=1", "headers": {"Content-Type": "text/plain"}}),
    "422": ("POST", "/v1/jobs", {"json": {"optimizer": {"type": "SGD", "lr": -1}}}),
}
IDS = re.compile(r"\b(job|sweep|ds|pred|model)_[a-z2-7]{24}\b")


def record(world: World, document: Document) -> Document:
    """Send each operation's first example, and keep what comes back."""
    schemas: dict[str, dict[str, Any]] = {}
    texts: dict[str, dict[str, Json]] = {}
    for operation_id in _ordered(document):
        seen: set[str] = set()
        for call in calls(document, operation_id):
            if call.accept in seen:
                continue
            seen.add(call.accept)
            _keep(world, document, call, schemas, texts)
        world.settle()
    for status, (method, path, request) in REFUSED.items():
        answer = world.service.client.request(method, path.format(job=world.finished), **request)
        assert str(answer.status_code) == status, answer.text
        schemas.setdefault("ProblemDetails", {})[status] = _tidied(answer.json())
    return {"schemas": schemas, "texts": texts}


def _ordered(document: Document) -> list[str]:
    found = [one["operationId"] for _, one in operations(document)]
    return sorted(found, key=lambda name: name in LAST)


def _keep(world: World, document: Document, call: Call, schemas: Document, texts: Document) -> None:
    for headers in ({}, {"Prefer": "wait=30"}):
        answer = send(world, call, **headers)
        assert answer.status_code < 300, answer.text
        responses = dict(operations(document))[f"{call.method} {call.path}"]["responses"]
        content = responses[str(answer.status_code)].get("content", {}).get(call.accept, {})
        name = content.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
        if call.accept in LINES:
            lines = [line for line in answer.text.splitlines(keepends=True) if not line.startswith("# ")]
            texts.setdefault(call.operation_id, {})[call.accept] = "".join(lines[: LONGEST + 1])
        elif call.accept == "text/event-stream":
            schemas.setdefault(name, {})[str(answer.status_code)] = _message(answer.text)
        elif name and str(answer.status_code) not in schemas.get(name, {}):
            value = _tidied(answer.json(), brief=name in BRIEF)
            assert mismatches(document, content["schema"], value) == [], name
            schemas.setdefault(name, {})[str(answer.status_code)] = value
        elif call.accept == "application/json" and not name:
            texts.setdefault(call.operation_id, {})[call.accept] = _tidied(answer.json())
        if call.method != "POST" or not any(one["name"] == "prefer" for one in call.parameters):
            return


def _message(text: str) -> dict[str, str]:
    first = text.split("\n\n", maxsplit=1)[0]
    message = dict(line.split(": ", 1) for line in first.splitlines())
    return {name: message[name] for name in ("id", "event", "data")}


def _tidied(value: Json, *, brief: bool = False) -> Json:
    """Shorten a value, and give it the ids that the document has everywhere."""
    shown: dict[str, str] = {}
    text = IDS.sub(lambda found: _named(found, shown), json.dumps(_short(value, brief=brief)))
    return json.loads(text)


def _named(found: re.Match[str], shown: dict[str, str]) -> str:
    from service.api.exhibits import _PATHS  # The ids that the document shows in paths.

    usual = {
        str(example).split("_")[0]: str(example) for _, example in _PATHS.values() if "_" in str(example)
    }
    first = shown.setdefault(found[1], found[0])
    return usual.get(found[1], found[0]) if found[0] == first else found[0]


def _short(value: Json, *, brief: bool, depth: int = 0) -> Json:
    if isinstance(value, list):
        # A second object of the same fields tells nothing new.
        longest = 1 if value and isinstance(value[0], dict) else LONGEST
        return [_short(one, brief=brief, depth=depth + 1) for one in value[:longest]]
    if isinstance(value, dict):
        most = _FIELDS.get(depth, 2) if brief else None
        kept = list(value.items())[:most]
        return {name: _short(one, brief=brief, depth=depth + 1) for name, one in kept}
    return value


_FIELDS = {0: None, 1: 1, 2: 8}
"""How many fields are shown at each depth of a brief answer: of each table one entry, and little below it."""


def main() -> None:
    """Write the file."""
    document = create_app(Settings()).openapi()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "data", **SETTINGS)
        try:
            recorded = record(World(service), document)
        finally:
            service.close()
    TARGET.write_text(json.dumps(recorded, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
