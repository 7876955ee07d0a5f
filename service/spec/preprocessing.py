"""How columns become the numbers that a network sees; fitted on the training rows, kept with the model."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import ColumnName, SpecModel
from service.spec.columns import unknown_column
from service.spec.limits import Limits
from service.spec.pointers import pointer_to
from service.spec.schema import Column, Schema

__all__ = ["ColumnPreprocessing", "PreprocessingSpec", "Treatment"]

Scaling = Literal["none", "standardize", "min_max"]
Missing = Literal["refuse", "drop", "mean", "median", "most_frequent", "zero"]
Encoding = Literal["one_hot", "embedding"]
EmbeddingDim = Annotated[int, Field(ge=1, le=4096)]
MAX_EMBEDDING = 50


class ColumnPreprocessing(SpecModel):
    """What is done otherwise with one column; what is left out is done as with the others."""

    scaling: Scaling | None = None
    """How its numbers are scaled."""
    missing: Missing | None = None
    """What becomes of rows without a value in it."""
    encoding: Encoding | None = None
    """How its categories become numbers."""
    embedding_dim: EmbeddingDim | None = None
    """Numbers that an embedding learns for each category."""


class Treatment(SpecModel):
    """What is done with one column, every choice filled in."""

    scaling: Scaling
    missing: Missing
    encoding: Encoding
    embedding_dim: int


class PreprocessingSpec(SpecModel):
    """What is done with the columns before a network sees them. Figures come from the training rows only.

    They are kept with the model: predictions take and give raw units, and a linear model's coefficients
    are told in raw units.
    """

    scaling: Scaling = "none"
    """Of the features: `standardize` to mean 0 and standard deviation 1, or `min_max` to the range 0 to 1."""
    target_scaling: Scaling = "none"
    """Of numeric targets. Losses and history are then in scaled units, metrics and predictions in raw ones."""
    missing: Missing = "refuse"
    """Rows without a value: `refuse` the job, `drop` the rows, or fill in the feature's `mean`, `median` or
    `most_frequent` value, or `zero`. A target is never filled in."""
    encoding: Encoding = "one_hot"
    """Of categories: a 0/1 input for each of them, or an `embedding` that is learnt with the network."""
    embedding_dim: EmbeddingDim | None = None
    """Numbers of an embedding; left out, half the number of categories, at most 50."""
    arrays: Literal["unit", "standardize", "none"] = "unit"
    """Of images and vectors: `unit` divides pixels of 8 or 16 bits by the largest of their format (255 for
    bytes) and leaves other numbers as they are; `standardize` gives each channel mean 0 and standard deviation 1.
    Codes that an Embedding reads always stay as they are."""
    columns: dict[ColumnName, ColumnPreprocessing] = Field(default_factory=dict)
    """What is done otherwise with single columns, by their names."""

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Nothing can be told before the columns are known."""
        return []

    def treatment(self, column: Column) -> Treatment:
        """Fill in every choice for one column."""
        own = self.columns.get(column.name, ColumnPreprocessing())
        usual = min(MAX_EMBEDDING, (len(column.values or ()) + 1) // 2)
        return Treatment(
            scaling=own.scaling or self.scaling,
            missing=own.missing or self.missing,
            encoding=own.encoding or self.encoding,
            embedding_dim=own.embedding_dim or self.embedding_dim or max(1, usual),
        )

    def width(self, column: Column) -> int:
        """Count the network's inputs that a number or category column takes."""
        if column.kind != "category":
            return 1
        treatment = self.treatment(column)
        return len(column.values or ()) if treatment.encoding == "one_hot" else treatment.embedding_dim

    def column_problems(
        self, schema: Schema, *, features: Sequence[str], targets: Sequence[str]
    ) -> list[Problem]:
        """Tell what does not fit the columns in use; pointers are relative to the job."""
        known = schema.by_name
        found = [
            unknown_column(f"/preprocessing/columns{pointer_to(name)}", name, known)
            for name in self.columns
            if name not in known
        ]
        for name in features:
            found += self._feature_problems(known[name])
        for name in targets:
            missing = self.treatment(known[name]).missing
            if known[name].missing and missing != "drop":
                # A fill is for features: a target that is made up would be learnt.
                own = f'"columns": {{"{name}": {{"missing": "drop"}}}}'
                drop = '"missing": "drop"' if missing == "refuse" else own
                found.append(_missing(known[name], f"Say {drop} to leave these rows out."))
        return found

    def _feature_problems(self, column: Column) -> list[Problem]:
        treatment = self.treatment(column)
        if column.missing and treatment.missing == "refuse":
            hint = (
                'Choose in preprocessing: "missing": "drop" leaves these rows out; "mean", "median", '
                '"most_frequent" and "zero" fill them in.'
            )
            return [_missing(column, hint)]
        if column.kind == "category" and column.missing and treatment.missing in {"mean", "median", "zero"}:
            message = f"`{column.name}` holds categories: they have no {treatment.missing}."
            pointer = f"/preprocessing/columns{pointer_to(column.name)}/missing"
            hint = 'Take "most_frequent" or "drop" for this column.'
            return [Problem(pointer, "incompatible_fields", message, hint)]
        return []


def _missing(column: Column, hint: str) -> Problem:
    rows = "row has" if column.missing == 1 else "rows have"
    message = f"{column.missing:,} {rows} no value in `{column.name}`."
    return Problem("/preprocessing/missing", "missing_values", message, hint)
