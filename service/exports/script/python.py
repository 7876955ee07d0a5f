"""Values and calls as Python writes them, options that are torch's own defaults left out."""

import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["WIDTH", "call", "comment", "key", "listed", "literal"]

WIDTH = 100
"""Characters of a line of the script, as far as it can be kept."""
_PER_AXIS = {"kernel_size", "stride", "padding", "dilation", "output_padding"}
"""Options for which one number stands for the same number in each axis."""
_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'])+""")
"""What stands between two blanks; blanks within quotes are part of it."""


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
    """Write a comment, wrapped; what is not printable is written as its escape, so that no text ends the comment."""
    shown = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return [f"{indent}# {line}" for line in textwrap.wrap(shown, WIDTH - len(indent) - 2)]


def listed(head: str, values: Iterable[str], tail: str, *, indent: str = "") -> list[str]:
    """Write `head`, values with commas between, and `tail`: in one line, or in as many as it takes."""
    texts = list(values)
    whole = f"{indent}{head}{', '.join(texts)}{tail}"
    if len(whole) <= WIDTH:
        return [whole]
    return [f"{indent}{head}", *_packed(texts, f"{indent}    "), f"{indent}{tail}"]


def _packed(texts: Iterable[str], indent: str) -> Iterator[str]:
    """Fill lines with values and a comma after each: broken at blanks, but never within quotes."""
    line = ""
    for word in _WORD.findall(", ".join(texts) + ","):
        if line and len(indent) + len(line) + 1 + len(word) > WIDTH:
            yield indent + line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield indent + line


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
