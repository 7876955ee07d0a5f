"""Predictions by groups: each row by the model of its group."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.exceptions import ColumnMismatch, Problem
from service.inference.predictor import Predicted, Predictor
from service.spec.columns import did_you_mean
from service.spec.job import JobSpec
from service.spec.pointers import pointer_to
from service.tables.frame import Array
from service.training import weights
from service.training.groups.grouping import Label
from service.training.groups.models import GroupModels, are_grouped

__all__ = ["GroupedPredictor", "predictor_of"]


class GroupedPredictor:
    """Predicts with the parameters of a job with groups.

    Attributes:
        feature_names: The columns it needs: that of the groups, and the features.
        predictor: Predicts with the parameters of one group at a time; None where no group has a model.
    """

    def __init__(self, spec: JobSpec, parameters: bytes) -> None:
        """Read the models.

        Args:
            spec: The effective spec of the job.
            parameters: The models of all groups in the safetensors format.
        """
        self._models = models = GroupModels.from_bytes(parameters)
        self._groups: dict[str | float, int] = {label: group for group, label in enumerate(models.labels)}
        self.feature_names = (models.column, *spec.data.feature_names())
        self._lock = threading.Lock()
        """There is one network for all models, with the parameters of one at a time."""
        self.predictor: Predictor | None = None
        if models.preparation is not None:
            some = models.trained[0]
            own = weights.to_bytes(_separate(models, some), models.preparation_of(some))
            self.predictor = Predictor(spec, own)

    @property
    def column(self) -> str:
        """The column that tells the groups apart."""
        return self._models.column

    @property
    def labels(self) -> tuple[Label, ...]:
        """What the groups that have a model are called."""
        return tuple(self._models.labels[group] for group in self._models.trained)

    def predict(self, columns: Mapping[str, Sequence[Any] | Array]) -> Predicted:
        """Predict each row by the model of its group.

        Args:
            columns: Values of the groups' column and of each feature, all of one length, in raw units.

        Raises:
            ColumnMismatch: A column is missing, unknown, of another kind, or differs in length; or a row is of a
                group that the training did not have, or that has no model.
        """
        groups = self._groups_of(columns)
        if self.predictor is None:
            return Predicted({})  # There are no rows: each would be of a group without a model.
        rest = {name: values for name, values in columns.items() if name != self._models.column}
        arrays = self.predictor.arrays(rest)
        if any(len(values) != len(groups) for values in arrays.values()):
            message = "The columns differ in length."
            raise ColumnMismatch([Problem("/columns", "ragged_columns", message, "Give all one length.")])
        if not len(groups):
            return self.predictor.predict_arrays(arrays)
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        parts = []
        with self._lock:
            for rows in np.split(order, cuts):
                self._take_on(self.predictor, int(groups[rows[0]]))
                parts.append(
                    self.predictor.predict_arrays({name: values[rows] for name, values in arrays.items()})
                )
        return _joined(parts, order)

    def _take_on(self, predictor: Predictor, group: int) -> None:
        predictor.take_on(self._models.preparation_of(group), self._models.state_dict_of(group))

    def _groups_of(self, columns: Mapping[str, Sequence[Any] | Array]) -> np.ndarray:
        """Find the group of each row.

        Raises:
            ColumnMismatch: There is no such group, or it has no model; of each kind of problem the first is told.
        """
        name = self._models.column
        if name not in columns:
            message = f"The column `{name}` is missing: it says by which group's model a row is predicted."
            hint = "Send the group of each row beside the features."
            raise ColumnMismatch([Problem("/columns", "missing", message, hint)])
        found = np.empty(len(columns[name]), dtype=np.int64)
        for row, value in enumerate(columns[name]):
            group = self._groups.get(value) if isinstance(value, str | int | float) else None
            if group is None or not self._models.is_trained(group):
                raise ColumnMismatch([self._problem(row, value, group)])
            found[row] = group
        return found

    def _problem(self, row: int, value: object, group: int | None) -> Problem:
        where, shown = pointer_to("columns", self._models.column, row), str(value)[:80]
        if group is None:
            message = f"There was no group `{shown}` in the training."
            return Problem(
                where, "unknown_group", message, did_you_mean(shown, map(str, self._models.labels))
            )
        error = self._models.errors.get(group)
        why = "its training did not end" if error is None else f"{error.code}: {error.message}"
        message = f"The group `{shown}` has no model: {why}"
        hint = "GET …/groups?status=failed lists the groups without a model." if error is None else error.hint
        return Problem(where, "group_without_model", message, hint)


def predictor_of(spec: JobSpec, parameters: bytes) -> Predictor | GroupedPredictor:
    """Load what predicts with the parameters of a job.

    Args:
        spec: The effective spec of the job.
        parameters: As the job left them.
    """
    return (GroupedPredictor if are_grouped(parameters) else Predictor)(spec, parameters)


def _separate(models: GroupModels, group: int) -> dict[str, Any]:
    """Give the tensors of one group as tensors of their own, as files want them."""
    return {name: tensor.clone() for name, tensor in models.state_dict_of(group).items()}


def _joined(parts: Sequence[Predicted], order: np.ndarray) -> Predicted:
    """Put the predictions of all groups into the order of the rows."""
    places = np.argsort(order)

    def rows_of(side: str) -> dict[str, Any]:
        names = getattr(parts[0], side)
        return {name: _in_order([getattr(part, side)[name] for part in parts], places) for name in names}

    return Predicted(rows_of("columns"), rows_of("probabilities"), rows_of("std"))


def _in_order(values: Sequence[Any], places: np.ndarray) -> Any:  # noqa: ANN401 - lists, or arrays
    if all(isinstance(one, np.ndarray) for one in values):
        return np.concatenate(values)[places]
    flat = [value for some in values for value in some]
    return [flat[place] for place in places.tolist()]
