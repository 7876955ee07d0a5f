"""From rows and files of datasets to the JSON that callers see."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from service.datasets.orm import Dataset
from service.spec.schema import SINCE_1970, Column, Schema, Unit
from service.tables.frame import Array, Frame

__all__ = ["dataset_view", "preview_rows", "summary_view"]

MAX_VALUES_SHOWN = 100
MAX_DISTINCT_SHOWN = 20
"""More distinct numbers than this are measurements, whose list tells nothing."""
MAX_NUMBERS_SHOWN = 100


def summary_view(dataset: Dataset) -> dict[str, Any]:
    """Describe a dataset without its columns."""
    base = f"/v1/datasets/{dataset.id}"
    return {
        "id": dataset.id,
        "object": "dataset",
        "name": dataset.name,
        "created_at": dataset.created_at,
        "format": dataset.format,
        "rows": dataset.rows,
        "column_count": dataset.column_count,
        "bytes": dataset.stored_bytes,
        "uploaded_bytes": dataset.uploaded_bytes,
        "digest": dataset.digest,
        "links": {"self": base, "preview": f"{base}/preview"},
    }


def dataset_view(dataset: Dataset, schema: Schema) -> dict[str, Any]:
    """Describe a dataset with its columns."""
    return {**summary_view(dataset), "columns": [_column(column) for column in schema.columns]}


def _column(column: Column) -> dict[str, Any]:
    values = column.values
    return {
        **column.model_dump(exclude={"values"}),
        "distinct": None if values is None else len(values),
        "values": _few(column),
    }


def _few(column: Column) -> Sequence[str | float] | None:
    if column.values is None or (column.kind == "number" and len(column.values) > MAX_DISTINCT_SHOWN):
        return None
    return column.values[:MAX_VALUES_SHOWN]


def preview_rows(frame: Frame, rows: int) -> list[dict[str, Any]]:
    """Give the first rows as objects."""
    count = min(rows, len(frame))
    columns: Mapping[str, list[Any]] = {
        column.name: _shown(column, frame.arrays.get(column.name), count) for column in frame.schema.columns
    }
    return [{name: values[row] for name, values in columns.items()} for row in range(count)]


def _shown(column: Column, array: Array | None, count: int) -> list[Any]:
    if array is None:
        return [None] * count
    first = array[:count]
    if column.kind == "category":
        texts = column.values or ()
        return [texts[code] if code >= 0 else None for code in first.tolist()]
    shown = _SHOWN_AS.get(column.unit, _as_it_is)
    if column.kind == "array":
        return [_array(row, shown) for row in first]
    # JSON has no NaN: the writer makes null of it.
    return [shown(value) for value in first.tolist()]


def _array(row: Array, shown: "_Shown") -> Any:  # noqa: ANN401 - nested lists, or what is said of them
    if row.size <= MAX_NUMBERS_SHOWN:
        return _nested(row.tolist(), shown)
    return {"shape": row.shape, "minimum": shown(np.min(row).item()), "maximum": shown(np.max(row).item())}


def _nested(value: Any, shown: "_Shown") -> Any:  # noqa: ANN401 - nested lists
    return [_nested(one, shown) for one in value] if isinstance(value, list) else shown(value)


_Shown = Callable[[float], float | str]
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR = (
    (datetime(1, 1, 1, tzinfo=UTC) - _1970).total_seconds(),
    (datetime(9999, 12, 31, tzinfo=UTC) - _1970).total_seconds(),
)
"""Seconds of the first and the last day that dates are written for; files can hold others."""


def _as_it_is(value: float) -> float:
    return value


def _moment(seconds: float) -> float | str:
    """Write seconds since 1970 in ISO 8601; NaN and what lies beyond the calendar stay numbers."""
    if not _CALENDAR[0] <= seconds <= _CALENDAR[1]:
        return seconds
    moment = _1970 + timedelta(microseconds=round(seconds * 1e6))
    return moment.isoformat().replace("+00:00", "Z")


_SHOWN_AS: Mapping[Unit | None, _Shown] = {SINCE_1970: _moment}
