"""SQLite for several processes: the pragmas, and the gate that queues their writers."""

import contextlib
import fcntl
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from service.db.system import JSON
from service.exceptions import DatabaseBusy

__all__ = ["Sqlite"]

BUSY_TIMEOUT_MS = 5000
GATE_SECONDS = 10.0
"""How long a writer waits for its turn; in health it waits milliseconds."""
PRAGMAS = (
    f"busy_timeout={BUSY_TIMEOUT_MS}",  # First: switching to WAL needs a lock itself.
    "journal_mode=WAL",
    "synchronous=FULL",  # An acknowledged job survives a power cut, not only a crash.
    "foreign_keys=ON",
)


class Sqlite:
    """A database file of this machine."""

    trouble_hint = (
        "Is the folder writable, is there room on the disk, does another program hold the database?"
    )

    def __init__(self, url: sa.URL) -> None:
        path = Path(url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._gate = path.with_name(path.name + ".gate")
        self.reading: dict[str, object] = {}
        self.writing: dict[str, object] = {"fitd_write": True}
        self.hasty: dict[str, object] = {"fitd_write": True, "fitd_synchronous": "NORMAL"}
        self.engine = sa.create_engine(url, pool_size=8, max_overflow=56, **JSON)
        sa.event.listen(self.engine, "connect", _configure)
        sa.event.listen(self.engine, "begin", _begin)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the gate.

        SQLite's own waiting is a lottery of sleeps: under load a writer can lose for seconds. Waiting for
        a file lock, asked for every few milliseconds, is close to a queue. Checkpoints happen at commit, so they too run under the gate.

        Raises:
            DatabaseBusy: Somebody else does not let go of it.
        """
        with self._gate.open("a") as file:  # A descriptor of its own, so that threads queue too.
            _lock(file)
            yield

    def prepare_migration(self, connection: sa.Connection) -> None:
        """Switch foreign keys off, because a table is changed by replacing it. The gate keeps others out."""
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")

    def is_busy(self, error: Exception, *, writing: bool) -> bool:  # noqa: ARG002 - one answer for both
        """Tell whether another program holds the file, the disk is full, or the like."""
        return isinstance(error, sa.exc.OperationalError | sa.exc.TimeoutError)

    def about(self, connection: sa.Connection) -> str:
        """Name the version and the journal's mode."""
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        version = ".".join(str(number) for number in connection.dialect.server_version_info or ())
        return f"sqlite {version}, journal {mode}"


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
    connection.isolation_level = None  # Transactions begin where `_begin` says, not where the driver guesses.
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    writes = options.get("fitd_write", False)
    if writes:
        wanted, known = options.get("fitd_synchronous", "FULL"), connection.info
        if known.get("synchronous", "FULL") != wanted:  # Of the connection, which comes from a pool.
            connection.exec_driver_sql(f"PRAGMA synchronous={wanted}")
            known["synchronous"] = wanted
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


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
