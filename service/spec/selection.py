"""Which columns of a table play which part."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from service.exceptions import Problem
from service.spec.base import ColumnName, SpecModel
from service.spec.columns import unknown_column
from service.spec.pointers import pointer_to
from service.spec.schema import Column, Schema

__all__ = ["Lengths", "Role", "Selection"]

Role = Literal["first", "second", "anchor", "positive", "negative"]


Names = Annotated[tuple[ColumnName, ...], Field(min_length=1)]


def _kind_of_target(value: object) -> str:
    return "names" if isinstance(value, list | tuple) else "name"


Target = Annotated[
    Annotated[ColumnName, Tag("name")] | Annotated[Names, Tag("names")], Discriminator(_kind_of_target)
]


class Lengths(SpecModel):
    """Columns that tell how much of a padded sequence counts; for `CTCLoss`."""

    input: ColumnName
    """Steps of each row's input, as the model puts them out."""
    target: ColumnName
    """Labels of each row's target."""


class Selection(SpecModel):
    """The columns to predict, to predict from, and to weigh by."""

    target: Target | None = None
    """The column to predict, or several; every loss but `TripletMarginLoss` needs one."""
    features: Names | None = None
    """The columns to predict from. Left out: all that play no other part, in the order of the table."""
    inputs: Annotated[dict[Role, Names], Field(min_length=1)] | None = None
    """For losses that compare: the columns of each input, as many in each; instead of `features`."""
    weight: ColumnName | None = None
    """A column with the weight of each row in the loss; 0 or more."""
    lengths: Lengths | None = None
    """For `CTCLoss`: the columns with the lengths of input and target."""
    group_by: ColumnName | None = None
    """A column that says which group each row belongs to, as the sensor that measured it: texts or whole numbers.
    A model of its own is fitted to each group, as a job over its rows alone would fit it."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the columns to predict."""
        match self.target:
            case None:
                return ()
            case str(name):
                return (name,)
            case names:
                return names

    def chosen(self, schema: Schema, *, reserved: Iterable[str] = ()) -> dict[str, Any]:
        """Fill in the features: the changes that complete the selection.

        Args:
            schema: Of the table.
            reserved: Columns that play a part elsewhere in the spec, such as one that splits the rows.
        """
        if self.features is not None or self.inputs is not None:
            return {}
        taken = {*self.target_names, *self._others(), *reserved}
        names = (c.name for c in schema.columns if c.name not in taken and c.kind != "text")
        return {"features": tuple(names)}

    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns that one application of the network takes; of a completed selection."""
        if self.inputs is not None:
            return next(iter(self.inputs.values()))
        return self.features or ()

    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Give the columns of each input of the network; the usual single input has the role `features`."""
        if self.inputs is not None:
            return {str(role): names for role, names in self.inputs.items()}
        return {"features": self.features or ()}

    def _others(self) -> tuple[str, ...]:
        lengths = (self.lengths.input, self.lengths.target) if self.lengths else ()
        return (*lengths, *(name for name in (self.weight, self.group_by) if name))

    def selection_problems(
        self, schema: Schema, *, table: str, reserved: Sequence[str] = ()
    ) -> list[Problem]:
        """Tell which choices do not fit the table; pointers are relative to `data`.

        Args:
            schema: Of the table.
            table: JSON Pointer of the table's columns, or empty where they are not in the body.
            reserved: Columns that play a part elsewhere in the spec.
        """
        found = self._name_problems(schema) + self._taken_twice(reserved)
        completed = self.model_copy(update=self.chosen(schema, reserved=reserved))
        if not found and not completed.feature_names():
            text = [column.name for column in schema.columns if column.kind == "text"]
            why = f" `{text[0]}` is free text, which is not trained on." if text else ""
            found = [
                Problem(
                    "", "missing", f"There is no feature beside the target.{why}", "Add a feature column."
                )
            ]
        return found or completed.column_problems(schema, table)

    def _name_problems(self, schema: Schema) -> list[Problem]:
        known = schema.by_name
        places = self._places()
        found = [unknown_column(where, name, known) for where, name in places if name not in known]
        if self.features is not None and self.inputs is not None:
            message = "`features` and `inputs` are two ways to name the inputs."
            found.append(Problem("/inputs", "incompatible_fields", message, "Send one of the two."))
        for where, name in places:
            if where.startswith(("/features", "/inputs")) and name in self.target_names:
                message = f"`{name}` is the target."
                found.append(Problem(where, "target_leak", message, "A target cannot predict itself."))
        return found + self._repeated() + self._unequal_inputs()

    def _taken_twice(self, reserved: Sequence[str]) -> list[Problem]:
        """Refuse a column in two parts: what splits or weighs the rows must not be learnt from, or learnt."""
        found = []
        for where, name in self._places():
            if name in reserved:
                message = f"`{name}` splits the rows."
                found.append(Problem(where, "target_leak", message, "A column plays one part."))
            elif not where.startswith("/weight") and name == self.weight:
                message = f"`{name}` holds the weights of the rows."
                found.append(Problem(where, "target_leak", message, "A column plays one part."))
            elif not where.startswith(("/group_by", "/weight")) and name == self.group_by:
                message = f"`{name}` tells the groups apart, within which it never varies."
                found.append(Problem(where, "target_leak", message, "A column plays one part."))
        return found

    def _places(self) -> list[tuple[str, str]]:
        """List each name in the selection with its JSON Pointer."""
        targets = self.target_names
        places = [
            (f"/target/{i}" if not isinstance(self.target, str) else "/target", n)
            for i, n in enumerate(targets)
        ]
        places += [(f"/features/{index}", name) for index, name in enumerate(self.features or ())]
        for role, names in (self.inputs or {}).items():
            places += [(f"/inputs/{role}/{index}", name) for index, name in enumerate(names)]
        places += [("/weight", self.weight)] if self.weight else []
        places += [("/group_by", self.group_by)] if self.group_by else []
        if self.lengths:
            places += [("/lengths/input", self.lengths.input), ("/lengths/target", self.lengths.target)]
        return places

    def _repeated(self) -> list[Problem]:
        lists: dict[str, Sequence[str]] = {"/target": self.target_names, "/features": self.features or ()}
        lists |= {f"/inputs/{role}": names for role, names in (self.inputs or {}).items()}
        return [
            Problem(f"{where}/{index}", "duplicate_column", f"`{name}` is listed twice.", "Remove one.")
            for where, names in lists.items()
            for index, name in enumerate(names)
            if name in names[:index]
        ]

    def _unequal_inputs(self) -> list[Problem]:
        sizes = {role: len(names) for role, names in (self.inputs or {}).items()}
        if len(set(sizes.values())) <= 1:
            return []
        listed = ", ".join(f"`{role}` has {size}" for role, size in sizes.items())
        message = f"The inputs differ in their number of columns: {listed}."
        hint = "One network takes them all: give each the same columns in the same order."
        return [Problem("/inputs", "ragged_columns", message, hint)]

    def column_problems(self, schema: Schema, table: str) -> list[Problem]:
        """Tell which of the columns in use cannot be trained on; of a completed selection."""
        used = dict.fromkeys((*self.target_names, *(n for names in self.roles().values() for n in names)))
        found = []
        for name in used:
            column = schema.by_name[name]
            is_target = name in self.target_names
            where = table + pointer_to(name) if table == "/columns" else table
            where = where or next((place for place, known in self._places() if known == name), "")
            found += _unusable(column, where, is_target=is_target)
        return found + self._weight_problems(schema) + self._group_problems(schema)

    def _weight_problems(self, schema: Schema) -> list[Problem]:
        found = []
        for place, name in self._places():
            if not place.startswith(("/weight", "/lengths")):
                continue
            column = schema.by_name[name]
            if column.kind != "number" or column.missing or (column.minimum or 0.0) < 0:
                message = f"`{name}` must hold a number of 0 or more in every row."
                found.append(Problem(place, "out_of_range", message, "Choose another column, or correct it."))
            elif column.maximum == 0:
                message = f"`{name}` is 0 in every row: no row would count."
                found.append(Problem(place, "constant_column", message, "Give at least some rows a weight."))
        return found

    def _group_problems(self, schema: Schema) -> list[Problem]:
        if self.group_by is None:
            return []
        column = schema.by_name[self.group_by]
        if column.kind not in {"number", "category"} or _has_fractions(column):
            message = f"`{column.name}` must hold texts or whole numbers to tell groups apart."
            hint = "Choose a column of names or numbers of the groups."
            if column.kind == "text":
                message = f"`{column.name}` has more different texts than there can be groups."
            return [Problem("/group_by", "unusable_column", message, hint)]
        if column.missing:
            message = f"`{column.name}` has no value in {column.missing:,} rows: they belong to no group."
            return [
                Problem("/group_by", "missing_values", message, "Leave the rows out, or give them a group.")
            ]
        return []


def _has_fractions(column: Column) -> bool:
    """Whether a number is among the distinct values that is not whole; of more values than are listed nothing is known."""
    known = (column.minimum, column.maximum, *(column.values or ()))
    return any(isinstance(value, float) and not value.is_integer() for value in known)


def _unusable(column: Column, where: str, *, is_target: bool) -> list[Problem]:
    if column.kind == "text":
        message = f"`{column.name}` is free text: more different values than can be categories."
        return [
            Problem(where, "unusable_column", message, "Leave it out, or turn it into numbers or categories.")
        ]
    if column.kind == "array" or not _is_constant(column):
        return []
    value = column.values[0] if column.values else column.minimum
    shown = f"{value:g}" if isinstance(value, float) else f"`{value}`"
    message = f"`{column.name}` is {shown} in every row: there is nothing to learn from it."
    if column.missing and value is None:
        message = f"`{column.name}` has no value in any row."
    hint = "Choose a target that varies." if is_target else "Leave the column out by listing `features`."
    return [Problem(where, "constant_column", message, hint)]


def _is_constant(column: Column) -> bool:
    if column.kind == "category":
        return len(column.values or ()) <= 1
    return column.minimum == column.maximum
