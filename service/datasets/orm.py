"""The tables of datasets. A row says who has a dataset; what is in it is shared by all who uploaded the same."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime

__all__ = ["Dataset", "DatasetSchema"]

# SQLite counts up only a column of exactly this type, and PostgreSQL wants the larger one.
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class DatasetSchema(Base):
    """The schema of a dataset's columns: JSON text, possibly megabytes of categories."""

    __tablename__ = "dataset_schemas"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """Names the folder with the files."""
    content: Mapped[str] = mapped_column(sa.Text)


class Dataset(Base):
    """One owner's uploaded table; nothing in it ever changes."""

    __tablename__ = "datasets"
    __table_args__ = (sa.UniqueConstraint("owner", "digest"), {"sqlite_autoincrement": True})

    seq: Mapped[int] = mapped_column(Counter, primary_key=True)
    """Order of upload: the order of the list."""
    id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    owner: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str | None] = mapped_column(sa.String(200))
    digest: Mapped[str] = mapped_column(sa.String(64), sa.ForeignKey("dataset_schemas.digest"), index=True)
    format: Mapped[str] = mapped_column(sa.String(16))
    rows: Mapped[int] = mapped_column(sa.BigInteger)
    column_count: Mapped[int]
    stored_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    uploaded_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
