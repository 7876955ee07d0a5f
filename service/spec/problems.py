"""From pydantic's errors to the problems that callers see: pointer, code, message and a hint that helps."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.exceptions import Problem
from service.spec.base import NO_NUL, NUL_HINT
from service.spec.columns import did_you_mean
from service.spec.pointers import pointer_to

__all__ = ["MAX_PROBLEMS", "problems_of"]

MAX_PROBLEMS = 100
"""A body of a million wrong numbers is answered with this many problems, not with a million."""

_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing",
    "union_tag_not_found": "missing",
    "union_tag_invalid": "unknown_name",
    "literal_error": "unknown_name",
    "finite_number": "not_finite",
    "json_invalid": "invalid_json",
    "too_short": "too_short",
    "too_long": "too_long",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "int_parsing_size": "out_of_range",
    "string_pattern_mismatch": "invalid_text",
}


_OTHERWISE = "GET /v1/capabilities describes every field, with its type and its bounds."
_FALLBACK_HINTS = {
    "extra_forbidden": "Remove it. " + _OTHERWISE,
    "missing": "Add it. " + _OTHERWISE,
    "float_type": "Send a number, without quotes.",
    "int_type": "Send a whole number, without quotes.",
    "int_from_float": "Send a whole number.",
    "string_type": "Send text, in double quotes.",
    "bool_type": "Send true or false, without quotes.",
    "dict_type": "Send an object, in braces.",
    "model_type": "Send an object, in braces.",
    "model_attributes_type": "Send an object, in braces.",
    "tuple_type": "Send an array, in brackets.",
    "list_type": "Send an array, in brackets.",
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Translate pydantic's errors about `model`.

    Args:
        error: What validation raised.
        model: The model that was validated; its JSON Schema tells discriminator tags from field names
            in pydantic's locations, and which names may have been meant.

    Returns:
        One problem for each error, at most `MAX_PROBLEMS`.
    """
    details = [one for one in error.errors(include_url=False, include_input=True) if not _follows(one)]
    found: dict[tuple[str | None, int], Problem] = {}
    for number, one in enumerate(details[:MAX_PROBLEMS]):
        place = _Place.walk(model, one["loc"])
        problem = _problem(one, place)
        # A value that fits no member of a union is one problem, not one for each member: the first is told.
        found.setdefault((problem.pointer, -1 if place.branched else number), problem)
    return list(found.values())


def _follows(error: ErrorDetails) -> bool:
    """Tell whether an array is called too short only because its elements, told by themselves, were not counted."""
    wanted, sent = error.get("ctx", {}).get("min_length"), error["input"]
    # Our own errors of this type name no length: they are never of that kind.
    return (
        error["type"] == "too_short" and wanted is not None and isinstance(sent, list) and len(sent) >= wanted
    )


def _problem(error: ErrorDetails, place: "_Place") -> Problem:
    kind = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    tokens = list(place.tokens)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        tokens.append(str(context["discriminator"]).strip("'"))
    return Problem(
        pointer=pointer_to(*tokens),
        code=_CODES.get(kind, kind if "hint" in context else "wrong_type"),
        message=_message(error, tokens),
        hint=str(context.get("hint", "")) or _hint(error, place),
    )


def _message(error: ErrorDetails, tokens: list[str | int]) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    name = tokens[-1] if tokens else "the body"
    messages = {
        "extra_forbidden": f"There is no field `{name}` here.",
        "missing": f"`{name}` is required." if isinstance(name, str) else "An element is missing here.",
        "union_tag_not_found": f"`{name}` is required.",
        "union_tag_invalid": f"`{context.get('tag')}` is not known here.",
        "literal_error": f"`{error['input']!s:.80}` is not known here.",
        "finite_number": "NaN and Infinity are not numbers in JSON.",
        "json_invalid": f"The body is not valid JSON: {context.get('error')}.",
    }
    if context.get("pattern") == NO_NUL:
        messages["string_pattern_mismatch"] = "The text has the character NUL in it."
    return messages.get(error["type"]) or f"{error['msg'].rstrip('.')}."


