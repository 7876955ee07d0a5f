"""PostgreSQL for several hosts: what hangs lets go, what is lost can be tried again, and no password is ever told."""

import argparse
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service import __main__ as command
from service import doctor
from service.db import Database, postgresql
from service.exceptions import DatabaseBusy, StartupFailed
from service.settings import Settings
from tests.postgres import PostgresServer, what_is_missing
from tests.test_commands import fitd, refused
from tests.test_db import add_one, total

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())

COUNTER = "CREATE TABLE counter (total INTEGER); INSERT INTO counter VALUES (0)"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    """Of a database with a counter at zero."""
    url = postgres.create(migrated=False)
    with contextlib.closing(Database(url)) as database, database.write() as session:
        for statement in COUNTER.split(";"):
            session.execute(sa.text(statement))
    yield url
    postgres.drop(url)


@pytest.fixture
def numbers(url: str) -> Iterator[Database]:
    with contextlib.closing(Database(url)) as database:
        yield database


@pytest.fixture
def hasty(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """One whose transactions have little patience."""
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 0.6)
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.3)
    with contextlib.closing(Database(url)) as database:
        yield database


def one_more(database: Database) -> None:
    with database.write() as session:
        add_one(session)


def told(database: Database, setting: str) -> str:
    with database.write() as session:
        return str(session.scalar(sa.text(f"SHOW {setting}")))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_usual_way_to_write_the_url_means_psycopg(url: str, scheme: str) -> None:
    with contextlib.closing(Database(url.replace("postgresql", scheme))) as database:
        assert (database.engine.driver, total(database)) == ("psycopg", 0)


def test_every_session_has_bounds_and_its_level(numbers: Database) -> None:
    expected = {
        "idle_in_transaction_session_timeout": "10s",
        "lock_timeout": "5s",
        "application_name": "fitd",
        "transaction_isolation": "read committed",
    }
    assert {name: told(numbers, name) for name in expected} == expected
    with numbers.read() as session:
        for name, value in {
            "transaction_isolation": "repeatable read",
            "transaction_read_only": "on",
        }.items():
            assert session.scalar(sa.text(f"SHOW {name}")) == value
    assert told(numbers, "transaction_read_only") == "off"


def test_what_the_operator_writes_into_the_url_has_the_last_word(url: str) -> None:
    own = f"{url}?options=-c%20lock_timeout%3D77s&application_name=ours"
    with contextlib.closing(Database(own)) as database:
        assert (told(database, "lock_timeout"), told(database, "application_name")) == ("77s", "ours")
        assert told(database, "idle_in_transaction_session_timeout") == "10s"


def test_a_reader_keeps_its_state_and_holds_nobody_up(numbers: Database) -> None:
    with numbers.read() as session:
        assert session.scalar(sa.text("SELECT total FROM counter")) == 0
        one_more(numbers)
        assert session.scalar(sa.text("SELECT total FROM counter")) == 0
    assert total(numbers) == 1


def test_a_write_in_a_reading_session_is_a_fault_and_not_told_as_a_busy_database(numbers: Database) -> None:
    with pytest.raises(sa.exc.InternalError), numbers.read() as session:
        add_one(session)


def test_a_held_row_is_told_as_busy_after_a_while(numbers: Database, hasty: Database) -> None:
    with numbers.write() as session:
        add_one(session)
        started = time.monotonic()
        with pytest.raises(DatabaseBusy) as error:
            one_more(hasty)
        assert time.monotonic() - started < 3
        assert not error.value.in_doubt
    one_more(hasty)
    assert total(numbers) == 2


def test_a_process_that_froze_inside_a_transaction_lets_go_of_its_rows(
    numbers: Database, hasty: Database
) -> None:
    def freeze() -> None:
        with hasty.write() as session:
            add_one(session)
            one_more_started.set()
            time.sleep(1.5)  # Past its bound: the server has ended the session.
            add_one(session)

    one_more_started = threading.Event()
    frozen = outcome_of(freeze)
    assert one_more_started.wait(10)
    one_more(numbers)  # Waits until the frozen one is cut off.
    assert isinstance(frozen(), DatabaseBusy)
    assert total(numbers) == 1
    one_more(hasty)
    assert total(numbers) == 2


def outcome_of(action: Callable[[], None]) -> Callable[[], Exception | None]:
    """Act in a thread; the result waits for it and gives the error that it ended with."""
    errors: list[Exception] = []

    def act() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()

    def wait() -> Exception | None:
        thread.join(30)
        return errors[0] if errors else None

    return wait


def test_a_deadlock_is_told_as_busy_to_one_and_the_other_goes_on(numbers: Database) -> None:
    with numbers.write() as session:
        session.execute(sa.text("CREATE TABLE pair (name TEXT PRIMARY KEY, n INTEGER)"))
        session.execute(sa.text("INSERT INTO pair VALUES ('a', 0), ('b', 0)"))
    both = threading.Barrier(2)

    def change(first: str, second: str) -> None:
        statement = sa.text("UPDATE pair SET n = n + 1 WHERE name = :name")
        with numbers.write() as session:
            session.execute(statement, {"name": first})
            both.wait(10)
            session.execute(statement, {"name": second})

    ends = [outcome_of(lambda: change("a", "b")), outcome_of(lambda: change("b", "a"))]
    errors = [error for end in ends if (error := end()) is not None]
    assert [type(error) for error in errors] == [DatabaseBusy]
    with numbers.read() as session:
        assert session.scalars(sa.text("SELECT n FROM pair")).all() == [1, 1]


