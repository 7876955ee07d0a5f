"""What a spec means for its data: shapes and sizes, by arithmetic alone."""

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.spec.evaluation import ColumnSplit
from service.spec.job import JobSpec
from service.spec.models import PolynomialModel
from service.spec.pairing import classes_of
from service.spec.schema import Column, Schema

__all__ = ["Plan", "part_sizes"]


@dataclass(frozen=True)
class Plan:
    """A job's shapes and sizes.

    Attributes:
        spec: The spec, its features chosen.
        schema: Of the table that it names.
    """

    spec: JobSpec
    schema: Schema

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """The columns that one application of the network takes."""
        return tuple(self.schema.by_name[name] for name in self.spec.data.feature_names())

    @cached_property
    def targets(self) -> tuple[Column, ...]:
        """The columns to predict."""
        return tuple(self.schema.by_name[name] for name in self.spec.data.target_names)

    @cached_property
    def classes(self) -> tuple[str | float, ...]:
        """The classes of the one target column, ascending; empty where it has none, or they are too many."""
        return classes_of(self.targets[0]) if len(self.targets) == 1 else ()

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """Shape of what the network takes for one row."""
        arrays = [column for column in self.features if column.kind == "array"]
        if len(arrays) == 1 and len(self.features) == 1:
            return arrays[0].shape
        width = sum(math.prod(column.shape) for column in arrays)
        width += sum(self.spec.preprocessing.width(c) for c in self.features if c.kind != "array")
        if isinstance(self.spec.model, PolynomialModel):
            return (self.spec.model.term_count(width),)
        return (width,)

    @cached_property
    def outputs(self) -> int | None:
        """Numbers that the network gives for one row; None where the model chooses."""
        targets = sum(math.prod(column.shape) for column in self.targets)
        return self.spec.loss.outputs(targets=targets, classes=len(self.classes))

    @cached_property
    def train_rows(self) -> int:
        """Rows of the largest training of the job, at most: what is dropped for missing values counts still."""
        evaluation, rows = self.spec.evaluation, self.schema.rows
        if evaluation.split is None or isinstance(evaluation.split, ColumnSplit):
            return rows
        return part_sizes(rows, dev=evaluation.split.dev, test=evaluation.split.test)[0]

    @property
    def is_grouped(self) -> bool:
        """Whether each group of rows gets a model of its own."""
        return self.spec.data.group_by is not None

    @property
    def groups(self) -> int | None:
        """Groups of rows, 1 without groups; None where only the rows can tell, as of a column with many numbers."""
        if self.spec.data.group_by is None:
            return 1
        values = self.schema.by_name[self.spec.data.group_by].values
        return None if values is None else len(values)

    @property
    def has_dev(self) -> bool:
        """Whether rows are held back to watch the training on."""
        return self.spec.evaluation.has_dev(self.schema)

    @property
    def smallest_train_rows(self) -> int:
        """Rows of the smallest training, where they are known: a fold less than all in a cross-validation."""
        folds = self.spec.evaluation.folds
        return self.train_rows if folds is None else self.train_rows - math.ceil(self.train_rows / folds.k)

    @property
    def knows_rows(self) -> bool:
        """Whether `train_rows` is exact: no row is dropped, and no column says which part it belongs to."""
        treatment = self.spec.preprocessing.treatment
        used = (self.schema.by_name[name] for names in self.spec.data.roles().values() for name in names)
        dropped = any(c.missing and treatment(c).missing == "drop" for c in (*used, *self.targets))
        return not dropped and not isinstance(self.spec.evaluation.split, ColumnSplit)

    @property
    def batch_rows(self) -> int:
        """Rows of one full step."""
        size = self.spec.training.batch_size
        return min(size, self.train_rows) if isinstance(size, int) else self.train_rows

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates of one epoch."""
        if self.spec.training.drop_last:
            return max(1, self.train_rows // self.batch_rows)
        return math.ceil(self.train_rows / self.batch_rows)

    @property
    def runs(self) -> int:
        """Trainings of the job: restarts, or folds and the final one."""
        folds = self.spec.evaluation.folds
        return folds.k + 1 if folds else self.spec.training.restarts

    @property
    def epochs(self) -> int:
        """Epochs of all trainings together."""
        return self.runs * self.spec.training.epochs

    @property
    def history_points(self) -> int:
        """Numbers in the history at most: of each epoch the losses, the learning rate, and what is evaluated in it."""
        evaluation = self.spec.evaluation
        metrics = len(evaluation.metrics or ()) if evaluation.every else 0
        return self.epochs * (3 + (self.runs > 1) + metrics)

    @property
    def gradients(self) -> int:
        """Gradients that all trainings compute at most: one for each step, but for optimizers that ask again."""
        # The last batch of each group may be a small one.
        steps = self.steps_per_epoch + (self.groups or 1) - 1
        return math.ceil(self.epochs * steps * self.spec.optimizer.evaluations_per_step)

    @cached_property
    def parameter_count(self) -> int:
        """Numbers that one training fits, embeddings included; 0 where only the built network could tell."""
        own = self.spec.model.parameter_count(inputs=self.inputs, outputs=self.outputs) or 0
        return own + sum(
            len(column.values or ()) * self.spec.preprocessing.width(column)
            for column in self.features
            if column.kind == "category" and self.spec.preprocessing.treatment(column).encoding == "embedding"
        )

    @cached_property
    def activation_count(self) -> int:
        """Numbers that are alive in the forward pass of one row."""
        own = self.spec.model.activation_count(inputs=self.inputs, outputs=self.outputs) or 0
        return own + math.prod(self.inputs)

    def with_changes(self, **sections: Any) -> "Plan":  # noqa: ANN401 - sections of any kind
        """Give the plan of the spec with other sections."""
        return dataclasses.replace(self, spec=self.spec.model_copy(update=sections))


def part_sizes(rows: int, *, dev: float, test: float) -> tuple[int, int, int]:
    """Count the rows of train, dev and test; a part that is asked for gets at least one row."""
    dev_rows, test_rows = (max(1, round(rows * share)) if share else 0 for share in (dev, test))
    return rows - dev_rows - test_rows, dev_rows, test_rows
