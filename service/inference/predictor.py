"""A trained model that predicts, in raw units on both sides."""

from collections.abc import Mapping, Sequence

import torch

from service.exceptions import ColumnMismatch, Problem
from service.spec.columns import did_you_mean
from service.spec.job import JobSpec
from service.spec.pointers import pointer_to
from service.training.components import build_network
from service.training.data import DTYPES
from service.training.weights import from_bytes

__all__ = ["Predictor"]


class Predictor:
    """Predicts with the parameters of one job.

    Attributes:
        feature_names: The columns it needs.
        target_name: The column it gives.
    """

    def __init__(self, spec: JobSpec, parameters: bytes) -> None:
        """Load a network.

        Args:
            spec: The effective spec of the job.
            parameters: Its trained tensors in the safetensors format.
        """
        self.feature_names = spec.data.feature_names
        self.target_name = spec.data.target_name
        self._dtype = DTYPES[spec.training.dtype]
        self._network = build_network(
            spec.model, features=len(self.feature_names), targets=1, dtype=self._dtype
        )
        self._network.load_state_dict(from_bytes(parameters))
        self._network.eval()

    def predict(self, columns: Mapping[str, Sequence[float]]) -> list[float]:
        """Predict one number for each row.

        Args:
            columns: Values of each feature, all of one length; other columns are not wanted.

        Returns:
            The predictions, in units of the target.

        Raises:
            ColumnMismatch: A feature is missing, unknown, or differs in length.
        """
        problems = self._problems(columns)
        if problems:
            raise ColumnMismatch(problems)
        features = torch.tensor(
            [columns[name] for name in self.feature_names], dtype=self._dtype
        ).T.contiguous()
        with torch.inference_mode():
            predictions: list[float] = self._network(features)[:, 0].tolist()
        return predictions

    def _problems(self, columns: Mapping[str, Sequence[float]]) -> list[Problem]:
        unknown = [name for name in columns if name not in self.feature_names]
        found = [
            Problem(
                pointer_to("columns", name),
                "unknown_column",
                f"The model was not trained on `{name}`.",
                did_you_mean(name, self.feature_names),
            )
            for name in unknown
        ]
        for name in self.feature_names:
            if name not in columns:
                message = f"The feature `{name}` is missing."
                hint = f"Send all of {', '.join(f'`{one}`' for one in self.feature_names[:20])}."
                found.append(Problem("/columns", "missing", message, hint))
        lengths = {len(values) for values in columns.values()}
        if not found and len(lengths) > 1:
            found.append(
                Problem("/columns", "ragged_columns", "The columns differ in length.", "Give all one length.")
            )
        return found
