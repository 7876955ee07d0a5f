"""What the API answers about batch predictions, as models for its OpenAPI document."""

from datetime import datetime
from typing import Literal

from service.api.schemas import JobError, Wire
from service.predictions.lifecycle import PredictionStatus

__all__ = ["BatchPrediction", "BatchPredictionList"]


class PredictionProgress(Wire):
    """How far a batch prediction is."""

    rows: int
    """Rows that the present attempt has predicted."""
    total: int
    """Rows of the dataset."""
    fraction: float
    """Share of the rows, from 0 to 1."""


class PredictionSource(Wire):
    """What predicts: a job, or a version of a registered model. It was copied, and may be deleted meanwhile."""

    job_id: str | None
    model: str | None
    """Name of the registered model."""
    version: int | None
    model_id: str | None
    """Id of the version."""
    digest: str
    """SHA-256 of the parameters; of a version, its own."""


class PredictionWarning(Wire):
    """Rows that are empty in the result, all for one reason."""

    code: str
    """`unknown_category`, `missing_values`, `out_of_range`, `unknown_group` or `group_without_model`."""
    column: str
    message: str
    """The reason, as it is for the first of these rows."""
    rows: int
    first_row: int
    """Position of the first in the dataset, from 0."""


class PredictionResult(Wire):
    """What there is to download."""

    rows: int
    columns: list[str]
    """Kept columns, then targets, `probabilities.<class>` and `std.<target>`."""
    bytes: int
    """Of the file as it is kept: Parquet."""
    digest: str
    """SHA-256 of that file."""
    unpredicted_rows: int
    """Rows that could not be predicted: they are there, and empty."""
    warnings: list[PredictionWarning]
    """Why, the most frequent reason first; 100 reasons at most."""


class BatchPrediction(Wire):
    """All rows of a dataset, predicted by one model."""

    id: str
    object: Literal["batch_prediction"]
    status: PredictionStatus
    terminal: bool
    """Whether it has ended, so that no client needs a list of states."""
    created_at: datetime
    started_at: datetime | None
    """When the first attempt began."""
    finished_at: datetime | None
    progress: PredictionProgress
    source: PredictionSource
    dataset_id: str
    keep: list[str]
    """Columns of the dataset that the result repeats."""
    attempt: int
    """Counts the attempts: more than one where a process died or a worker was stopped."""
    error: JobError | None
    result: PredictionResult | None
    links: dict[str, str]
    """Paths of what belongs to the prediction."""


class BatchPredictionList(Wire):
    """A page of batch predictions, newest first."""

    object: Literal["list"]
    data: list[BatchPrediction]
    has_more: bool
    next_after: str | None
    """Send it as `after` to get the next page."""
