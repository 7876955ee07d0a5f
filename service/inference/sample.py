"""Rows of a job's own data with what its model predicts for them: what pictures are drawn from."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from service.inference.predictor import Predictor
from service.spec.job import JobSpec
from service.tables.frame import Array, Frame
from service.training import encoding
from service.training.columns import columns_in_use
from service.training.frames import load
from service.training.splits import Parts, split, usable_rows

__all__ = ["Sample"]

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Up to a number of rows, evenly chosen from all that the job used.

    Attributes:
        spec: The effective spec.
        predictor: Of the job's parameters.
        frame: All rows.
        rows: Positions of the chosen ones in the frame, ascending.
        parts: Where each part's rows are among the chosen ones; only those parts that have any, and nothing
            where all rows are for training.
    """

    spec: JobSpec
    predictor: Predictor
    frame: Frame
    rows: Positions
    parts: dict[str, Positions]

    @classmethod
    def of(cls, spec: JobSpec, predictor: Predictor, *, datasets: Path, limit: int) -> "Sample":
        """Choose the rows of a job.

        Args:
            spec: The effective spec.
            predictor: Of the job's parameters.
            datasets: The folder of the stored datasets.
            limit: Most rows to choose.

        Raises:
            TrainingFailed: The dataset is gone.
        """
        frame = load(spec.data, datasets=datasets)
        usable = usable_rows(frame, spec.preprocessing, columns_in_use(spec, frame.schema))
        parts = split(spec.evaluation, frame, usable)
        chosen = usable[:: -(-len(usable) // limit)]
        return cls(spec, predictor, frame, chosen, _places(parts, chosen))

    def only(self, part: str) -> "Sample":
        """Choose the rows of one part alone."""
        return dataclasses.replace(self, rows=self.rows[self.parts[part]], parts={})

    def column(self, name: str) -> Array:
        """Give the values of a column in the chosen rows."""
        return self.frame.arrays[name][self.rows]

    @cached_property
    def predicted(self) -> Floats:
        """Predicted numbers of the first target in raw units, or codes of classes; shape (rows,)."""
        outputs = self.predictor.blocks(self.frame.arrays, rows=self.rows)
        return self._first(self.predictor.meaning(block).values for block in outputs)

    @cached_property
    def actual(self) -> Floats:
        """The same numbers or codes as they are in the data; shape (rows,)."""
        size = self.predictor.block_rows
        blocks = (self.rows[start : start + size] for start in range(0, len(self.rows), size))
        return self._first(self._truth(block) for block in blocks)

    def _truth(self, rows: Positions) -> torch.Tensor:
        code = self.predictor.preparation.target
        columns = {name: self.frame.arrays[name][rows] for name in code.names}
        return self.predictor.truth(encoding.target(code, columns, rows=len(rows), dtype=torch.float64))

    def _first(self, blocks: Iterable[torch.Tensor]) -> Floats:
        """Keep one number of each row, in raw units: the others may take more memory than the rows themselves."""
        to_raw = self.predictor.preparation.target.to_raw
        found = (values if values.dim() == 1 else to_raw(values.flatten(1))[:, 0] for values in blocks)
        return np.concatenate([np.empty(0), *(np.array(one.double().numpy()) for one in found)])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes by their codes; empty where numbers are predicted."""
        return self.predictor.labels


def _places(parts: Parts, chosen: Positions) -> dict[str, Positions]:
    named = {"train": parts.train, "dev": parts.dev, "test": parts.test}
    places = {name: np.flatnonzero(np.isin(chosen, rows)) for name, rows in named.items() if len(rows)}
    return places if len(places) > 1 else {}
