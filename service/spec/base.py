"""What all parts of the spec share: a frozen, closed model, and the words for numbers and names."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["ColumnName", "NonNegative", "Numbers", "Positive", "SpecModel", "UnitInterval"]


class SpecModel(BaseModel):
    """A part of the job spec: immutable, without unknown fields, with JSON's own types and no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )


Numbers = Annotated[tuple[float, ...], Field(fail_fast=True)]
"""Many numbers. The first wrong one is told, not all: a million problems would cost seconds and gigabytes."""
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]
