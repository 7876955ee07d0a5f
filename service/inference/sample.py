"""Rows of a job's own data with what its model predicts for them: what pictures are drawn from."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from service.inference.predictor import Predictor
from service.inference.values import label_of
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.tables.frame import Array, Frame
from service.training import encoding
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
    def of(cls, spec: JobSpec, parameters: bytes, *, datasets: Path, limit: int) -> "Sample":
        """Choose the rows of a job.

        Args:
            spec: The effective spec.
            parameters: Of the job.
            datasets: The folder of the stored datasets.
            limit: Most rows to choose.

        Raises:
            TrainingFailed: The dataset is gone.
        """
        predictor = Predictor(spec, parameters)
        frame = load(spec.data, datasets=datasets)
        plan = Plan(spec, frame.schema)
        usable = usable_rows(frame, spec.preprocessing, (*plan.features, *plan.targets))
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
    def outputs(self) -> torch.Tensor:
        """What the network puts out for the chosen rows; shape (rows, outputs)."""
        return self.predictor.outputs({name: self.column(name) for name in self.predictor.feature_names})

    @cached_property
    def predicted(self) -> Floats:
        """Predicted numbers of the first target in raw units, or codes of classes; shape (rows,)."""
        values = self.predictor.meaning(self.outputs).values
        values = (
            values if values.dim() == 1 else self.predictor.preparation.target.to_raw(values.flatten(1))[:, 0]
        )
        return values.double().numpy()

    @cached_property
    def actual(self) -> Floats:
        """The same numbers or codes as they are in the data; shape (rows,)."""
        code = self.predictor.preparation.target
        columns = {name: self.column(name) for name in code.names}
        target = encoding.target(code, columns, rows=len(self.rows), dtype=torch.float64)
        truth = self.predictor.truth(target)
        truth = truth if truth.dim() == 1 else code.to_raw(truth.flatten(1))[:, 0]
        return truth.double().numpy()

    @property
    def labels(self) -> list[str]:
        """Names of the classes by their codes; empty where numbers are predicted."""
        return [label_of(one) for one in self.predictor.classes]


def _places(parts: Parts, chosen: Positions) -> dict[str, Positions]:
    named = {"train": parts.train, "dev": parts.dev, "test": parts.test}
    places = {name: np.flatnonzero(np.isin(chosen, rows)) for name, rows in named.items() if len(rows)}
    return places if len(places) > 1 else {}
