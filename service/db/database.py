"""Sessions on a database, whichever system it is."""

import contextlib
from collections.abc import Callable, Iterator

import sqlalchemy as sa
import structlog
from sqlalchemy import orm

from service.db.postgresql import Postgresql
from service.db.sqlite import Sqlite
from service.db.system import System
from service.db.urls import parsed
from service.exceptions import DatabaseBusy, StartupFailed

__all__ = ["Database", "after_commit"]

logger = structlog.get_logger(__name__)

_REFUSALS = {
    True: "The database takes no writes at the moment.",
    False: "The database cannot be read at the moment.",
}
_SYSTEMS: dict[str, Callable[[sa.URL], System]] = {"sqlite": Sqlite, "postgresql": Postgresql}


def after_commit(session: orm.Session, action: Callable[[], None]) -> None:
    """Have something done once the session's transaction is committed, and not at all if it is rolled back."""
    session.info.setdefault("after_commit", []).append(action)


class Database:
    """Hands out sessions: `read()` for looking, `write()` for one short transaction."""

    def __init__(self, url: str) -> None:
        """Prepare to connect; nothing is asked of a server yet.

        Args:
            url: A SQLAlchemy URL of SQLite or PostgreSQL.

        Raises:
            StartupFailed: The URL cannot be read, names another system, or its driver is not installed.
        """
        self.system = _system(parsed(url))
        self.engine = self.system.engine
        self._sessions = self._maker(self.system.reading)
        self._write_sessions = self._maker(self.system.writing)
        self._hasty_sessions = self._maker(self.system.hasty)

    def _maker(self, options: dict[str, object]) -> orm.sessionmaker[orm.Session]:
        engine = self.engine.execution_options(**options)
        return orm.sessionmaker(engine, expire_on_commit=False, autoflush=False)

    @contextlib.contextmanager
    def read(self) -> Iterator[orm.Session]:
        """Give a session that sees one consistent state and changes nothing.

        Raises:
            DatabaseBusy: The database cannot be reached, or refuses to be read for the moment.
        """
        with self._busy_told(writing=False), self._sessions() as session:
            yield session

    @contextlib.contextmanager
    def write(self, *, hasty: bool = False) -> Iterator[orm.Session]:
        """Give a session whose transaction commits at the end of the block, or rolls back on an error.

        Args:
            hasty: Do not wait for the disk. A power cut of the machine may then undo this transaction, and nothing
                before it; nobody must have been told of it who outlives that. It is kept with the next one.

        Raises:
            DatabaseBusy: Another process holds the database for too long, or it cannot write. Where it is
                `in_doubt`, whoever tries again must expect to find his own work.

        On SQLite the whole block holds the write gate of all processes: keep it short, and never
        compute, wait or call out inside it.
        """
        committing = False
        try:
            with (
                self._busy_told(writing=True),
                self.system.turn(),
                (self._hasty_sessions if hasty else self._write_sessions).begin() as session,
            ):
                yield session
                committing = True
        except DatabaseBusy as busy:
            busy.in_doubt = committing and _is_lost(busy.__cause__)
            raise
        for action in session.info.pop("after_commit", []):
            action()

    @contextlib.contextmanager
    def _busy_told(self, *, writing: bool) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if not self.system.is_busy(error, writing=writing):
                raise
            # Locked, full disk, lost connection: none of it is the caller's fault, and what exactly is the operator's matter.
            reason = " ".join(str(getattr(error, "orig", error)).split())
            logger.warning("the database is out of reach", reason=reason, system=self.engine.dialect.name)
            raise DatabaseBusy(_REFUSALS[writing]) from error

    @contextlib.contextmanager
    def migration(self) -> Iterator[sa.Connection]:
        """Give a connection that changes the schema, alone among all processes that ask for one."""
        with self.system.turn(), self.engine.connect() as connection:
            self.system.prepare_migration(connection)
            try:
                yield connection
                connection.commit()
            finally:
                connection.invalidate()  # The connection is not as the others: it does not go back to the pool.

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def _is_lost(cause: BaseException | None) -> bool:
    """Tell whether the connection broke, so that nobody knows what became of the last statement."""
    return isinstance(cause, sa.exc.DBAPIError) and cause.connection_invalidated


def _system(url: sa.URL) -> System:
    name = url.get_backend_name()
    if name not in _SYSTEMS:
        message = f"FITD_DATABASE_URL names {name}, and fitd keeps its jobs in SQLite or PostgreSQL."
        raise StartupFailed(message, hint="As in postgresql://user:password@host/database.")
    return _SYSTEMS[name](url)
