"""Bodies of MLflow's scoring protocol."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas import Value, Wire
from service.spec.values import Cell, Values

__all__ = ["Scores", "ScoringRequest"]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class DataFrameSplit(_Sent):
    """A table as pandas splits it: `df.to_dict(orient="split")`."""

    columns: list[str]
    """Names of the columns."""
    data: Annotated[list[list[Cell]], Field(fail_fast=True)]
    """The rows, each with a value for each column."""
    index: list[Any] | None = None
    """Names of the rows; not used."""


class ScoringRequest(_Sent):
    """Rows to predict, in exactly one of four forms."""

    dataframe_split: DataFrameSplit | None = None
    """Names of the columns, and rows of values."""
    dataframe_records: Annotated[list[dict[str, Cell]], Field(fail_fast=True)] | None = None
    """An object for each row."""
    instances: Annotated[list[Cell | dict[str, Cell]], Field(fail_fast=True)] | None = None
    """Rows: objects, lists of the values in the order of the features, or the values of the only feature."""
    inputs: dict[str, Values] | Annotated[list[Cell | dict[str, Cell]], Field(fail_fast=True)] | None = None
    """Columns by name; or rows as in `instances`."""
    params: dict[str, Any] | None = None
    """Models here take none: what is sent is not used."""


class Scores(Wire):
    """The predictions, in the order of the rows."""

    predictions: list[Value | dict[str, Value]]
    """One value for each row; or an object for each row, of a model with several targets."""
