"""SQLite is set up for several processes: its pragmas, its gate, its way to keep moments."""

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from service import migrations
from service.db import Database, after_commit
from service.db.sqlite import BUSY_TIMEOUT_MS
from tests.test_db import Moment, total
from tests.worker.runners import writes_numbers

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def numbers(tmp_path: Path) -> Iterator[Database]:
    """A database with a counter at zero and a table of what was written."""
    database = Database(f"sqlite:///{tmp_path / 'numbers.db'}")
    with database.write() as session:
        session.execute(sa.text("CREATE TABLE counter (total INTEGER)"))
        session.execute(sa.text("INSERT INTO counter VALUES (0)"))
        session.execute(sa.text("CREATE TABLE written (writer INTEGER, number INTEGER)"))
    yield database
    database.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", BUSY_TIMEOUT_MS)],
)
def test_every_connection_has_the_pragmas(numbers: Database, pragma: str, value: object) -> None:
    sessions = [numbers.read(), numbers.read(), numbers.write()]
    for context in sessions:
        with context as session:
            assert session.scalar(sa.text(f"PRAGMA {pragma}")) == value


def test_a_connection_after_a_migration_has_the_pragmas_again(numbers: Database) -> None:
    with numbers.migration() as connection:
        assert connection.scalar(sa.text("PRAGMA foreign_keys")) == 0
    for _ in range(3):
        with numbers.write() as session:
            assert session.scalar(sa.text("PRAGMA foreign_keys")) == 1


def test_writers_of_several_processes_and_threads_lose_nothing(numbers: Database) -> None:
    url, each = numbers.engine.url.render_as_string(), 40
    processes = [SPAWN.Process(target=writes_numbers, args=(url, writer, each)) for writer in range(2)]
    threads = [threading.Thread(target=writes_numbers, args=(url, writer, each)) for writer in (2, 3)]
    for writer in (*processes, *threads):
        writer.start()
    for writer in (*processes, *threads):
        writer.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert total(numbers) == 4 * each
    with numbers.read() as session:
        rows = session.execute(sa.text("SELECT writer, number FROM written")).all()
    assert sorted(map(tuple, rows)) == [(writer, number) for writer in range(4) for number in range(each)]


def test_actions_of_a_block_whose_commit_fails_are_not_done(numbers: Database) -> None:
    migrations.migrate(numbers)
    seen: list[str] = []

    def fail_at_commit() -> None:
        with numbers.write() as session:
            session.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
            session.execute(sa.text("INSERT INTO job_metadata VALUES (77, 'key', 'value')"))
            after_commit(session, lambda: seen.append("done"))
            seen.append("inserted")

    with pytest.raises(sa.exc.IntegrityError):
        fail_at_commit()
    assert seen == ["inserted"]


def test_the_folder_of_the_database_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'fitd.db'}")
    with database.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1
    database.close()


def test_moments_are_kept_as_plain_utc(numbers: Database) -> None:
    Moment.metadata.create_all(numbers.engine)
    with numbers.write() as session:
        session.add(Moment(id=1, at=datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))))
    connection = sqlite3.connect(str(numbers.engine.url.database))
    assert connection.execute("SELECT at FROM moments").fetchone() == ("2026-01-01 10:00:00.000000",)
    connection.close()
