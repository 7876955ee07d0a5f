"""The tables of sweeps. How a trial goes is recorded with its job alone."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime
from service.jobs.orm import Counter

__all__ = ["Sweep", "SweepTrial"]


class Sweep(Base):
    """Many trainings of one spec: what is searched, and how far the search is."""

    __tablename__ = "sweeps"
    __table_args__ = (
        sa.UniqueConstraint("owner", "idempotency_key"),
        sa.Index("ix_sweeps_status", "status"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    """Order of submission: the order of the list."""
    id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    owner: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str | None] = mapped_column(sa.String(200))
    idempotency_key: Mapped[str | None] = mapped_column(sa.String(255))
    request_digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256 of the body as sent."""
    labels: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    """The caller's metadata; that name is taken, by SQLAlchemy."""
    spec: Mapped[str] = mapped_column(sa.Text, deferred=True)
    """The body with every default filled in: JSON text, possibly megabytes of inline rows."""
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    """Seed of the trainings, where the spec leaves it open."""
    max_unfinished_jobs: Mapped[int | None]
    """Jobs of the owner that may be unfinished at a time, by the key that submitted this."""

    status: Mapped[str] = mapped_column(sa.String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    planned: Mapped[int]
    """Trials of the whole search, at most."""
    wanted: Mapped[int] = mapped_column(default=0)
    """Trials that the search has asked for so far: it asks for more only when all of these have ended."""
    added: Mapped[int] = mapped_column(default=0)
    """Trials that are recorded."""
    error: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))


class SweepTrial(Base):
    """One trial of a sweep: the job with the same number trains it."""

    __tablename__ = "sweep_trials"

    sweep_seq: Mapped[int] = mapped_column(
        Counter, sa.ForeignKey("sweeps.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counts the trials of the sweep from 0."""
    point: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """The number of each parameter, or the position of its choice."""
    rung: Mapped[int] = mapped_column(default=0)
    """Of successive halving, from 0."""
    repeats: Mapped[int | None]
    """The trial of the rung before that this one repeats for longer."""
    error: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    """Why there is no job: its spec was refused."""
