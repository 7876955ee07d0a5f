"""Answers about registered models, exports, and predictions of whole datasets."""

from datetime import datetime
from typing import Any

from fitd_client.answers.base import Answer, WhatIsWrong
from fitd_client.answers.jobs import Engine, Result

__all__ = [
    "BatchPrediction",
    "DatasetPlace",
    "Export",
    "ExportReport",
    "Lineage",
    "Model",
    "ModelInput",
    "ModelOutput",
    "ModelVersion",
    "PredictionProgress",
    "PredictionResult",
    "PredictionSource",
    "PredictionWarning",
]


class Model(Answer):
    """A name and its versions."""

    object: str
    name: str
    description: str | None
    """That of the newest version."""
    versions: int
    """How many there are."""
    latest_version: int | None
    aliases: dict[str, int]
    """The version that each points to."""
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]


class ModelInput(Answer):
    """A column that a prediction needs."""

    name: str
    kind: str
    missing: bool
    """Whether a row may have no value here."""
    categories: list[str | float] | None = None
    shape: list[int] | None = None


class ModelOutput(Answer):
    """A column that a prediction gives."""

    name: str
    kind: str
    classes: list[str | float] | None = None


class DatasetPlace(Answer):
    """The dataset that a version was trained on."""

    id: str
    digest: str | None


class Lineage(Answer):
    """Where a version came from. What it names may be deleted by now."""

    job_id: str
    sweep_id: str | None
    rerun_of: str | None
    init_job_id: str | None
    dataset: DatasetPlace | None
    data_type: str
    split_digest: str | None
    seed: int
    engine: Engine | None
    environment: dict[str, Any] | None
    stop_reason: str | None
    started_at: datetime | None
    finished_at: datetime | None


class ModelVersion(Answer):
    """One version of a model: it never changes, and it outlives its job."""

    id: str
    object: str
    name: str
    version: int
    aliases: list[str]
    description: str | None
    created_at: datetime
    digest: str
    """Versions of one digest predict the same."""
    inputs: list[ModelInput]
    outputs: list[ModelOutput]
    metadata: dict[str, str]
    result: Result | None
    lineage: Lineage
    spec: dict[str, Any]
    links: dict[str, str]


class Export(Answer):
    """A form in which a model can be taken away, or not."""

    object: str
    format: str
    media_type: str
    about: str
    """What it is good for."""
    available: bool
    reason: str | None
    """Why it is not available."""
    links: dict[str, str]


class ExportReport(Answer):
    """How an exported file was held against the service's own predictions."""

    object: str
    format: str
    verified: bool
    how: str
    """What was compared, in words."""
    rows: int
    largest_difference: float | None
    """In the units of the column."""
    largest_relative_difference: float | None
    """Each as a share of the largest number in its column."""
    tolerance: float | None
    bytes: int
    digest: str
    versions: dict[str, str]


class PredictionProgress(Answer):
    """How far the prediction of a dataset is."""

    rows: int
    total: int
    fraction: float


class PredictionSource(Answer):
    """What predicts a dataset: a job, or a version of a model."""

    job_id: str | None
    model: str | None
    version: int | None
    model_id: str | None
    digest: str


class PredictionWarning(Answer):
    """Rows that are empty in a result, all for one reason."""

    code: str
    column: str
    message: str
    rows: int
    first_row: int


class PredictionResult(Answer):
    """What there is to download."""

    rows: int
    columns: list[str]
    bytes: int
    digest: str
    unpredicted_rows: int
    """Rows that could not be predicted: they are there, and empty."""
    warnings: list[PredictionWarning]


class BatchPrediction(Answer):
    """All rows of a dataset, predicted by one model."""

    id: str
    object: str
    status: str
    terminal: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: PredictionProgress
    source: PredictionSource
    dataset_id: str
    keep: list[str]
    attempt: int
    error: WhatIsWrong | None
    result: PredictionResult | None
    links: dict[str, str]
