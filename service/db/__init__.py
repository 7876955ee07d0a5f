"""The database: engine and sessions, and what differs between SQLite and PostgreSQL."""

from service.db.base import Base, UtcDateTime, drawn_id, now
from service.db.database import Database, after_commit
from service.db.sharing import SharedWrites

__all__ = ["Base", "Database", "SharedWrites", "UtcDateTime", "after_commit", "drawn_id", "now"]
