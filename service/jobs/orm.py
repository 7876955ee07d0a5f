"""The tables of jobs. What changes often is kept in narrow rows, what is large in rows of its own."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime

__all__ = [
    "Checkpoint",
    "HistoryChunk",
    "Job",
    "JobEvent",
    "JobMetadata",
    "JobParameters",
    "JobSpecText",
    "Worker",
]

# SQLite counts up only a column of exactly this type, and PostgreSQL wants the larger one.
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _job_seq(*, primary_key: bool = True) -> Mapped[int]:
    return mapped_column(
        Counter, sa.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=primary_key, autoincrement=False
    )


class Job(Base):
    """One request to train: the queue's entry, the worker's lease and the record of how it went."""

    __tablename__ = "jobs"
    __table_args__ = (
        sa.UniqueConstraint("owner", "idempotency_key"),
        sa.Index("ix_jobs_queue", "status", sa.text("priority DESC"), "turn", "seq"),
        sa.Index("ix_jobs_name", "name"),
        sa.Index("ix_jobs_owner_status", "owner", "status"),
        # An index and no constraint, which SQLite could not add to a table that is there already.
        sa.Index("uq_jobs_sweep_id_trial", "sweep_id", "trial", unique=True),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    """Order of submission: the order of the list, and of the queue among jobs of one priority and turn."""
    id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    owner: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str | None] = mapped_column(sa.String(200))
    idempotency_key: Mapped[str | None] = mapped_column(sa.String(255))
    request_digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the body as sent."""
    version: Mapped[int] = mapped_column(default=1)
    """Counts the changes of this row: the job's ETag."""
    rerun_of: Mapped[str | None] = mapped_column(sa.String(64))
    """The job whose spec this one repeats. No foreign key: it outlives that job."""
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    """Jobs of a higher one are taken first."""
    turn: Mapped[int] = mapped_column(default=0, server_default="0")
    """Round of the queue in which it stands: among jobs of one priority, the lowest is taken first. A job that gave
    its place up goes to the next round, and who joins then stands behind it: nobody waits for ever."""
    shape: Mapped[str | None] = mapped_column(sa.String(64))
    """Jobs of one shape can be trained together; None for one that trains alone."""
    sweep_id: Mapped[str | None] = mapped_column(sa.String(64))
    """The sweep that it belongs to, with which alone it is deleted."""
    trial: Mapped[int | None]
    """Its number in that sweep."""

    status: Mapped[str] = mapped_column(sa.String(16))
    stop_reason: Mapped[str | None] = mapped_column(sa.String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    attempt: Mapped[int] = mapped_column(default=0)
    """Counts the claims: the fencing token of every write of a worker."""
    crashes: Mapped[int] = mapped_column(default=0)
    """Attempts in a row that ended with the death of their process and without a new checkpoint."""
    worker_id: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    """Who holds the lease."""
    device: Mapped[str | None] = mapped_column(sa.String(32))
    environment: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    """What must be equal for another attempt to repeat the training bit for bit."""
    engine: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    """What makes the steps, by `name`, and the `reason` why."""

    dataset_id: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    """The uploaded dataset that it trains on. No foreign key: a job that has ended outlives its dataset."""
    init_job_id: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    """The job whose parameters it starts from. No foreign key, as with the dataset."""
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    max_seconds: Mapped[float | None] = mapped_column(sa.Double)
    """Training time after which it is stopped, all attempts together."""
    seconds: Mapped[float] = mapped_column(sa.Double, default=0.0, server_default="0")
    """Training time so far, all attempts together, as of the last report."""
    epochs: Mapped[int]
    epoch: Mapped[int] = mapped_column(default=0)
    """Epochs whose history is recorded."""
    fraction: Mapped[float] = mapped_column(sa.Double, default=0.0)
    train_loss: Mapped[float | None] = mapped_column(sa.Double)
    dev_loss: Mapped[float | None] = mapped_column(sa.Double)
    progress_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    result: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))


class JobSpecText(Base):
    """The spec as sent and as completed: JSON text, possibly megabytes of inline rows."""

    __tablename__ = "job_specs"

    job_seq: Mapped[int] = _job_seq()
    sent: Mapped[str] = mapped_column(sa.Text)
    effective: Mapped[str] = mapped_column(sa.Text)


class JobMetadata(Base):
    """One pair of a job's metadata."""

    __tablename__ = "job_metadata"
    __table_args__ = (sa.Index("ix_job_metadata_key_value", "key", "value"),)

    job_seq: Mapped[int] = _job_seq()
    key: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(512))


class JobParameters(Base):
    """The trained tensors, as safetensors bytes."""

    __tablename__ = "job_parameters"

    job_seq: Mapped[int] = _job_seq()
    digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of `data`: its ETag."""
    data: Mapped[bytes]


class Checkpoint(Base):
    """A file from which an attempt can go on. The row is written after the file, so that what it names is whole."""

    __tablename__ = "checkpoints"

    job_seq: Mapped[int] = _job_seq()
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counts the checkpoints of the job from 1, over all attempts."""
    attempt: Mapped[int]
    reason: Mapped[str] = mapped_column(sa.String(16))
    """`interval`, `pause`, `drain` or `yield`."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    epoch: Mapped[int]
    """Completed epochs at that moment: their history is recorded with this row."""
    fraction: Mapped[float] = mapped_column(sa.Double)
    path: Mapped[str] = mapped_column(sa.String(200))
    """Below the folder of the checkpoints."""
    digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the file."""
    size: Mapped[int] = mapped_column(sa.BigInteger)
    """Bytes of the file."""
    environment: Mapped[dict[str, Any]] = mapped_column(sa.JSON(none_as_null=True))
    """What must be equal for going on bit for bit."""


class HistoryChunk(Base):
    """The history of consecutive epochs: packed numbers, not a row a point."""

    __tablename__ = "history_chunks"

    job_seq: Mapped[int] = _job_seq()
    first_epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epochs: Mapped[int]
    columns: Mapped[list[str]] = mapped_column(sa.JSON(none_as_null=True))
    data: Mapped[bytes]


class JobEvent(Base):
    """Something that happened to a job, in order: what `/events` streams."""

    __tablename__ = "job_events"
    __table_args__ = (
        sa.Index("ix_job_events_job_seq_id", "job_seq", "id"),
        # A job of days has a million history events, and a caller who wants its dated transitions reads none of them.
        sa.Index(
            "ix_job_events_transitions",
            "job_seq",
            "id",
            sqlite_where=sa.text("type = 'status'"),
            postgresql_where=sa.text("type = 'status'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    job_seq: Mapped[int] = _job_seq(primary_key=False)
    type: Mapped[str] = mapped_column(sa.String(16))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempt: Mapped[int]
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON(none_as_null=True))
    first_epoch: Mapped[int | None]
    """Of a history event: the chunk that it tells."""


class Worker(Base):
    """A process that claims jobs, with the heartbeat that keeps its leases alive."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Wall-clock time of the last beat, for people; leases are aged by observing `beat`."""
    beat: Mapped[int] = mapped_column(default=0)
    slots: Mapped[int]
    warm: Mapped[int] = mapped_column(default=0)
    """Slots whose process is ready to train."""
    about: Mapped[dict[str, Any]] = mapped_column(sa.JSON(none_as_null=True))
    """Devices, seconds of one step, versions: what the slots said when they were warm."""
