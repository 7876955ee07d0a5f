"""The tables of batch predictions. The model is copied: what is predicted depends on no job and no version any more."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime
from service.jobs.orm import Counter

__all__ = ["Prediction", "PredictionModel"]


class Prediction(Base):
    """One request to predict a dataset: the queue's entry, the worker's lease and the record of how it went."""

    __tablename__ = "predictions"
    __table_args__ = (
        sa.UniqueConstraint("owner", "idempotency_key"),
        sa.Index("ix_predictions_status_seq", "status", "seq"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    """Order of submission: the order of the list and of the queue."""
    id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    owner: Mapped[str] = mapped_column(sa.String(64))
    idempotency_key: Mapped[str | None] = mapped_column(sa.String(255))
    request_digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the body as sent."""

    job_id: Mapped[str | None] = mapped_column(sa.String(64))
    """The job whose parameters predict. No foreign key: they were copied, and the job may be gone."""
    model_name: Mapped[str | None] = mapped_column(sa.String(100))
    """The registered model, where it was named by that."""
    model_version: Mapped[int | None]
    model_id: Mapped[str | None] = mapped_column(sa.String(64))
    """Of the version."""
    model_digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the parameters; of a version, its own."""
    dataset_id: Mapped[str] = mapped_column(sa.String(64), index=True)
    """The dataset. No foreign key: a prediction that has ended outlives it."""
    dataset_digest: Mapped[str] = mapped_column(sa.String(64))
    """Names the folder with its files."""
    keep: Mapped[list[str]] = mapped_column(sa.JSON)
    """Columns of the dataset that the result repeats."""

    status: Mapped[str] = mapped_column(sa.String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    attempt: Mapped[int] = mapped_column(default=0)
    """Counts the claims: the fencing token of every write of a worker, and part of the file's name."""
    crashes: Mapped[int] = mapped_column(default=0)
    """Attempts that ended with the death of their process."""
    worker_id: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    """Who holds the lease."""
    total: Mapped[int] = mapped_column(sa.BigInteger)
    """Rows of the dataset."""
    done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Rows that this attempt has predicted."""

    error: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    """Rows, columns, bytes, digest, and the rows that could not be predicted."""
    path: Mapped[str | None] = mapped_column(sa.String(200))
    """The result's file, below the folder of the predictions."""


class PredictionModel(Base):
    """What predicts, as long as the prediction has not ended."""

    __tablename__ = "prediction_models"

    prediction_seq: Mapped[int] = mapped_column(
        Counter, sa.ForeignKey("predictions.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    spec: Mapped[str] = mapped_column(sa.Text)
    """The effective spec, as JSON text."""
    parameters: Mapped[bytes]
    """The trained tensors, as safetensors bytes."""