def _hint(error: ErrorDetails, place: "_Place") -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    hints: dict[str, Callable[[], str]] = {
        "extra_forbidden": lambda: did_you_mean(str(error["loc"][-1]), place.siblings),
        "union_tag_invalid": lambda: did_you_mean(str(context["tag"]), place.tags),
        "union_tag_not_found": lambda: f"One of {', '.join(f'`{tag}`' for tag in place.tags)}.",
        "literal_error": lambda: did_you_mean(str(error["input"])[:80], place.choices),
        "finite_number": lambda: "Send a finite number; leave a row without one out.",
        "json_invalid": lambda: "JSON wants double quotes around names, no comma before } or ], and no NaN.",
    }
    if context.get("pattern") == NO_NUL:
        return NUL_HINT
    found = hints.get(error["type"], lambda: place.description)()
    return found or _FALLBACK_HINTS.get(error["type"], _OTHERWISE)


class _Place:
    """A spot in a model's JSON Schema, found by walking one of pydantic's error locations."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Any] = root.get("$defs", {})
        self._parent: Mapping[str, Any] = root
        self._node: Mapping[str, Any] = root
        self.tokens: list[str | int] = []
        self.branched = False

    @classmethod
    def walk(cls, model: type[BaseModel], location: Iterable[str | int]) -> "_Place":
        place = cls(_schema(model))
        for token in location:
            place._enter(token)
        return place

    def _enter(self, token: str | int) -> None:
        self._node = self._resolved(self._node)
        if token in self._tag_map and "discriminator" in self._node:
            # pydantic names the chosen member of a union in the location; the body has no such level.
            self._node = self._resolved({"$ref": self._tag_map[str(token)]})
            return
        branches = self._branches
        if branches:
            # So does a union without such a tag, with a label that is in no schema.
            self._node = {name: value for branch in reversed(branches) for name, value in branch.items()}
            self.branched = True
            return
        if token == "[key]" and "additionalProperties" not in self._node:  # noqa: S105 - pydantic's word
            return  # The error is about the name just entered, not about anything below it.
        self._parent = self._node
        self._node = self._child(token)
        self.tokens.append(token)

    def _child(self, token: str | int) -> Mapping[str, Any]:
        node = self._node
        if isinstance(token, int):
            prefix = node.get("prefixItems", [])
            found = prefix[token] if token < len(prefix) else node.get("items", {})
        else:
            found = node.get("properties", {}).get(token, node.get("additionalProperties", {}))
        return found if isinstance(found, dict) else {}

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        options = [one for one in node.get("anyOf", []) if one.get("type") != "null"]
        if len(options) == 1:
            node = {**node, **options[0]}
        if "$ref" in node:
            return {**self._definitions.get(node["$ref"].rsplit("/", 1)[-1], {})}
        return node

    @property
    def _branches(self) -> list[Mapping[str, Any]]:
        options = self._node.get("oneOf") or self._node.get("anyOf", [])
        real = [self._resolved(one) for one in options if one.get("type") != "null"]
        return real if len(real) > 1 else []

    @property
    def _tag_map(self) -> Mapping[str, str]:
        mapping: Mapping[str, str] = self._node.get("discriminator", {}).get("mapping", {})
        return mapping

    @property
    def siblings(self) -> list[str]:
        return list(self._parent.get("properties", {}))

    @property
    def tags(self) -> list[str]:
        self._node = self._resolved(self._node)
        return list(self._tag_map)

    @property
    def choices(self) -> list[str]:
        node = self._resolved(self._node)
        return [str(one) for one in node.get("enum", [node["const"]] if "const" in node else [])]

    @property
    def description(self) -> str:
        text: str = self._node.get("description", "")
        return text


@functools.cache
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()
