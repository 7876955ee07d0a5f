"""Answers about datasets and sweeps."""

from datetime import datetime
from typing import Any

from fitd_client.answers.base import Answer, WhatIsWrong

__all__ = ["Best", "Dataset", "DatasetColumn", "DatasetSummary", "Preview", "Sweep", "SweepProgress", "Trial"]


class DatasetColumn(Answer):
    """One column of a dataset."""

    name: str
    kind: str
    dtype: str
    shape: list[int]
    unit: str | None
    missing: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    distinct: int | None
    values: list[str | float] | None


class DatasetSummary(Answer):
    """An uploaded table, without its columns."""

    id: str
    object: str
    name: str | None
    created_at: datetime
    format: str
    rows: int
    column_count: int
    bytes: int
    uploaded_bytes: int
    digest: str
    links: dict[str, str]


class Dataset(DatasetSummary):
    """An uploaded table: immutable."""

    columns: list[DatasetColumn]


class Preview(Answer):
    """The first rows of a dataset."""

    object: str
    dataset_id: str
    rows: list[dict[str, Any]]


class SweepProgress(Answer):
    """How far a sweep is."""

    trials: int
    added: int
    ended: int
    fraction: float
    seconds: float
    eta_seconds: float | None


class Best(Answer):
    """The trial with the best value of the objective so far."""

    trial: int
    job_id: str
    values: dict[str, Any]
    objective: float
    train_loss: float | None
    dev_loss: float | None


class Sweep(Answer):
    """Many trainings of one spec."""

    id: str
    object: str
    name: str | None
    status: str
    terminal: bool
    created_at: datetime
    finished_at: datetime | None
    progress: SweepProgress
    jobs: dict[str, int]
    best: Best | None
    seed: int
    spec: dict[str, Any]
    error: WhatIsWrong | None
    metadata: dict[str, str]
    links: dict[str, str]


class Trial(Answer):
    """One training of a sweep."""

    trial: int
    job_id: str | None
    status: str
    stop_reason: str | None
    values: dict[str, Any]
    """Of each parameter, by its pointer."""
    objective: float | None
    train_loss: float | None
    dev_loss: float | None
    epoch: int
    epochs: int | None
    seconds: float
    rung: int
    repeats: int | None
    error: WhatIsWrong | None
