"""The URL of a database, read so that nothing of it, least of all its password, gets into a message."""

import sqlalchemy as sa

from service.exceptions import StartupFailed

__all__ = ["parsed"]

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
"""What people write, and what it means here."""


def parsed(url: str) -> sa.URL:
    """Read a database's URL.

    Raises:
        StartupFailed: It is none. The message repeats nothing of it.
    """
    try:
        found = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise _unreadable() from None
    # A password with an @ in it would otherwise be told as part of a host that is not found.
    if "@" in (found.host or "") or "@" in (found.database or ""):
        raise _unreadable()
    return found.set(drivername=_DRIVERS.get(found.drivername, found.drivername))


def _unreadable() -> StartupFailed:
    hint = (
        "As in postgresql://user:password@host:5432/database. In a user or a password write "
        "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25."
    )
    return StartupFailed("FITD_DATABASE_URL cannot be read as a URL.", hint=hint)
