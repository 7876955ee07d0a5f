"""The database is set up for several processes, and nothing that was committed is lost."""

import contextlib
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from service.db import Base, Database, UtcDateTime, after_commit, now


@pytest.fixture
def numbers(empty: Database) -> Database:
    """A database with a counter at zero."""
    with empty.write() as session:
        session.execute(sa.text("CREATE TABLE counter (total INTEGER)"))
        session.execute(sa.text("INSERT INTO counter VALUES (0)"))
    return empty


def total(database: Database) -> int:
    with database.read() as session:
        return session.scalar(sa.text("SELECT total FROM counter")) or 0


def add_one(session: orm.Session) -> None:
    session.execute(sa.text("UPDATE counter SET total = total + 1"))


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
    # SQLite takes it and forgets it; PostgreSQL refuses it.
    with contextlib.suppress(sa.exc.InternalError), numbers.read() as session:
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


def test_foreign_keys_are_enforced(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.write() as session:
        session.execute(sa.text("INSERT INTO job_metadata VALUES (77, 'key', 'value')"))


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


def test_now_is_in_utc() -> None:
    assert now().tzinfo is UTC


def test_the_constraints_of_all_tables_follow_the_naming_convention() -> None:
    import service.jobs.orm  # noqa: F401 - its tables are in the metadata then

    names = [str(one.name) for table in Base.metadata.tables.values() for one in table.constraints]
    assert names
    assert all(name.split("_")[0] in {"pk", "fk", "uq", "ck"} for name in names)
