"""The trials of a sweep as a table for programs that read tables: CSV and Arrow."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

__all__ = ["as_arrow", "as_csv"]

COLUMNS = (
    "trial", "status", "stop_reason", "objective", "train_loss", "dev_loss", "epoch", "epochs", "seconds",
    "rung", "repeats", "job_id",
)  # fmt: skip
"""What each row has beside its values, which follow under their pointers."""
_TEXTS = {"status", "stop_reason", "job_id"}
_NUMBERS = {"objective", "train_loss", "dev_loss", "seconds"}


def _table(trials: Sequence[Mapping[str, Any]], parameters: Sequence[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [trial[name] for trial in trials] for name in COLUMNS}
    return columns | {name: [trial["values"][name] for trial in trials] for name in parameters}


def as_csv(trials: Sequence[Mapping[str, Any]], parameters: Sequence[str]) -> str:
    """Write a row for each trial, empty where there is nothing; lists and objects as JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    columns = _table(trials, parameters)
    writer.writerow(columns)
    writer.writerows(map(_cells, zip(*columns.values(), strict=True)))
    return text.getvalue()


def _cells(row: Sequence[Any]) -> Iterator[Any]:
    for value in row:
        is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        yield "" if value is None else value if is_plain else _json(value)


def as_arrow(trials: Sequence[Mapping[str, Any]], parameters: Sequence[str]) -> bytes:
    """Write the same as an Arrow stream; values of several kinds in one column as JSON."""
    import pyarrow as pa

    columns = _table(trials, parameters)
    arrays = {name: pa.array(values, _type(pa, name)) for name, values in columns.items() if name in COLUMNS}
    arrays |= {name: _values(pa, columns[name]) for name in parameters}
    table = pa.table(arrays)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _type(pa: Any, name: str) -> Any:  # noqa: ANN401 - it brings no types
    return pa.string() if name in _TEXTS else pa.float64() if name in _NUMBERS else pa.int64()


def _values(pa: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401 - JSON, and a library without types
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int, float}:
        return pa.array(values, pa.float64())
    if kinds <= {bool} or kinds <= {int} or kinds <= {float} or kinds <= {str}:
        return pa.array(values)
    return pa.array([None if value is None else _json(value) for value in values], pa.string())


def _json(value: Any) -> str:  # noqa: ANN401 - JSON
    return orjson.dumps(value).decode()
