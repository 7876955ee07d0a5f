"""Ways to change a spec, and to look at what `parse` says about it."""

import copy
import enum
import json
from typing import Any

from service.exceptions import InvalidSpec, Problem
from service.spec.intake import parse
from service.spec.library import Library
from service.spec.limits import Limits
from service.spec.plan import Plan
from tests.conftest import TUTORIAL


class Absent(enum.Enum):
    """As a value: the member is not there at all."""

    LEFT_OUT = "left out"

    def __str__(self) -> str:
        return self.value


LEFT_OUT = Absent.LEFT_OUT


def tokens_of(pointer: str) -> list[str]:
    """Split a JSON Pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def changed(pointer: str, value: object, *, spec: dict[str, Any] = TUTORIAL) -> dict[str, Any]:
    """A copy of the tutorial's spec with another value (or none) at a pointer."""
    spec = copy.deepcopy(spec)
    *path, last = tokens_of(pointer)
    parent = spec
    for token in path:
        parent = parent[token]
    if value is LEFT_OUT:
        del parent[last]
    else:
        parent[last] = value
    return spec


def with_expression(text: str, **features: dict[str, Any]) -> dict[str, Any]:
    """The tutorial's spec with another formula, and with other features where given."""
    spec = changed("/data/target/expression", text)
    return changed("/data/features", features, spec=spec) if features else spec


def with_inline(**data: object) -> dict[str, Any]:
    """The tutorial's spec with rows that are sent along."""
    return changed("/data", {"type": "inline", **data})


def body_of(spec: object) -> bytes:
    return json.dumps(spec).encode()


def parsed(spec: object, *, library: Library | None = None, **limits: int) -> Plan:
    """The plan of a spec: checked, and completed with every default."""
    return parse(body_of(spec), Limits(**limits), library)


def problems_in(spec: object, *, library: Library | None = None, **limits: int) -> list[Problem]:
    """All problems of a spec given as JSON bytes or as an object; none if it is fine."""
    try:
        parse(spec if isinstance(spec, bytes) else body_of(spec), Limits(**limits), library)
    except InvalidSpec as error:
        return error.problems or [Problem(None, "refused_without_a_problem", "")]
    return []


def places_of(value: object, pointer: str = "") -> list[str]:
    """Every JSON Pointer that leads somewhere in a document, the whole of it included."""
    below = [
        found
        for key, child in (value.items() if isinstance(value, dict) else ())
        for found in places_of(child, f"{pointer}/{key}")
    ]
    return [pointer, *below]
