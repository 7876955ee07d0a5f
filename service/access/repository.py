"""All SQL about API keys. Functions take a session and never commit."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.access.orm import ApiKey

__all__ = ["any_key", "any_unrevoked", "every", "find", "find_by_digest", "insert", "revoke", "touch"]


def insert(session: Session, key: ApiKey) -> ApiKey:
    """Add a key."""
    session.add(key)
    session.flush()
    return key


def find(session: Session, key_id: str) -> ApiKey | None:
    """Look a key up by its id."""
    return session.get(ApiKey, key_id)


def find_by_digest(session: Session, digest: str) -> ApiKey | None:
    """Look a key up by the digest of its secret; revoked and expired ones are found too."""
    return session.scalar(sa.select(ApiKey).where(ApiKey.digest == digest))


def every(session: Session) -> Sequence[ApiKey]:
    """Give all keys, the oldest first."""
    return session.scalars(sa.select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)).all()


def any_key(session: Session) -> bool:
    """Tell whether there ever was a key."""
    return session.scalar(sa.select(ApiKey.id).limit(1)) is not None


def any_unrevoked(session: Session) -> bool:
    """Tell whether there is a key that nobody has revoked."""
    return session.scalar(sa.select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def revoke(session: Session, key_id: str, at: datetime) -> None:
    """Note when a key was revoked; the first time counts."""
    statement = sa.update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    session.execute(statement.values(revoked_at=at))


def touch(session: Session, key_id: str, at: datetime, *, unless_within: timedelta) -> None:
    """Note that a key is used, unless that was noted a short while ago."""
    stale = sa.or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < at - unless_within)
    session.execute(sa.update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=at))
