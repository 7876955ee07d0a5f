"""Words and tables as Markdown."""

import json
from collections.abc import Iterable

__all__ = ["as_json", "prose", "table"]


def prose(text: str) -> str:
    """Put a docstring on one line."""
    return " ".join(text.split())


def as_json(value: object) -> str:
    """Write a value as JSON on one line, in the letters that it has."""
    return json.dumps(value, ensure_ascii=False)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table with a line of headings."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return prose(str(text)).replace("|", "\\|")
