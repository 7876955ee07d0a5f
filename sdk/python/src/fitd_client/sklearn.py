"""Estimators for scikit-learn that are trained by the service: `pip install 'fitd-client[sklearn]'`.

    from fitd_client.sklearn import FitdClassifier

    FitdClassifier(hidden=(64, 64), epochs=500).fit(X, y).predict_proba(X)

They do what estimators do: pipelines, cross-validation and searches take them. What is fitted stays with the service:
an estimator keeps the id of its job (`job_id_`), and asks the service for predictions, also after it was pickled.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from fitd_client.answers import Result
from fitd_client.client import Client
from fitd_client.fitting import merged
from fitd_client.jobs import Job

__all__ = ["FitdClassifier", "FitdRegressor"]

Array = npt.NDArray[Any]

_SEEDS = 2**31 - 1
_TWO = 2
_SUBMISSION_SECONDS = 10.0


class _FitdEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn brings no types
    """What both estimators have in common."""

    def __init__(  # noqa: PLR0913 - one argument for each parameter, as scikit-learn has it
        self,
        model: str | Mapping[str, Any] = "mlp",
        *,
        hidden: Sequence[int] = (32, 32),
        activation: str = "ReLU",
        loss: str | Mapping[str, Any] | None = None,
        optimizer: str | Mapping[str, Any] = "Adam",
        lr: float | None = 0.01,
        epochs: int = 300,
        batch_size: int | str = "full",
        alpha: float = 0.0,
        scaling: str = "standardize",
        dtype: str = "float64",
        random_state: Any = None,  # noqa: ANN401 - whatever scikit-learn draws from
        spec: Mapping[str, Any] | None = None,
        client: Client | None = None,
        url: str | None = None,
    ) -> None:
        self.model = model
        self.hidden = hidden
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.alpha = alpha
        self.scaling = scaling
        self.dtype = dtype
        self.random_state = random_state
        self.spec = spec
        self.client = client
        self.url = url

    @property
    def result_(self) -> Result:
        """What came out, as the service tells it."""
        return cast("Result", self._trained().result)

    def _client(self) -> Client:
        return (
            self.client if self.client is not None else _shared_client(self.url or os.environ.get("FITD_URL"))
        )

    def _model(self) -> dict[str, Any]:
        if not isinstance(self.model, str):
            return dict(self.model)
        if self.model != "mlp":
            return {"type": self.model}
        return {"type": "mlp", "hidden": list(self.hidden), "activation": {"type": self.activation}}

    def _train(
        self,
        X: Any,  # noqa: ANN401, N803 - scikit-learn's names
        columns: Mapping[str, Any],
        *,
        loss: str,
        weight: Array | None,
        task: str,
    ) -> None:
        """Fit the columns of the target to the features, and keep the job."""
        table = self._table(X)
        varying = [name for name, values in table.items() if _varies(values)]
        # A column that never changes tells nothing, and the service refuses it; one has to be there.
        self._features = varying or list(table)[:1]
        own = {"training": {"dtype": self.dtype}, "regularization": {"l2": self.alpha}}
        job = self._client().fit(
            {name: table[name] for name in self._features} | dict(columns),
            target=list(columns) if len(columns) > 1 else next(iter(columns)),
            weight=weight,
            model=self._model(),
            loss=self.loss or loss,
            optimizer=self.optimizer,
            lr=self.lr,
            epochs=self.epochs,
            batch_size=self.batch_size,
            scaling=self.scaling,
            seed=int(check_random_state(self.random_state).randint(_SEEDS)),
            task=task,
            wait=_SUBMISSION_SECONDS,
            **merged(own, self.spec or {}),
        )
        self._job = job.wait(progress=False)
        self.job_id_ = job.id
        self.n_iter_ = job.progress.epoch

    def _table(self, X: Any) -> dict[str, Any]:  # noqa: ANN401, N803 - scikit-learn's names
        """Give the features by name: those of a DataFrame, or x0, x1 and so on."""
        names = getattr(self, "feature_names_in_", None)
        if hasattr(X, "columns"):
            return {str(name): X[name] for name in X.columns}
        given = [f"x{place}" for place in range(X.shape[1])] if names is None else list(names)
        return {name: X[:, place] for place, name in enumerate(given)}

    def _checked(self, X: Any, y: Any = None, *, reset: bool) -> Any:  # noqa: ANN401, N803 - scikit-learn's names
        """Check features and target as scikit-learn wants it; a DataFrame with texts in it is left as it is."""
        more = {"reset": reset, "skip_check_array": True} if _has_texts(X) else {"reset": reset}
        if not reset:
            return validate_data(self, X, **more)
        # A row alone says nothing about a line.
        return validate_data(self, X, y, multi_output=True, ensure_min_samples=2, **more)

    def _trained(self) -> Job:
        check_is_fitted(self)
        job: Job | None = getattr(self, "_job", None)
        if job is None:
            job = self._job = self._client().job(self.job_id_)
        return job

    def _rows(self, X: Any) -> dict[str, Any]:  # noqa: ANN401, N803 - scikit-learn's names
        check_is_fitted(self)
        table = self._table(self._checked(X, reset=False))
        return {name: table[name] for name in self._features}

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_job", None)  # It belongs to a connection; the id finds it again.
        return state


class FitdRegressor(RegressorMixin, _FitdEstimator):  # type: ignore[misc] # scikit-learn brings no types
    """Numbers, one target or several.

    Parameters are those of the service's spec: `model` is a type or an object, `hidden` and `activation` are those of
    `mlp`, `alpha` is the L2 penalty, `spec` has whatever else is to be in it. `client` or `url` say which service.

    Attributes:
        job_id_: Id of the job with the service.
        n_features_in_: Number of features.
        feature_names_in_: Their names, where `X` was a DataFrame.
        n_iter_: Epochs.
    """

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - of scikit-learn
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803 - scikit-learn's names
        """Fit, and wait for it.

        Args:
            X: Features, of shape (rows, features).
            y: Targets, of shape (rows,) or (rows, targets).
            sample_weight: Weight of each row in the loss.

        Raises:
            ValueError: They are not numbers, or too few.
            JobFailed: The training failed.
        """
        X, y = self._checked(X, y, reset=True)  # noqa: N806
        targets = np.asarray(y, dtype=np.float64)
        self._width = None if targets.ndim == 1 else targets.shape[1]
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        columns = _columns(targets.reshape(len(targets), -1), taken=self._table(X))
        self._train(X, columns, loss="MSELoss", weight=weight, task="regression")
        return self

    def predict(self, X: Any) -> Array:  # noqa: ANN401, N803 - scikit-learn's names
        """Predict, of shape (rows,) or (rows, targets)."""
        found = self._trained().predict(self._rows(X))
        predicted = np.column_stack([np.asarray(values, dtype=np.float64) for values in found.values()])
        return predicted[:, 0] if self._width is None else predicted


class FitdClassifier(ClassifierMixin, _FitdEstimator):  # type: ignore[misc] # scikit-learn brings no types
    """Classes, two or more; parameters and attributes are those of `FitdRegressor`.

    Attributes:
        classes_: The classes, in ascending order.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: ANN401, N803 - scikit-learn's names
        """Fit, and wait for it.

        Args:
            X: Features, of shape (rows, features).
            y: Classes, of shape (rows,).
            sample_weight: Weight of each row in the loss.

        Raises:
            ValueError: The features are not numbers, or there is but one class.
            JobFailed: The training failed.
        """
        X, y = self._checked(X, y, reset=True)  # noqa: N806
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < _TWO:
            raise ValueError("There is but one class in y: there is nothing to tell apart.")
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        loss = "BCEWithLogitsLoss" if len(self.classes_) == _TWO else "CrossEntropyLoss"
        columns = _columns(codes.reshape(-1, 1), taken=self._table(X))
        self._train(X, columns, loss=loss, weight=weight, task="classification")
        return self

    def predict(self, X: Any) -> Array:  # noqa: ANN401, N803 - scikit-learn's names
        """Predict the likeliest class of each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        chosen: Array = self.classes_[likeliest]
        return chosen

    def predict_proba(self, X: Any) -> Array:  # noqa: ANN401, N803 - scikit-learn's names
        """Predict the probability of each class, in the order of `classes_`."""
        found = self._trained().predict_proba(self._rows(X))
        by_code = {int(float(code)): values for code, values in found.items()}
        return np.column_stack([by_code[code] for code in range(len(self.classes_))])


@functools.cache
def _shared_client(url: str | None) -> Client:
    return Client(url)


def _has_texts(X: Any) -> bool:  # noqa: ANN401, N803 - scikit-learn's names
    """Tell whether it is a DataFrame of which a column is text, which the service takes as categories."""
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None or not hasattr(X, "columns"):
        return False
    return any(
        str(kind) in {"str", "string", "category"} or (str(kind) == "object" and _is_text(X.iloc[:, place]))
        for place, kind in enumerate(dtypes)
    )


def _is_text(column: Any) -> bool:  # noqa: ANN401 - a column of objects: before pandas 3, texts are such
    return any(isinstance(value, str) for value in column)


def _varies(values: Any) -> bool:  # noqa: ANN401 - a column of any kind
    if hasattr(values, "nunique"):
        return bool(values.nunique() > 1)
    return bool((values != values[0]).any())


def _columns(matrix: Array, *, taken: Mapping[str, Any]) -> dict[str, Array]:
    """Name the columns of a target as no feature is named."""
    prefix = "y"
    while any(name.startswith(prefix) for name in taken):
        prefix += "_"
    if matrix.shape[1] == 1:
        return {prefix: matrix[:, 0]}
    return {f"{prefix}{place}": matrix[:, place] for place in range(matrix.shape[1])}
