"""PostgreSQL for several hosts: how to connect, and what keeps one that hangs from holding up all others."""

import contextlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from service.db.system import JSON
from service.exceptions import StartupFailed

if TYPE_CHECKING:
    import psycopg

__all__ = ["Postgresql"]

CONNECT_SECONDS = 5
"""How long to wait for a server that does not answer."""
POOL_SECONDS = 10.0
"""How long a session waits for one of the connections of its process."""
LOCK_SECONDS = 5.0
"""How long a statement waits for a row that another transaction holds."""
IDLE_SECONDS = 10.0
"""A transaction whose process says nothing for so long is rolled back: frozen, it would hold its rows for ever."""
MIGRATION_SECONDS = 300.0
"""How long one who wants to migrate waits for another who does."""
MIGRATION_LOCK = 0x66697464
"""Number of the advisory lock of migrations: `fitd` in ASCII."""
COPY = {"25006", "0A000"}
"""SQLSTATEs of a write, or of the begin of one, refused because the server is for the moment only a copy of another."""


class Postgresql:
    """A PostgreSQL server, which all hosts reach under one address."""

    trouble_hint = (
        "Is the server running and reachable from here? Does it know this user, password and database?"
    )

    def __init__(self, url: sa.URL) -> None:
        # One state for all queries of a reading session, and no row locked by it.
        self.reading: dict[str, object] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        # The life cycle is kept by conditions inside each UPDATE, which see what others have committed meanwhile.
        self.writing: dict[str, object] = {"isolation_level": "READ COMMITTED"}
        # Not even what is worth little is left to a crash of the server: workers on other hosts survive it, and would
        # hold an attempt that the database has forgotten.
        self.hasty = self.writing
        self._connect_args = _connect_args(url)
        if url.get_driver_name() != "psycopg":
            message = "FITD_DATABASE_URL names another driver for PostgreSQL than psycopg."
            raise StartupFailed(message, hint="Write postgresql:// and nothing after it.")
        try:
            self.engine = sa.create_engine(
                url,
                # A process takes up to 20 of the server's connections, of which there are commonly 100.
                pool_size=8,
                max_overflow=12,
                pool_timeout=POOL_SECONDS,
                pool_pre_ping=True,  # After a restart of the server, the dead connections are found before they are used.
                use_native_hstore=False,
                connect_args=self._connect_args,
                **JSON,
            )
        except ImportError:
            message = "FITD_DATABASE_URL names PostgreSQL, and its driver psycopg cannot be loaded."
            raise StartupFailed(message, hint="Install it with pip install 'fitd[postgresql]'.") from None

    def connect(self) -> "psycopg.Connection":
        """Open a connection of one's own, outside the pool, on which each statement is its own transaction.

        Raises:
            psycopg.Error: The server cannot be reached.
        """
        import psycopg

        arguments, named = self.engine.dialect.create_connect_args(self.engine.url)
        return psycopg.connect(*arguments, **{**named, **self._connect_args}, autocommit=True)

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Nobody queues: the server lets writers work side by side."""
        return contextlib.nullcontext()

    def prepare_migration(self, connection: sa.Connection) -> None:
        """Wait until no other process migrates. The lock lasts as long as the connection."""
        connection.exec_driver_sql(f"SET lock_timeout = {MIGRATION_SECONDS * 1000:.0f}")
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        # A table that a live service uses is waited for like any row: better to fail than to hold the service up.
        connection.exec_driver_sql(f"SET lock_timeout = {LOCK_SECONDS * 1000:.0f}")

    def is_busy(self, error: Exception, *, writing: bool) -> bool:
        """Tell whether the connection was lost, a lock or a deadlock came in the way, or the server restarts."""
        if isinstance(error, sa.exc.OperationalError | sa.exc.TimeoutError):
            return True
        if not isinstance(error, sa.exc.DBAPIError):
            return False
        if error.connection_invalidated:
            return True
        return writing and getattr(error.orig, "sqlstate", None) in COPY

    def about(self, connection: sa.Connection) -> str:
        """Name the version, and where the database is."""
        url = self.engine.url
        version = connection.exec_driver_sql("SHOW server_version").scalar()
        return f"postgresql {version}, database {url.database or '-'} on {url.host or 'a local socket'}"


def _connect_args(url: sa.URL) -> dict[str, Any]:
    ours = {
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000:.0f}",
        "lock_timeout": f"{LOCK_SECONDS * 1000:.0f}",
    }
    options = [f"-c {name}={value}" for name, value in ours.items()]
    theirs = url.query.get("options", ())
    # What the operator wrote into the URL comes last, and so has the last word.
    options += [theirs] if isinstance(theirs, str) else theirs
    arguments = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "fitd",
        # A host that vanished without a word is noticed within a minute.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    kept = {name: value for name, value in arguments.items() if name not in url.query}
    return {**kept, "options": " ".join(options)}
