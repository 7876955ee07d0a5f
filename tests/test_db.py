"""The database is set up for several processes, and nothing that was committed is lost."""

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from service.db import BUSY_TIMEOUT_MS, Base, Database, UtcDateTime, after_commit, now
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


def total(database: Database) -> int:
    with database.read() as session:
        return session.scalar(sa.text("SELECT total FROM counter")) or 0


def add_one(session: orm.Session) -> None:
    session.execute(sa.text("UPDATE counter SET total = total + 1"))


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


def test_many_threads_share_one_database(numbers: Database) -> None:
    def write() -> None:
        for _ in range(10):
            with numbers.write() as session:
                add_one(session)

    threads = [threading.Thread(target=write) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(numbers) == 100


def test_a_reader_sees_one_state_while_others_write(numbers: Database) -> None:
    with numbers.read() as session:
        assert session.scalar(sa.text("SELECT total FROM counter")) == 0
        with numbers.write() as writer:
            add_one(writer)
        assert session.scalar(sa.text("SELECT total FROM counter")) == 0
    assert total(numbers) == 1


def test_a_reader_does_not_wait_for_a_writer(numbers: Database) -> None:
    with numbers.write() as session:
        add_one(session)
        assert total(numbers) == 0
    assert total(numbers) == 1


def test_what_a_reading_session_writes_is_not_kept(numbers: Database) -> None:
    with numbers.read() as session:
        add_one(session)
    assert total(numbers) == 0


def test_a_block_that_fails_is_rolled_back_whole(numbers: Database) -> None:
    def fail() -> None:
        with numbers.write() as session:
            add_one(session)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert total(numbers) == 0
    with numbers.write() as session:
        add_one(session)
    assert total(numbers) == 1


def test_actions_are_done_after_the_commit_in_their_order(numbers: Database) -> None:
    seen: list[tuple[str, int]] = []
    with numbers.write() as session:
        add_one(session)
        after_commit(session, lambda: seen.append(("first", total(numbers))))
        after_commit(session, lambda: seen.append(("second", total(numbers))))
        assert seen == []
    assert seen == [("first", 1), ("second", 1)]
    with numbers.write() as session:
        add_one(session)
    assert len(seen) == 2


def test_an_action_may_write_again(numbers: Database) -> None:
    def write() -> None:
        with numbers.write() as session:
            add_one(session)

    with numbers.write() as session:
        add_one(session)
        after_commit(session, write)
    assert total(numbers) == 2


def test_actions_of_a_block_that_fails_are_not_done(numbers: Database) -> None:
    seen: list[str] = []

    def fail() -> None:
        with numbers.write() as session:
            after_commit(session, lambda: seen.append("done"))
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert seen == []


def test_actions_of_a_block_whose_commit_fails_are_not_done(database: Database) -> None:
    seen: list[str] = []

    def fail_at_commit() -> None:
        with database.write() as session:
            session.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
            session.execute(sa.text("INSERT INTO job_metadata VALUES (77, 'key', 'value')"))
            after_commit(session, lambda: seen.append("done"))
            seen.append("inserted")

    with pytest.raises(sa.exc.IntegrityError):
        fail_at_commit()
    assert seen == ["inserted"]


def test_foreign_keys_are_enforced(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.write() as session:
        session.execute(sa.text("INSERT INTO job_metadata VALUES (77, 'key', 'value')"))


def test_the_folder_of_the_database_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'fitd.db'}")
    with database.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1
    database.close()


class _Local(orm.DeclarativeBase):
    """Tables of this module alone, so that the service's own metadata stays as it is."""


class Moment(_Local):
    __tablename__ = "moments"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    at: orm.Mapped[datetime | None] = orm.mapped_column(UtcDateTime)


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(1999, 1, 1, tzinfo=timezone(timedelta(hours=-11))),
        None,
    ],
    ids=str,
)
def test_a_moment_comes_back_as_the_same_moment_in_utc(numbers: Database, at: datetime | None) -> None:
    Moment.metadata.create_all(numbers.engine)
    with numbers.write() as session:
        session.add(Moment(id=1, at=at))
    with numbers.read() as session:
        found = session.get_one(Moment, 1).at
    assert found == at
    assert found is None or found.tzinfo is UTC


def test_moments_are_kept_as_plain_utc(numbers: Database) -> None:
    Moment.metadata.create_all(numbers.engine)
    with numbers.write() as session:
        session.add(Moment(id=1, at=datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))))
    connection = sqlite3.connect(str(numbers.engine.url.database))
    assert connection.execute("SELECT at FROM moments").fetchone() == ("2026-01-01 10:00:00.000000",)
    connection.close()


def test_now_is_in_utc() -> None:
    assert now().tzinfo is UTC


def test_the_constraints_of_all_tables_follow_the_naming_convention() -> None:
    import service.jobs.orm  # noqa: F401 - its tables are in the metadata then

    names = [str(one.name) for table in Base.metadata.tables.values() for one in table.constraints]
    assert names
    assert all(name.split("_")[0] in {"pk", "fk", "uq", "ck"} for name in names)
