"""What all parts of the spec share: a frozen, closed model, and the words for numbers and names."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema

from service.spec.descriptions import descriptions

__all__ = [
    "NOT_IN_SCHEMA",
    "NO_NUL",
    "NUL_HINT",
    "ColumnName",
    "NonNegative",
    "Numbers",
    "Positive",
    "SpecModel",
    "UnitInterval",
]


class SpecModel(BaseModel):
    """A part of the job spec: immutable, without unknown fields, with JSON's own types and no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        # A part is built into what it is a part of; a validator of its own is made when it is first asked for.
        defer_build=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:  # noqa: ANN401 - whatever a class is made with
        """Describe each field by the text below it."""
        super().__pydantic_init_subclass__(**arguments)
        for name, text in descriptions(cls).items():
            field = cls.__pydantic_fields__.get(name)
            if field is not None and field.description is None:
                field.description = text


Numbers = Annotated[tuple[float, ...], Field(fail_fast=True)]
"""Many numbers. The first wrong one is told, not all: a million problems would cost seconds and gigabytes."""
NO_NUL = r"^[^\x00]*$"
"""The pattern of texts that are kept in a database: PostgreSQL's text cannot hold the character NUL.

A pattern and no function, because every key of every row that is sent is held against it."""
NUL_HINT = "Take the character out (\\u0000 in JSON): databases cannot keep it."


class _PatternNotInSchema:
    """Leaves the pattern out of the JSON Schema, where a pattern of keys would turn an object's description around."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(core_schema)
        found.pop("pattern", None)
        return found


NOT_IN_SCHEMA = _PatternNotInSchema()
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL), NOT_IN_SCHEMA]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]
