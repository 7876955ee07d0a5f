"""Examples of answers and of paths, put into the OpenAPI document."""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["exhibit"]

Content = dict[str, Any]

_REFERENCE = "#/components/schemas/"
_PATHS: dict[str, tuple[str, Any]] = {
    "job_id": ("Id of the job.", "job_cpywgox7ffd6k4q4siziyivi"),
    "sweep_id": ("Id of the sweep.", "sweep_l3xk7m2q5zr4tqjv6pwhn2ea"),
    "dataset_id": ("Id of the dataset.", "ds_7dkq2vm5xwz3hsyt4rnfjpca"),
    "prediction_id": ("Id of the prediction.", "pred_q5wn3hzt7kxv2mrj4ydlcspe"),
    "name": ("Name of the model.", "calibration"),
    "version": ("Number of a version, an alias, or `latest`.", "1"),
    "alias": ("An alias.", "champion"),
    "number": ("Number of the checkpoint, counted from 1.", 1),
    "plot": ("Which picture.", "loss"),
    "format": ("Which form.", "safetensors"),
}
"""What each parameter of a path is, and one: said here once, not at each of its operations."""


def exhibit(document: dict[str, Any]) -> None:
    """Show in a document what is sent and what comes back, wherever the operation itself does not."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                _explain(parameter)
    _show(document)


def _explain(parameter: dict[str, Any]) -> None:
    if parameter["in"] != "path" or parameter["name"] not in _PATHS:
        return
    description, example = _PATHS[parameter["name"]]
    parameter.setdefault("description", description)
    if not {"example", "examples"} & parameter.keys():
        parameter["example"] = example


def _show(document: dict[str, Any]) -> None:
    """Refer from each answer to the example of its schema and status: an answer that many give is shown once."""
    answers = _answers()
    shown: dict[str, Any] = {}
    for operation, status, form, content in _contents(document):
        if {"example", "examples"} & content.keys():
            continue
        name = content["schema"].get("$ref", "").removeprefix(_REFERENCE)
        if value := answers["schemas"].get(name, {}).get(status):
            key = f"{name}.{status}"
            shown[key] = {"value": value}
            content["examples"] = {"answer": {"$ref": f"#/components/examples/{key}"}}
        elif text := answers["texts"].get(operation["operationId"], {}).get(form):
            content["example"] = text
    if shown:
        document["components"]["examples"] = dict(sorted(shown.items()))


def _contents(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str, Content]]:
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                for form, content in response.get("content", {}).items():
                    yield operation, str(status), form, content


@cache
def _answers() -> dict[str, Any]:
    """Read what was recorded: `schemas` by name and status, `texts` (and JSON of no schema) by operation and form."""
    text = resources.files("service.api").joinpath("answers.json").read_text("utf-8")
    answers: dict[str, Any] = json.loads(text)
    return answers
