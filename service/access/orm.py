"""The table of the API keys. It holds digests of secrets, never a secret."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime

__all__ = ["ApiKey"]


class ApiKey(Base):
    """One key. It stays here when it is revoked: who holds it is told so, and no service opens by itself again."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    """For people: who or what uses it."""
    owner: Mapped[str] = mapped_column(sa.String(64))
    """Whose jobs and datasets its callers see; several keys may share an owner."""
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """SHA-256 of the secret. The secret is random enough that no salt and no slow hash would add anything."""
    scopes: Mapped[str] = mapped_column(sa.String(64))
    """As they were given, with commas."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """To the minute, for people."""
    max_unfinished_jobs: Mapped[int | None]
    requests_per_minute: Mapped[int | None]
