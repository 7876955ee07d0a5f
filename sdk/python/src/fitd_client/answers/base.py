"""What all answers have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Answer", "Page", "Warned", "WhatIsWrong"]


class Answer(BaseModel):
    """Something that the service has answered: fields that a newer service adds are kept as they come."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, protected_namespaces=())


class Page(Answer):
    """One page of a list."""

    data: list[Any]
    has_more: bool = False
    next_after: str | None = None
    """Where the next page begins."""


class WhatIsWrong(Answer):
    """What is wrong, and what to do about it."""

    code: str
    """Stable name in snake_case."""
    message: str
    hint: str = ""


class Warned(Answer):
    """Something that works but is rarely meant."""

    pointer: str
    code: str
    message: str
