"""How a fit is judged: rows held back for development and test, folds, and metrics."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.exceptions import Problem
from service.spec.base import ColumnName, SpecModel, UnitInterval
from service.spec.columns import did_you_mean, unknown_column
from service.spec.limits import Limits
from service.spec.schema import Schema

__all__ = ["ColumnSplit", "EvaluationSpec", "Folds", "OrderSplit", "RandomSplit", "Split"]

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Labels = Annotated[tuple[str | float, ...], Field(min_length=1)]


class RandomSplit(SpecModel):
    """Rows drawn at random for dev and test; the rest is for training."""

    type: Literal["random"]
    dev: UnitInterval = 0.2
    """Share of the rows on which the fit is watched while it is trained."""
    test: UnitInterval = 0.0
    """Share of the rows that are looked at once, at the end."""
    stratify: ColumnName | None = None
    """A column whose values are to be as frequent in each part as in all rows, as far as they can be."""
    seed: Seed = 0
    """Seed of the draw: the same seed splits the same rows alike."""

    @property
    def reserved(self) -> tuple[str, ...]:
        """Columns that are no features because of this split."""
        return ()

    def schema_problems(self, schema: Schema) -> list[Problem]:
        """Refuse a column without classes."""
        return _stratify_problems(self.stratify, schema)


def _stratify_problems(name: str | None, schema: Schema) -> list[Problem]:
    """Tell why a column's values cannot be kept in proportion; pointers are relative to what names it."""
    if name is None:
        return []
    column = schema.by_name.get(name)
    if column is None:
        return [unknown_column("/stratify", name, schema.by_name)]
    if column.values is None or column.missing:
        message = f"`{name}` has too many different values, or none in some rows, to be kept in proportion."
        return [Problem("/stratify", "unusable_column", message, "Choose a column of few values.")]
    return []


class OrderSplit(SpecModel):
    """The last rows for test, those before for dev, the first for training: for series in time."""

    type: Literal["order"]
    dev: UnitInterval = 0.2
    """Share of the rows on which the fit is watched while it is trained."""
    test: UnitInterval = 0.0
    """Share of the rows that are looked at once, at the end."""
    by: ColumnName | None = None
    """A column of numbers or dates to order by, ascending; left out, the order of the rows."""

    @property
    def reserved(self) -> tuple[str, ...]:
        """Columns that are no features because of this split."""
        return ()

    def schema_problems(self, schema: Schema) -> list[Problem]:
        """Refuse a column without an order."""
        if self.by is None:
            return []
        column = schema.by_name.get(self.by)
        if column is None:
            return [unknown_column("/by", self.by, schema.by_name)]
        if column.kind != "number" or column.missing:
            message = f"`{self.by}` is not a number or a date in every row: it gives no order."
            return [Problem("/by", "unusable_column", message, "Choose a column of numbers or dates.")]
        return []


class ColumnSplit(SpecModel):
    """A column tells which part each row belongs to."""

    type: Literal["column"]
    column: ColumnName
    """The column; it is then no feature."""
    train: Labels = ("train",)
    """Its values in rows for training."""
    dev: Labels = ("dev",)
    """Its values in rows on which the fit is watched."""
    test: Labels = ("test",)
    """Its values in rows that are looked at once, at the end."""

    @property
    def reserved(self) -> tuple[str, ...]:
        """Columns that are no features because of this split."""
        return (self.column,)

    def schema_problems(self, schema: Schema) -> list[Problem]:
        """Refuse a column that does not name the parts."""
        column = schema.by_name.get(self.column)
        if column is None:
            return [unknown_column("/column", self.column, schema.by_name)]
        named = {*self.train, *self.dev, *self.test}
        if len(named) < len(self.train) + len(self.dev) + len(self.test):
            message = "A value stands for one part only."
            return [Problem("/column", "incompatible_fields", message, "Name each value once.")]
        if column.values is None or column.missing:
            message = (
                f"`{self.column}` has too many different values, or none in some rows, to name the parts."
            )
            return [Problem("/column", "unusable_column", message, "Choose a column of few values.")]
        strange = [value for value in column.values if value not in named]
        if strange:
            message = f"`{self.column}` holds `{strange[0]}`, which is neither train nor dev nor test."
            hint = did_you_mean(str(strange[0]), map(str, named))
            return [Problem("/column", "unknown_name", message, f"{hint} Name it in train, dev or test.")]
        if not any(value in column.values for value in self.train):
            message = f"`{self.column}` marks no row for training."
            return [Problem("/train", "too_few_rows", message, "Name one of its values in train.")]
        return []


