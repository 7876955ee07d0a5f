"""All rows as of one moment, as a SQLite file, while others write."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from service import migrations
from service.backup import rows
from service.db import Database

__all__ = ["opened", "take"]

PAGES_AT_ONCE = 1024
"""Of 4 KiB: what is copied in one step."""


def take(database: Database, path: Path) -> None:
    """Copy all rows into a new file.

    Args:
        database: Of the service, whose schema is current. It goes on as usual.
        path: Of the file.
    """
    _TAKE[database.engine.dialect.name](database, path)


def _from_sqlite(database: Database, path: Path) -> None:
    """Copy page by page, with a connection of its own.

    A reader that stays in its transaction sees one state and stops no writer, who appends to the log
    meanwhile. Outside of a transaction each commit of others would make the copy begin again.
    """
    with (
        contextlib.closing(
            sqlite3.connect(str(database.engine.url.database), isolation_level=None)
        ) as source,
        contextlib.closing(sqlite3.connect(path)) as target,
    ):
        source.execute("BEGIN")
        source.execute(
            "SELECT COUNT(*) FROM jobs"
        ).fetchone()  # Not before it reads does the state stand still.
        source.backup(target, pages=PAGES_AT_ONCE)
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode=DELETE")


def _from_rows(database: Database, path: Path) -> None:
    with opened(path) as copy:
        migrations.migrate(copy)
        with database.read() as source, copy.write() as target:
            rows.copy(source, target)
            rows.set_counters(target, rows.counters(source))


_TAKE = {"sqlite": _from_sqlite, "postgresql": _from_rows}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Database]:
    """Open a file of rows that nobody else uses; after the block it is one file again, without log and gate."""
    with contextlib.closing(Database(f"sqlite:///{path}")) as database:
        yield database
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    path.with_name(path.name + ".gate").unlink(missing_ok=True)
