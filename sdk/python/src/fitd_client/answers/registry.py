"""Answers about registered models, exports, and predictions of whole datasets."""

from datetime import datetime
from typing import Any

from fitd_client.answers.base import Answer, WhatIsWrong
from fitd_client.answers.jobs import Result

__all__ = [
    "BatchPrediction",
    "BatchProgress",
    "BatchResult",
    "Export",
    "ExportReport",
    "Lineage",
    "Model",
    "ModelVersion",
    "Port",
]


class Model(Answer):
    """A name with versions."""

    object: str
    name: str
    description: str | None
    versions: int
    """How many there are."""
    latest_version: int | None
    aliases: dict[str, int]
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]


class Port(Answer):
    """One input or output of a model."""

    name: str
    kind: str
    categories: list[str | float] | None = None
    classes: list[str | float] | None = None
    shape: list[int] | None = None


class Lineage(Answer):
    """Where a version comes from."""

    job_id: str | None = None
    sweep_id: str | None = None
    rerun_of: str | None = None
    dataset: dict[str, str] | None = None
    data_type: str | None = None
    split_digest: str | None = None
    seed: int | None = None
    engine: Any = None
    environment: Any = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ModelVersion(Answer):
    """One version of a model: immutable."""

    id: str
    object: str
    name: str
    version: int
    aliases: list[str]
    description: str | None
    created_at: datetime
    digest: str
    inputs: list[Port]
    outputs: list[Port]
    metadata: dict[str, str]
    result: Result | None
    lineage: Lineage
    spec: dict[str, Any]
    links: dict[str, str]


class Export(Answer):
    """A form in which a model can be taken away."""

    format: str
    media_type: str
    available: bool
    reason: str | None
    """Why it is not available."""
    links: dict[str, str]


class ExportReport(Answer):
    """How near an exported model's predictions are to the service's."""

    object: str
    format: str
    verified: bool
    rows: int | None = None
    largest_difference: float | None
    tolerance: float | None = None
    bytes: int | None = None
    digest: str | None = None
    versions: dict[str, Any] | None = None


class BatchProgress(Answer):
    """How far a prediction is."""

    rows: int
    total: int | None
    fraction: float


class BatchResult(Answer):
    """What a prediction of a dataset has made."""

    rows: int
    columns: Any
    bytes: int
    digest: str


class BatchPrediction(Answer):
    """The prediction of a whole dataset."""

    id: str
    object: str
    status: str
    terminal: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: BatchProgress
    source: dict[str, Any]
    dataset_id: str
    attempt: int
    error: WhatIsWrong | None
    result: BatchResult | None
    links: dict[str, str]
