"""The tables of registered models. A version holds all that it needs by itself: its job and its dataset may go."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime
from service.jobs.orm import Counter

__all__ = ["Artifact", "Model", "ModelAlias", "ModelVersion"]


class Artifact(Base):
    """What predicts: trained parameters and the spec that says how they are used. Versions of equal content share it."""

    __tablename__ = "artifacts"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """SHA-256 over both."""
    spec_text: Mapped[str] = mapped_column(sa.Text)
    """The effective spec: JSON text, possibly megabytes of inline rows."""
    parameters: Mapped[bytes]
    """As the job left them, in the safetensors format."""


class Model(Base):
    """A name under which versions are registered."""

    __tablename__ = "models"
    __table_args__ = (sa.UniqueConstraint("owner", "name"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    """Order of the first registrations: the order of the list."""
    owner: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str] = mapped_column(sa.String(100))
    newest: Mapped[int] = mapped_column(default=0)
    """The highest number that a version ever had: none is given twice, not even that of a deleted version."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When a version or an alias last came, went or moved."""


class ModelVersion(Base):
    """One registered fit. Nothing in it ever changes."""

    __tablename__ = "model_versions"
    __table_args__ = (
        sa.UniqueConstraint("model_seq", "number"),
        sa.UniqueConstraint("model_seq", "job_id"),
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    model_seq: Mapped[int] = mapped_column(Counter, sa.ForeignKey("models.seq"))
    """Not deleted along with its model: the artifacts are to be counted off."""
    number: Mapped[int]
    """Counts the versions of the model from 1."""
    job_id: Mapped[str] = mapped_column(sa.String(64))
    """The job that trained it. No foreign key: it outlives that job."""
    digest: Mapped[str] = mapped_column(sa.String(64), sa.ForeignKey("artifacts.digest"), index=True)
    description: Mapped[str | None] = mapped_column(sa.String(2000))
    labels: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    """The caller's metadata; that name is taken, by SQLAlchemy."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    inputs: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    """The columns that a prediction needs."""
    outputs: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    """The columns that a prediction gives."""
    result: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    """Of the job."""
    lineage: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """Where it came from: job, data, split, seed, engine, environment."""


class ModelAlias(Base):
    """A name for one of a model's versions, which can be moved to another."""

    __tablename__ = "model_aliases"

    model_seq: Mapped[int] = mapped_column(
        Counter, sa.ForeignKey("models.seq"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    version_seq: Mapped[int] = mapped_column(Counter, sa.ForeignKey("model_versions.seq"), index=True)
