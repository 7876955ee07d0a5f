"""All rows of a stored table, predicted block by block: a row that cannot be predicted is told and left empty.

One row in a million with an unknown category must not lose the others, so nothing that a single row holds ends the
prediction. Columns that are missing or of another kind do, and these are known before the first row is read.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from service.exceptions import ColumnMismatch, NoParameters
from service.inference.columns import (
    Complaint,
    Flags,
    GroupColumn,
    InputColumn,
    KeptColumn,
    Tally,
    column_problems,
    inputs_of,
)
from service.inference.grouped import GroupedPredictor
from service.inference.predictor import Predicted, Predictor
from service.spec.schema import Schema
from service.tables.frame import Frame
from service.training.naming import unique
from service.training.reader import Reader

__all__ = ["TablePredictor", "check_columns"]

AnyPredictor = Predictor | GroupedPredictor
GROUP_BYTES = 32 * 2**20
MOST_GROUP_ROWS = 2**17
"""Rows of a model with groups that are read at once: the more, the seldomer the network changes its parameters."""


def check_columns(predictor: AnyPredictor, schema: Schema, *, keep: Sequence[str] = ()) -> None:
    """Make sure that a table can be predicted, without reading a row of it.

    Args:
        predictor: Of the model.
        schema: Of the table.
        keep: Columns of it that the result is to repeat.

    Raises:
        ColumnMismatch: The table does not have the columns that the model takes, or those that are to be kept.
        NoParameters: No group has a model.
    """
    problems = column_problems(predictor, _separate(predictor), schema, keep=keep)
    if problems:
        raise ColumnMismatch(problems)


def _separate(predictor: AnyPredictor) -> Predictor:
    found = predictor if isinstance(predictor, Predictor) else predictor.predictor
    if found is None:
        raise NoParameters("No group of the job has a model.", hint="GET …/groups tells why each has none.")
    return found


class TablePredictor:
    """Predicts a stored table.

    Attributes:
        schema: Of the result: the kept columns, then targets, `probabilities.<class>` and `std.<target>`.
    """

    def __init__(self, predictor: AnyPredictor, frame: Frame, *, keep: Sequence[str] = ()) -> None:
        """Make ready; no row is read yet.

        Args:
            predictor: Of the model.
            frame: The table, mapped from its files.
            keep: Columns of it that the result repeats.

        Raises:
            ColumnMismatch: As `check_columns`.
            NoParameters: As `check_columns`.
        """
        check_columns(predictor, frame.schema, keep=keep)
        self._predictor = predictor
        self._network = _separate(predictor)
        self._frame, self._reader, self._tally = frame, Reader(frame), Tally()
        codes = self._network.code_count
        self._inputs = {
            name: InputColumn(one, name, frame.schema, codes=None if one.kind == "category" else codes)
            for one, name in inputs_of(self._network)
        }
        self._group = (
            GroupColumn(predictor, frame.schema) if isinstance(predictor, GroupedPredictor) else None
        )
        self._keep = [_kept(frame, name) for name in keep]
        self._types = self._types_of(self._predicted(0, 0)[0])
        self.schema = self._schema()

    @property
    def complaints(self) -> list[Complaint]:
        """Why rows were left empty so far; the most frequent reason first."""
        return sorted(self._tally.complaints.values(), key=lambda one: -one.rows)

    @property
    def unpredicted(self) -> int:
        """Rows that were left empty so far."""
        return self._tally.unpredicted

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Predict all rows in their order, some thousands at a time."""
        for start in range(0, len(self._frame), self._rows_at_once):
            rows = min(self._rows_at_once, len(self._frame) - start)
            found, bad = self._predicted(start, rows)
            positions = np.arange(start, start + rows)
            kept = [one.values(self._reader.read([one.name], positions)[one.name]) for one in self._keep]
            predicted = [
                _arrow(values, kind, bad)
                for values, kind in zip(_flat(found).values(), self._types.values(), strict=True)
            ]
            yield pa.record_batch([*kept, *predicted], schema=self.schema)

    @property
    def _rows_at_once(self) -> int:
        """As many as the network takes at once: each block is then the one that a prediction of all rows makes."""
        block = self._network.block_rows
        if self._group is None:
            return block
        numbers = sum(max(1, int(np.prod(one.shape))) for one in self._network.preparation.inputs)
        return max(block, min(MOST_GROUP_ROWS, GROUP_BYTES // (8 * numbers)))

    def _predicted(self, start: int, rows: int) -> tuple[Predicted, Flags]:
        """Predict some rows, and tell which of them are none to be told."""
        self._tally.begin(start, rows)
        positions = np.arange(start, start + rows)
        raw = self._reader.read([name for name, one in self._inputs.items() if one.is_stored], positions)
        arrays = {
            name: one.values(raw.get(name), rows=rows, tally=self._tally)
            for name, one in self._inputs.items()
        }
        if self._group is None or not isinstance(self._predictor, GroupedPredictor):
            return self._network.predict_arrays(arrays), self._tally.end()
        own = self._reader.read([self._group.name], positions)[self._group.name]
        groups = self._group.values(own, self._tally)
        return self._predictor.predict_arrays(groups, arrays), self._tally.end()

    def _types_of(self, nothing: Predicted) -> dict[str, Any]:
        classes = self._network.classes
        return {name: _type_of(values, classes) for name, values in _flat(nothing).items()}

    def _schema(self) -> Any:  # noqa: ANN401 - pyarrow brings no types
        names = list(self._types)
        wanted = [f"dataset.{one.name}" if one.name in self._types else one.name for one in self._keep]
        # The predictions keep their names, whatever the dataset calls its columns.
        kept = unique([*names, *wanted])[len(names) :]
        fields = [pa.field(name, one.type) for name, one in zip(kept, self._keep, strict=True)]
        return pa.schema([*fields, *(pa.field(name, kind) for name, kind in self._types.items())])


def _kept(frame: Frame, name: str) -> KeptColumn:
    return KeptColumn(frame.schema.by_name[name], dtype=frame.arrays[name].dtype)


def _flat(found: Predicted) -> dict[str, Any]:
    """Put the parts of a prediction side by side, named as in an Arrow answer."""
    beside = {"probabilities": found.probabilities, "std": found.std}
    columns = [*found.columns.values(), *(values for some in beside.values() for values in some.values())]
    titles = (f"{title}.{name}" for title, some in beside.items() for name in some)
    return dict(zip(unique([*found.columns, *titles]), columns, strict=True))


def _type_of(values: Any, classes: Sequence[str | float]) -> Any:  # noqa: ANN401 - lists or arrays; Arrow's types
    if isinstance(values, np.ndarray):
        return pa.from_numpy_dtype(values.dtype)
    if not classes:
        return pa.list_(pa.int64())
    kinds = {type(one) for one in classes}
    return pa.string() if str in kinds else pa.int64() if kinds == {int} else pa.float64()


def _arrow(values: Any, kind: Any, bad: Flags) -> Any:  # noqa: ANN401 - lists or arrays; Arrow
    if not bad.any():
        return pa.array(values, kind)
    if isinstance(values, np.ndarray):
        return pa.array(values, kind, mask=bad)
    return pa.array([None if gone else one for one, gone in zip(values, bad.tolist(), strict=True)], kind)
