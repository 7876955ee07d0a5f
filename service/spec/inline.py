"""Rows sent with the job, by column or by row."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from service.exceptions import Problem
from service.spec.base import ColumnName
from service.spec.limits import Limits, over_limit
from service.spec.packed import PackedNumbers, PackedRows, numbers_text
from service.spec.pointers import pointer_to
from service.spec.schema import Column, Schema
from service.spec.selection import Selection
from service.spec.values import Cell, Values, described

__all__ = ["InlineData"]


class InlineData(Selection):
    """Rows sent with the job, by column or by row."""

    type: Literal["inline"]
    columns: dict[ColumnName, Values] | None = None
    """The values of each column, all of one length: numbers, texts, or arrays; null where one is missing."""
    rows: Annotated[tuple[dict[ColumnName, Cell], ...], Field(fail_fast=True)] | None = None
    """One object for each row, all with the same columns."""

    @cached_property
    def table(self) -> Mapping[str, Sequence[Any]]:
        """The values by column, whichever way they were sent; only for data without problems."""
        if self.columns is not None:
            return self.columns
        if isinstance(self.rows, PackedRows):
            return self.rows.columns
        rows = self.rows or ()
        return {name: tuple(row[name] for row in rows) for name in (rows[0] if rows else {})}

    @cached_property
    def schema_or_problems(self) -> "Schema | list[Problem]":
        """Describe the columns, or tell why they cannot be."""
        pointer = "/columns" if self.rows is None else "/rows"
        found = self._shape_problems(pointer)
        if found:
            return found
        columns: list[Column] = []
        for name, values in self.table.items():
            one = described(name, values, pointer + pointer_to(name) if self.rows is None else pointer)
            if isinstance(one, Problem):
                found.append(one)
            else:
                columns.append(one)
        return found or Schema(rows=self.row_count, columns=tuple(columns))

    @property
    def table_schema(self) -> Schema:
        """The columns and their figures; only for data without problems."""
        if isinstance(self.schema_or_problems, Schema):
            return self.schema_or_problems
        raise ValueError("data with problems has no schema")

    @property
    def row_count(self) -> int:
        """Number of rows."""
        return len(self.rows) if self.rows is not None else len(next(iter(self.table.values()), ()))

    def problems(self, limits: Limits) -> list[Problem]:
        """Tell what is wrong beyond the types; pointers are relative to `data`."""
        if (self.columns is None) == (self.rows is None):
            message = "Inline data needs either columns or rows, and not both."
            hint = 'As in {"columns": {"x": [0, 1], "y": [7, 12]}, "target": "y"}.'
            return [Problem("", "missing", message, hint)]
        pointer = "/columns" if self.rows is None else "/rows"
        found = self._row_key_problems() or over_limit(pointer, "rows", self.row_count, limits.max_rows)
        found = found or over_limit(pointer, "columns", len(self.table), limits.max_features + 1)
        if found:
            return found
        described = self.schema_or_problems
        return described if isinstance(described, list) else []

    def packed_texts(self) -> dict[str, Any]:
        """Give what has many numbers, as fields with their JSON; pydantic takes several times longer to write it."""
        if isinstance(self.rows, PackedRows):
            return {"rows": orjson.Fragment(self.rows.text)}
        columns = self.columns or {}
        if not any(isinstance(values, PackedNumbers) for values in columns.values()):
            return {}
        return {"columns": {name: _written(values) for name, values in columns.items()}}

    def _row_key_problems(self) -> list[Problem]:
        if not self.rows or isinstance(self.rows, PackedRows):
            return []
        expected = self.rows[0].keys()
        for number, row in enumerate(self.rows):
            if row.keys() != expected:
                names = ", ".join(sorted(expected ^ row.keys())[:5])
                message = f"Row {number} does not have the same columns as row 0; they differ in {names}."
                hint = "Give every row every column; null where a value is missing."
                return [Problem(f"/rows/{number}", "ragged_rows", message, hint)]
        return []

    def _shape_problems(self, pointer: str) -> list[Problem]:
        if not self.table:
            hint = "Send at least one feature and the target."
            return [Problem("", "empty_data", "The data has no columns.", hint)]
        return _length_problems(self.table, pointer) or self._mixed_problems()

    def _mixed_problems(self) -> list[Problem]:
        """Refuse a column that holds texts in some rows and numbers in others; by column, pydantic has done so."""
        by_row = self.rows is not None and not isinstance(self.rows, PackedRows)
        for name, values in self.table.items() if by_row else ():
            present = [(row, _KINDS[type(value)]) for row, value in enumerate(values) if value is not None]
            kinds = {kind for _, kind in present}
            if len(kinds) > 1:
                row = next(row for row, kind in present if kind != present[0][1])
                message = f"`{name}` holds {' and '.join(sorted(kinds))}: a column holds one kind of values."
                where = f"/rows/{row}{pointer_to(name)}"
                return [
                    Problem(where, "wrong_type", message, "Send numbers without quotes, or quote them all.")
                ]
        return []


def _written(values: Sequence[Any]) -> Any:  # noqa: ANN401 - JSON
    return orjson.Fragment(numbers_text(values.array)) if isinstance(values, PackedNumbers) else values


_KINDS: dict[type, str] = {float: "numbers", int: "numbers", bool: "numbers", str: "texts", list: "arrays"}


def _length_problems(table: Mapping[str, Sequence[Any]], pointer: str) -> list[Problem]:
    lengths = {name: len(values) for name, values in table.items()}
    rows = next(iter(lengths.values()))
    if any(length != rows for length in lengths.values()):
        listed = ", ".join(f"`{name}` has {length}" for name, length in list(lengths.items())[:5])
        message = f"The columns differ in length: {listed}."
        return [Problem(pointer, "ragged_columns", message, "Give all one length.")]
    if rows < 2:  # noqa: PLR2004 - a line needs two points
        code = "empty_data" if rows == 0 else "too_few_rows"
        message = f"The data has {rows} row{'s' if rows != 1 else ''}; a fit needs at least 2."
        return [Problem(pointer, code, message, "Send more rows.")]
    return []
