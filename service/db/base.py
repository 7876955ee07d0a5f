"""What all tables share: their base, and the type of a moment."""

import base64
import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import orm

__all__ = ["Base", "UtcDateTime", "drawn_id", "now"]


class Base(orm.DeclarativeBase):
    """Base of all tables; the names of constraints follow one convention, so that migrations can refer to them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which keeps no zone, gets and gives it as naive UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Store as UTC."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Read as UTC: PostgreSQL tells moments in the zone that its server was set to."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Tell the time, in UTC. For people only: nothing is decided by wall clocks."""
    return datetime.now(UTC)


def drawn_id(kind: str) -> str:
    """Draw an id that nothing else has: 120 random bits behind the kind, as in `job_…`."""
    return f"{kind}_{base64.b32encode(secrets.token_bytes(15)).decode().lower()}"