def test_connections_that_were_cut_while_nobody_used_them_are_not_noticed(numbers: Database) -> None:
    sessions = [numbers.read() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for session in sessions:
            stack.enter_context(session).scalar(sa.text("SELECT 1"))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with contextlib.suppress(DatabaseBusy), numbers.write() as session:
        session.execute(sa.text(f"{cut} AND pid <> pg_backend_pid()"))
        session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    for _ in range(5):
        one_more(numbers)
    assert total(numbers) == 5


def test_a_server_that_is_away_is_told_as_busy_and_found_again() -> None:
    own = PostgresServer()
    try:
        with contextlib.closing(Database(own.create(migrated=False))) as database:
            with database.write() as session:
                session.execute(sa.text("CREATE TABLE counter AS SELECT 0 AS total"))
            one_more(database)
            own.stop()
            for session_of in (database.read, database.write):
                with pytest.raises(DatabaseBusy), session_of() as session:
                    session.scalar(sa.text("SELECT 1"))
            own.start()
            one_more(database)
            assert total(database) == 2
    finally:
        own.close()


def test_a_server_that_is_only_a_copy_is_told_as_busy_to_writers(url: str) -> None:
    copy = f"{url}?options=-c%20default_transaction_read_only%3Don"
    with contextlib.closing(Database(copy)) as database:
        for _ in range(2):
            with pytest.raises(DatabaseBusy):
                one_more(database)
        assert total(database) == 0


def test_when_all_connections_are_taken_it_is_told_as_busy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "POOL_SECONDS", 0.1)
    with contextlib.closing(Database(url)) as database, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(database.read()).scalar(sa.text("SELECT 1"))
        with pytest.raises(DatabaseBusy), database.read() as session:
            session.scalar(sa.text("SELECT 1"))


SECRET = "s3cr:t"  # noqa: S105 - the word that is to be found nowhere
HIDDEN = ("s3cr", "s3cr%3At")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://ann:{}@127.0.0.1:1/fitd", ["cannot be used", "refused", "running and reachable"]),
        ("postgresql://ann:{}@nowhere.invalid/fitd", ["cannot be used", "running and reachable"]),
        ("postgresql://ann:{}@127.0.0.1:5x/fitd", ["cannot be read as a URL", "%40"]),
        ("postgresql://ann:{}@pass@127.0.0.1/fitd", ["cannot be read as a URL", "%40"]),
        ("postgresql://ann:p@{}:w@127.0.0.1:5432/fitd", ["cannot be read as a URL", "%40"]),
        ("postgresql+psycopg2://ann:{}@127.0.0.1/fitd", ["another driver", "postgresql://"]),
        ("mysql://ann:{}@127.0.0.1/fitd", ["mysql", "SQLite or PostgreSQL"]),
        ("{}", ["cannot be read as a URL"]),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_line_without_its_password(
    url: str, words: list[str], tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=url.format(SECRET))
    with pytest.raises(StartupFailed) as error:
        command._migrate(settings, argparse.Namespace())
    ((_, diagnosis, healthy),) = doctor._guarded("database", lambda: doctor._database(settings))
    said = f"{error.value.message} {error.value.hint}"
    assert [word for word in words if word not in said] == []
    assert not healthy
    for told_to_somebody in (said, diagnosis, str(error.getrepr()), repr(settings)):
        assert not [word for word in HIDDEN if word in told_to_somebody]
    assert "\n" not in said + diagnosis


def test_the_commands_tell_it_too(tmp_path: Path) -> None:
    url = f"postgresql://ann:{SECRET}@127.0.0.1:1/fitd"
    for name in ("serve", "worker"):
        done = fitd(name, "--data-dir", str(tmp_path), FITD_DATABASE_URL=url, FITD_PORT="0")
        refused(done, 1, "fitd: The database cannot be used: connection failed")
        assert not [word for word in HIDDEN if word in done.stderr + done.stdout]


def test_a_wrong_password_is_not_told(tmp_path: Path) -> None:
    own = PostgresServer()
    try:
        own.ask_for_passwords()
        url = f"postgresql://fitd:{SECRET.replace(':', '%3A')}@127.0.0.1:{own.port}/postgres"
        done = fitd("migrate", "--data-dir", str(tmp_path), FITD_DATABASE_URL=url)
        refused(done, 1, "password authentication failed")
        assert not [word for word in HIDDEN if word in done.stderr]
    finally:
        own.close()


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StartupFailed) as error:
        Database("postgresql://127.0.0.1/fitd")
    assert "fitd[postgresql]" in error.value.hint


@pytest.mark.parametrize("migrated", [True, False])
def test_the_doctor_tells_version_and_place(
    postgres: PostgresServer,
    tmp_path: Path,
    migrated: bool,  # noqa: FBT001 - a case
) -> None:
    url = postgres.create(migrated=migrated)
    ((_, diagnosis, healthy),) = doctor._database(Settings(data_dir=tmp_path, database_url=url))
    assert diagnosis.startswith("postgresql 1")
    assert f"database {sa.make_url(url).database} on 127.0.0.1, schema " in diagnosis
    assert healthy == migrated == ("NOT current" not in diagnosis)
    postgres.drop(url)