Split = Annotated[RandomSplit | OrderSplit | ColumnSplit, Field(discriminator="type")]


class Folds(SpecModel):
    """Cross-validation: each fold is held back once, and last a model is trained on all of them."""

    k: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of folds."""
    shuffle: bool = True
    """Draw the folds at random; without, they are consecutive rows."""
    stratify: ColumnName | None = None
    """A column whose values are to be as frequent in each fold as in all rows."""
    seed: Seed = 0
    """Seed of the draw."""


class EvaluationSpec(SpecModel):
    """How the fit is judged."""

    split: Split | None = None
    """Rows held back for dev and test; without, all rows are for training."""
    folds: Folds | None = None
    """Cross-validation over the rows that are not for test."""
    metrics: Annotated[tuple[str, ...], Field(max_length=30)] | None = None
    """Names of metrics, each of all parts at the end; left out, the usual ones for the loss."""
    every: Annotated[int, Field(ge=1)] | None = None
    """Compute the dev metrics after each so many epochs too, into the history; left out, at the end only."""

    @property
    def reserved(self) -> tuple[str, ...]:
        """Columns that are no features because they split the rows."""
        return self.split.reserved if self.split else ()

    def has_dev(self, schema: Schema) -> bool:
        """Tell whether rows of a table are held back to watch the training on."""
        if isinstance(self.split, ColumnSplit):
            column = schema.by_name.get(self.split.column)
            return column is not None and bool(set(self.split.dev) & set(column.values or ()))
        return self.folds is not None or (self.split is not None and self.split.dev > 0)

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Tell which fields do not go together; pointers are relative to `evaluation`."""
        found = []
        split: Any = self.split
        if isinstance(split, RandomSplit | OrderSplit) and split.dev + split.test >= 1:
            message = f"dev ({split.dev:g}) and test ({split.test:g}) leave no rows for training."
            found.append(
                Problem("/split", "out_of_range", message, "Make them smaller; 0.2 and 0.1 are usual.")
            )
        if isinstance(split, RandomSplit | OrderSplit) and split.dev and self.folds:
            message = "With folds, each fold is the dev set once."
            found.append(
                Problem("/split/dev", "incompatible_fields", message, "Set dev to 0; test may stay.")
            )
        if isinstance(split, ColumnSplit) and self.folds:
            message = "A column has split the rows already."
            found.append(
                Problem("/folds", "incompatible_fields", message, "Send either split.column or folds.")
            )
        return found

    def schema_problems(self, schema: Schema) -> list[Problem]:
        """Tell what does not fit the table; pointers are relative to `evaluation`."""
        found = self.split.schema_problems(schema) if self.split else []
        found = [Problem(f"/split{p.pointer}", p.code, p.message, p.hint) for p in found]
        if self.every is not None and not found and not self.has_dev(schema):
            message = "There are no dev rows to compute metrics on while training."
            hint = 'Hold some back: "split": {"type": "random", "dev": 0.2}.'
            found.append(Problem("/every", "incompatible_fields", message, hint))
        if self.folds:
            found += [
                Problem(f"/folds{p.pointer}", p.code, p.message, p.hint)
                for p in _stratify_problems(self.folds.stratify, schema)
            ]
        return found
