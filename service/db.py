"""The database: engine, sessions and, for SQLite, the pragmas and the gate that queues writers."""

import contextlib
import fcntl
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from service.exceptions import DatabaseBusy

__all__ = ["Base", "Database", "UtcDateTime", "after_commit", "now"]

BUSY_TIMEOUT_MS = 5000
GATE_SECONDS = 10.0
"""How long a writer waits for its turn; in health it waits milliseconds."""


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
        """Read as UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """Tell the time, in UTC. For people only: nothing is decided by wall clocks."""
    return datetime.now(UTC)


def after_commit(session: orm.Session, action: Callable[[], None]) -> None:
    """Have something done once the session's transaction is committed, and not at all if it is rolled back."""
    session.info.setdefault("after_commit", []).append(action)


class Database:
    """Hands out sessions: `read()` for looking, `write()` for one short transaction."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(
            url, pool_size=8, max_overflow=56, json_serializer=_dumps, json_deserializer=orjson.loads
        )
        self._gate: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if self.engine.dialect.name == "sqlite":
            self._gate = _prepare_sqlite(self.engine)
        self._sessions = orm.sessionmaker(self.engine, expire_on_commit=False, autoflush=False)
        writing = self.engine.execution_options(fitd_write=True)
        self._write_sessions = orm.sessionmaker(writing, expire_on_commit=False, autoflush=False)

    @contextlib.contextmanager
    def read(self) -> Iterator[orm.Session]:
        """Give a session that sees one consistent state and changes nothing."""
        with self._sessions() as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[orm.Session]:
        """Give a session whose transaction commits at the end of the block, or rolls back on an error.

        Raises:
            DatabaseBusy: Another process holds the database for too long, or it cannot write.

        On SQLite the whole block holds the write gate of all processes: keep it short, and never
        compute, wait or call out inside it.
        """
        try:
            with self._gate(), self._write_sessions.begin() as session:
                yield session
        except sa.exc.OperationalError as error:
            # Locked by another program, full disk, lost connection: none of it is the caller's fault.
            raise DatabaseBusy(f"The database takes no writes at the moment: {error.orig}.") from error
        for action in session.info.pop("after_commit", []):
            action()

    @contextlib.contextmanager
    def migration(self) -> Iterator[sa.Connection]:
        """Give a connection that changes the schema: alone behind the gate, in transactions of Alembic's own.

        On SQLite foreign keys are off meanwhile, because a table is changed by replacing it.
        """
        with self._gate(), self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
            try:
                yield connection
                connection.commit()
            finally:
                connection.invalidate()  # The connection is not as the others: it does not go back to the pool.

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def _dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return orjson.dumps(value).decode()


def _prepare_sqlite(engine: sa.Engine) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Set SQLite up for several processes, and give the gate that queues their writers.

    SQLite's own waiting is a lottery of sleeps: under load a writer can lose for seconds. Waiting for
    a file lock, asked for every few milliseconds, is close to a queue. Checkpoints happen at commit, so they too run under the gate.
    """
    path = Path(engine.url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.isolation_level = (
            None  # Transactions begin where `_begin` says, not where the driver guesses.
        )
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",  # First: switching to WAL needs a lock itself.
            "journal_mode=WAL",
            "synchronous=FULL",  # An acknowledged job survives a power cut, not only a crash.
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("fitd_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    gate_path = path.with_name(path.name + ".gate")

    @contextlib.contextmanager
    def gate() -> Iterator[None]:
        with gate_path.open("a") as file:  # A descriptor of its own, so that threads queue too.
            _lock(file)
            yield

    return gate


def _lock(file: IO[str]) -> None:
    """Take the gate. A process that was frozen while it held the gate must not freeze all others for ever.

    Raises:
        DatabaseBusy: It was not to be had for `GATE_SECONDS`.
    """
    deadline = time.monotonic() + GATE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DatabaseBusy from None
            # A random and short sleep is nearly a queue: nobody is behind the others for long.
            time.sleep(random.uniform(0.0005, 0.003))  # noqa: S311 - no secret
        else:
            return
