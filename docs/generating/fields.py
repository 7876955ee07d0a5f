"""JSON Schema in a few words: the type, default and bounds of a field."""

from collections.abc import Mapping
from typing import Any

from generating.markdown import as_json

__all__ = ["Schema", "bounds", "default", "type_in_words"]

Schema = Mapping[str, Any]

_ALTERNATIVES = {
    "ActivationSpec": "[activation](layers.md#identity)",
    "WeightInitializer": "[initializer](initializers.md)",
    "BiasInitializer": "[initializer](initializers.md) of one axis",
}
"""Unions that have a page of their own: listing their members in each field would hide the fields."""
_LAYERS = "[layer](layers.md)"
_MANY = 12
"""A union of more objects than this is one of layers."""
_FEW = 2
"""More kinds of lists than this are one of any JSON values."""
_LARGEST = {2**63 - 1: "2⁶³ - 1", 10**9: "10⁹", 10**8: "10⁸"}


def type_in_words(node: Schema, root: Schema) -> str:
    """Put a schema into a few words; null is left out, because the default tells it."""
    constant = [node["const"]] if "const" in node else node.get("enum")
    if constant:
        return " or ".join(f"`{as_json(one)}`" for one in constant)
    if "$ref" in node:
        return _referenced(node["$ref"].rsplit("/", 1)[-1], root)
    options = [one for one in node.get("anyOf") or node.get("oneOf") or [] if one.get("type") != "null"]
    if len(options) > _MANY:
        return _LAYERS
    kinds = [one.get("type") for one in options]
    if {"number", "string", "array"} <= set(kinds) or kinds.count("array") > _FEW:
        return "list of values" if kinds.count("array") > _FEW else "value"
    if options:
        return " or ".join(dict.fromkeys(type_in_words(one, root) for one in options))
    return _plain_type(node, root)


def _plain_type(node: Schema, root: Schema) -> str:
    match node:
        case {"prefixItems": [*members]}:
            return f"list of {len(members)} numbers"
        case {"type": "array", "items": {"type": _} | {"$ref": _} | {"anyOf": _} | {"oneOf": _} as inner}:
            return f"list of {_plural(type_in_words(inner, root))}"
        case {"type": "array"}:
            return "list"
        case {"type": "object", "additionalProperties": Mapping() as inner}:
            return f"object of {_plural(type_in_words(inner, root))}"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    kind = str(node.get("type", "any"))
    return words.get(kind, kind)


def _plural(words: str) -> str:
    return {
        "number": "numbers",
        "whole number": "whole numbers",
        "text": "texts",
        "list": "lists",
        "value": "values",
    }.get(words, words)


def _referenced(name: str, root: Schema) -> str:
    if name in _ALTERNATIVES:
        return _ALTERNATIVES[name]
    node: Schema = root.get("$defs", {}).get(name, {})
    if not node.get("properties"):
        return type_in_words(node, root) if node else "object"
    tags = [one["const"] for one in node["properties"].values() if "const" in one]
    if tags:
        return f"`{tags[0]}`"
    # A group of parameters has the fields of its optimizer, so it is not described once more.
    return "objects" if "parameters" in node["properties"] else f"`{name}`"


def default(node: Schema, name: str, root: Schema) -> str:
    """Tell what is taken where the field is left out."""
    if name in root.get("required", []):
        return "**required**"
    if "default" not in node:
        return "none"
    value = node["default"]
    inner = root.get("$defs", {}).get(str(node.get("$ref", "")).rsplit("/", 1)[-1], {})
    # A section whose fields all have their defaults is told by its own table.
    return (
        "its defaults" if isinstance(value, dict) and not _is_tagged(inner, value) else f"`{as_json(value)}`"
    )


def _is_tagged(node: Schema, value: Mapping[str, Any]) -> bool:
    return "type" in value and not node.get("properties")


def bounds(node: Schema) -> str:
    """Tell the smallest and largest values, and the lengths."""
    if "prefixItems" in node:
        return ", then ".join(dict.fromkeys(bounds(one) for one in node["prefixItems"]))
    found = [f"{sign}{_number(node[key])}" for key, sign in _SIGNS.items() if key in node]
    if {"minLength", "maxLength"} <= node.keys():
        return f"{node['minLength']} to {node['maxLength']} characters"
    found += [text.format(_counted(node[key])) for key, text in _LENGTHS.items() if key in node]
    options = [one for one in (*node.get("anyOf", []), *node.get("oneOf", [])) if bounds(one)]
    if options:
        # Of one value and a list of such values, the bounds of the one tell both.
        return bounds(next((one for one in options if one.get("type") != "array"), options[0]))
    each = bounds(node.get("items", {})) if node.get("type") == "array" else ""
    if each and not each.endswith("characters"):
        found.append(f"each {each}")
    return ", ".join(dict.fromkeys(found))


_SIGNS = {"exclusiveMinimum": "> ", "minimum": "≥ ", "exclusiveMaximum": "< ", "maximum": "≤ "}
_LENGTHS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minProperties": "at least {}",
    "maxProperties": "at most {}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
}


def _number(value: int | float) -> str:  # noqa: PYI041 - they are written differently
    if isinstance(value, float):
        return f"{value:g}"
    return _LARGEST.get(value, f"{value:,}")


def _counted(value: int) -> str:
    return f"{value:,}"
