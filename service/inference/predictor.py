"""A trained model that predicts, in raw units on both sides."""

import itertools
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from service.exceptions import ColumnMismatch, Problem
from service.inference.effort import effort_of
from service.inference.quick import Quick
from service.inference.values import as_column, value_problem
from service.spec.columns import did_you_mean
from service.spec.job import JobSpec
from service.spec.pointers import pointer_to
from service.spec.problems import MAX_PROBLEMS
from service.tables.frame import Array
from service.training.embedding import network_of
from service.training.naming import class_of, label_of, unique, value_names
from service.training.objective import Objective, Predictions
from service.training.preparation import Preparation
from service.training.weights import from_bytes, preparation_of

__all__ = ["Predicted", "Predictor"]

BLOCK_BYTES = 64 * 2**20
"""Bytes that rows may take that are predicted at once: their inputs and what the layers make of them."""
MOST_ROWS = 8192
"""Rows that are predicted at once at most: more are no faster."""
NUMBER_BYTES = 8
ENCODED_COPIES = 3
"""Copies of a row's inputs that are alive at once while it is encoded."""
UNKNOWN_NUMBERS = 2**16
"""Numbers that the layers make of a row where the model cannot count them, as that of a plugin."""
MOST_GUESSES = 3
"""Unknown columns for which the name is looked for that may have been meant: it is held against all names there are."""
Positions = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions of some rows.

    Attributes:
        columns: By target column: values in raw units as float64, or the classes themselves in a list.
        probabilities: Of each class (or of each label), by name; empty where the loss gives none.
        std: By target column: standard deviations in raw units; empty but for `GaussianNLLLoss`.
    """

    columns: dict[str, list[Any] | Floats]
    probabilities: dict[str, Floats] = field(default_factory=dict)
    std: dict[str, Floats] = field(default_factory=dict)


class Predictor:
    """Predicts with the parameters of one job.

    Attributes:
        feature_names: The columns it needs.
        target_names: The columns it gives.
        code_count: How many codes the network knows, where its inputs are codes; else None.
        block_rows: Rows that it predicts at once.
        effort: How much work a prediction is, by estimate.
    """

    def __init__(self, spec: JobSpec, parameters: bytes) -> None:
        """Load a network.

        Args:
            spec: The effective spec of the job.
            parameters: Its trained tensors and its preparation in the safetensors format.
        """
        self.preparation = preparation_of(parameters)
        self.feature_names = self.preparation.feature_names
        self.code_count = spec.model.code_count
        self.block_rows = _block_rows(spec, self.preparation)
        self._objective = Objective(spec.loss)
        self._network = network_of(spec.model, self.preparation)
        self._network.load_state_dict(from_bytes(parameters))
        self._network.eval()
        # Nothing is trained here: without a graph of the gradients a small network takes half the time.
        self._network.requires_grad_(requires_grad=False)
        self.effort = effort_of(spec, self._network, self.preparation)

    @property
    def target_names(self) -> tuple[str, ...]:
        """The columns it gives."""
        return ("output",) if self._objective.spec.roles else self.preparation.target.names

    @property
    def classes(self) -> tuple[str | float, ...]:
        """The classes that it predicts, by their codes; empty where it gives numbers."""
        # Losses that compare two inputs are taught by classes, but what the network gives for one is a score.
        known = () if self._objective.spec.roles else self.preparation.target.classes
        return tuple(class_of(one) for one in known)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes by their codes; empty where it gives numbers."""
        return unique(map(label_of, self.classes))

    def predict(self, columns: Mapping[str, Sequence[Any] | Array]) -> Predicted:
        """Predict each row.

        Args:
            columns: Values of each feature, all of one length, in raw units; other columns are not wanted. Numbers
                come in a sequence or as `PackedNumbers`, arrays in nested lists or as one array.

        Returns:
            The predictions in raw units, and probabilities where there are classes.

        Raises:
            ColumnMismatch: A feature is missing, unknown, of another kind, or differs in length.
        """
        outputs = None if self.quick is None else self.quick.outputs(columns)
        if self.quick is None or outputs is None:
            return self.predict_arrays(self.arrays(columns))
        values = self.quick.values(outputs)
        return self.told(outputs) if values is None else Predicted({**values})

    def arrays(self, columns: Mapping[str, Sequence[Any] | Array]) -> dict[str, Array]:
        """Turn columns as `predict` takes them into arrays of a frame.

        Raises:
            ColumnMismatch: As `predict`.
        """
        problems = self._problems(columns)
        if problems:
            raise ColumnMismatch(problems)
        inputs = zip(self.preparation.inputs, self.feature_names, strict=True)
        return {name: as_column(one, columns[name]) for one, name in inputs}

    def take_on(self, preparation: Preparation, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Predict with other parameters of the same network from now on: nobody else may be predicting meanwhile."""
        self.preparation = preparation
        self._network.load_state_dict(dict(state_dict))

    @cached_property
    def quick(self) -> Quick | None:
        """The short way for a few rows; None where the rows are no plain numbers."""
        if self.code_count is not None or not self.preparation.is_numbers:
            return None
        plain = self._objective.gives_values and not self.classes and self.preparation.target.kind == "values"
        return Quick(self.preparation, self._network, names=self._value_names if plain else None)

    @property
    def first_weights(self) -> npt.NDArray[np.float64] | None:
        """Weights of the first layer that has any: a matrix (outputs, inputs), or filters (outputs, inputs, …)."""
        parameters = (p for name, p in self._network.named_parameters() if not name.startswith("embeddings."))
        first = next((p for p in parameters if p.dim() in {2, 4}), None)
        return None if first is None else first.detach().double().numpy()

    def outputs(self, arrays: Mapping[str, Array]) -> torch.Tensor:
        """Give what the network itself puts out: shape (rows, outputs)."""
        parts = list(self.blocks(arrays))
        return torch.cat(parts) if parts else self._no_outputs(arrays)

    def blocks(self, arrays: Mapping[str, Array], *, rows: Positions | None = None) -> Iterator[torch.Tensor]:
        """Give the same for `block_rows` rows at a time: no more than these are ever encoded.

        Args:
            arrays: By column as in a frame, all of one length.
            rows: Positions of the rows that are wanted; all when left out.
        """
        count = len(arrays[self.feature_names[0]]) if rows is None else len(rows)
        for start in range(0, count, self.block_rows):
            block = slice(start, start + self.block_rows)
            chosen = block if rows is None else rows[block]
            yield self._applied({name: arrays[name][chosen] for name in self.feature_names})

    def _applied(self, columns: Mapping[str, Array]) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = self._network(self.preparation.features(columns))
        return found

    def _no_outputs(self, arrays: Mapping[str, Array]) -> torch.Tensor:
        """Give the outputs of no rows. Only the network knows their shape: a row of zeros asks it."""
        features = self.preparation.features({name: arrays[name][:0] for name in self.feature_names})
        with torch.inference_mode():
            found: torch.Tensor = self._network(features.new_zeros(1, *features.shape[1:]))
        return found[:0]

    def predict_arrays(self, arrays: Mapping[str, Array]) -> Predicted:
        """Predict rows given as arrays of a frame: categories as their codes at the training."""
        return self.told(self.outputs(arrays))

    def told(self, outputs: torch.Tensor) -> Predicted:
        """Turn what the network puts out into predictions in raw units."""
        meaning = self.meaning(outputs)
        code = self.preparation.target
        values = meaning.values.unsqueeze(1) if meaning.values.dim() == 1 else meaning.values.flatten(1)
        columns: dict[str, list[Any] | Floats]
        if self.classes:
            columns = {code.names[0]: [self.classes[place] for place in values[:, 0].tolist()]}
        elif code.kind == "sequence":
            columns = {code.names[0]: [[label for label in row if label >= 0] for row in values.tolist()]}
        else:
            raw = code.to_raw(values)
            columns = {**_by_name(self._value_names(raw.shape[1]), raw)}
        return Predicted(
            columns,
            {} if meaning.probabilities is None else self._probabilities(meaning.probabilities),
            {} if meaning.std is None else self._std(meaning.std),
        )

    def meaning(self, outputs: torch.Tensor) -> Predictions:
        """Say what the network's outputs mean; values still in the units of the training."""
        return self._objective.predictions(outputs)

    def truth(self, target: torch.Tensor) -> torch.Tensor:
        """Give encoded targets in the form of `Predictions.values`."""
        return self._objective.truth(target)

    def _value_names(self, count: int) -> tuple[str, ...]:
        return value_names(self.preparation.target, loss=self._objective.spec, count=count)

    def _probabilities(self, probabilities: torch.Tensor) -> dict[str, Floats]:
        """Name the probabilities of classes by class, and those of yes by target."""
        labels = self.labels
        if len(labels) == 2 and probabilities.shape[1] == 1:  # noqa: PLR2004 - the class and its opposite
            probabilities = torch.cat([1 - probabilities, probabilities], dim=1)
        if probabilities.dim() > 2:  # noqa: PLR2004 - one for each step of a sequence
            return {}
        names = labels or self._value_names(probabilities.shape[1])
        return _by_name(names, probabilities)

    def _std(self, std: torch.Tensor) -> dict[str, Floats]:
        scale = torch.tensor(self.preparation.target.scale or (1.0,), dtype=torch.float64)
        return _by_name(self._value_names(std.shape[1]), std.double() * scale)

    def _problems(self, columns: Mapping[str, Sequence[Any] | Array]) -> list[Problem]:
        names = itertools.chain(self._unknown(columns), self._missing(columns))
        found = list(itertools.islice(names, MAX_PROBLEMS))
        if found:
            return found
        if len({len(values) for values in columns.values()}) > 1:
            message = "The columns differ in length."
            return [Problem("/columns", "ragged_columns", message, "Give all one length.")]
        return list(itertools.islice(self._wrong_values(columns), MAX_PROBLEMS))

    def _unknown(self, columns: Iterable[str]) -> Iterator[Problem]:
        known = frozenset(self.feature_names)
        for place, name in enumerate(name for name in columns if name not in known):
            hint = did_you_mean(name[:80], self.feature_names) if place < MOST_GUESSES else "Leave it out."
            message = f"The model was not trained on `{name}`."
            yield Problem(pointer_to("columns", name), "unknown_column", message, hint)

    def _missing(self, columns: Container[str]) -> Iterator[Problem]:
        shown = ", ".join(f"`{name}`" for name in self.feature_names[:20])
        for name in self.feature_names:
            if name not in columns:
                message = f"The feature `{name}` is missing."
                yield Problem("/columns", "missing", message, f"Send all of {shown}.")

    def _wrong_values(self, columns: Mapping[str, Sequence[Any] | Array]) -> Iterator[Problem]:
        for one, name in zip(self.preparation.inputs, self.feature_names, strict=True):
            problem = value_problem(one, columns[name], codes=self.code_count)
            if problem is not None:
                yield Problem(pointer_to("columns", name, *problem.place), *problem.what)


def _by_name(names: Sequence[str], table: torch.Tensor) -> dict[str, Floats]:
    """Give the columns of a table by name; what is no whole number as float64."""
    exact = table.double() if table.is_floating_point() else table
    return dict(zip(names, np.ascontiguousarray(exact.numpy().T), strict=True))


def _block_rows(spec: JobSpec, preparation: Preparation) -> int:
    """Choose how many rows are encoded and predicted at once, so that these take `BLOCK_BYTES` at most."""
    made = spec.model.activation_count(inputs=preparation.shape, outputs=preparation.outputs)
    numbers = (UNKNOWN_NUMBERS if made is None else made) + ENCODED_COPIES * math.prod(preparation.shape)
    return max(1, min(MOST_ROWS, BLOCK_BYTES // (NUMBER_BYTES * max(1, numbers))))
