"""Values and calls as Python writes them, options that are torch's own defaults left out."""

import inspect
import json
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["WIDTH", "call", "comment", "key", "listed", "literal"]

WIDTH = 100
"""Characters of a line of the script, as far as it can be kept."""
_PER_AXIS = {"kernel_size", "stride", "padding", "dilation", "output_padding"}
"""Options for which one number stands for the same number in each axis."""


def literal(value: Any) -> str:  # noqa: ANN401 - numbers, texts, and lists of them
    """Write a value; floats are exact."""
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, int):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value!r}")'
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    return "[" + ", ".join(map(literal, value)) + "]"


def _quoted(text: str) -> str:
    """Write a text between double quotes; one with unprintable characters as Python's own `repr` does."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else repr(text)


def key(name: str) -> str:
    """Write the subscript of a column."""
    return f"columns[{_quoted(name)}]"


def comment(text: str, *, indent: str = "") -> list[str]:
    """Write a comment, wrapped."""
    return [f"{indent}# {line}" for line in textwrap.wrap(text, WIDTH - len(indent) - 2)]


def listed(head: str, values: Iterable[str], tail: str, *, indent: str = "") -> list[str]:
    """Write `head`, values with commas between, and `tail`: in one line, or in as many as it takes."""
    texts = list(values)
    whole = f"{indent}{head}{', '.join(texts)}{tail}"
    if len(whole) <= WIDTH:
        return [whole]
    inner = textwrap.wrap(
        ", ".join(texts) + ",",
        WIDTH,
        initial_indent=f"{indent}    ",
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [f"{indent}{head}", *inner, f"{indent}{tail}"]


def call(
    name: str, function: Callable[..., Any], arguments: Mapping[str, Any], *, first: Iterable[str] = ()
) -> str:
    """Write a call with only those options that differ from the defaults.

    Args:
        name: As the script names the function.
        function: Whose signature tells the defaults.
        arguments: All options by name.
        first: What is written before them, such as the optimizer of a scheduler.
    """
    written = list(first)
    is_leading = True
    for option, parameter in inspect.signature(function).parameters.items():
        if option not in arguments:
            continue
        value = _collapsed(option, arguments[option])
        if parameter.default is inspect.Parameter.empty and is_leading:
            written.append(literal(value))
        elif not _is_default(value, parameter.default):
            is_leading = False
            written.append(f"{option}={literal(value)}")
    return f"{name}({', '.join(written)})"


def _collapsed(option: str, value: Any) -> Any:  # noqa: ANN401 - an option
    if option in _PER_AXIS and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    return value


def _is_default(value: Any, default: Any) -> bool:  # noqa: ANN401 - options
    if isinstance(value, bool) or isinstance(default, bool):
        return value is default
    return (
        bool(type(value) is type(default) or {type(value), type(default)} == {int, float})
        and value == default
    )
