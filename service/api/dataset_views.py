"""From rows and files of datasets to the JSON that callers see."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from service.datasets.orm import Dataset
from service.spec.schema import Column, Schema
from service.tables.frame import Array, Frame

__all__ = ["dataset_view", "preview_rows", "summary_view"]

MAX_VALUES_SHOWN = 100
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
        "values": None if values is None else values[:MAX_VALUES_SHOWN],
    }


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
    if column.kind == "array":
        return [_array(row) for row in first]
    # JSON has no NaN: the writer makes null of it.
    return list(first.tolist())


def _array(row: Array) -> Any:  # noqa: ANN401 - nested lists, or what is said of them
    if row.size <= MAX_NUMBERS_SHOWN:
        return row.tolist()
    return {"shape": row.shape, "minimum": np.min(row).item(), "maximum": np.max(row).item()}
