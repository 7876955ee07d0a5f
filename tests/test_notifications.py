"""Doorbells of PostgreSQL: heard by all who use the database, whatever becomes of the server meanwhile."""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import uvloop

from service.api.changes import Changes
from service.db import Database
from service.doorbell import (
    JOB_CHANGED,
    JOB_QUEUED,
    Doorbell,
    Listener,
    PipeDoorbell,
    PipeListener,
    doorbell,
    listen,
)
from service.doorbell.notifications import NotifyDoorbell, NotifyListener
from tests.postgres import PostgresServer, what_is_missing

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())
SPAWN = multiprocessing.get_context("spawn")
NOWHERE = "postgresql://fitd@127.0.0.1:1/fitd"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that these tests may stop."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    url = server.create(migrated=False)
    yield url
    server.drop(url)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with contextlib.closing(Database(url)) as database:
        yield database


@pytest.fixture
def bell(database: Database, tmp_path: Path) -> Iterator[Doorbell]:
    with contextlib.closing(doorbell(database, tmp_path)) as bell:
        yield bell


def ring_once(url: str) -> None:
    """In another process: ring, and be gone."""
    with (
        contextlib.closing(Database(url)) as database,
        contextlib.closing(doorbell(database, Path("/nowhere"))) as bell,
    ):
        bell.ring(JOB_CHANGED, "from_afar")


def heard(listener: Listener, seconds: float = 10) -> set[str]:
    """Wait for a ring and take it."""
    return listener.messages() if wait([listener.fileno()], timeout=seconds) else set()


def test_the_database_decides_which_doorbell_it_is(database: Database, tmp_path: Path) -> None:
    with (
        contextlib.closing(Database(f"sqlite:///{tmp_path / 'fitd.db'}")) as sqlite,
        listen(sqlite, tmp_path / "bells", JOB_QUEUED) as pipe,
        listen(database, tmp_path / "none", JOB_QUEUED) as listener,
    ):
        assert (type(pipe), type(listener)) == (PipeListener, NotifyListener)
        assert type(doorbell(sqlite, tmp_path)) is PipeDoorbell
        assert type(doorbell(database, tmp_path)) is NotifyDoorbell
    assert not (tmp_path / "none").exists()


def test_a_ring_wakes_the_listener_with_its_message(
    database: Database, bell: Doorbell, tmp_path: Path
) -> None:
    with listen(database, tmp_path, JOB_CHANGED) as listener:
        assert listener.messages() == set()
        bell.ring(JOB_CHANGED, "job_1")
        assert heard(listener) == {"job_1"}
        assert not wait([listener.fileno()], timeout=0.1)
        assert listener.messages() == set()
        bell.ring(JOB_CHANGED)
        assert heard(listener) == {"-"}


def test_a_ring_reaches_another_process(database: Database, url: str, tmp_path: Path) -> None:
    with listen(database, tmp_path, JOB_CHANGED) as listener:
        process = SPAWN.Process(target=ring_once, args=(url,))
        process.start()
        assert heard(listener, 30) == {"from_afar"}
        process.join()


def test_each_topic_and_each_database_is_heard_alone(
    server: PostgresServer, database: Database, bell: Doorbell, tmp_path: Path
) -> None:
    other_url = server.create(migrated=False)
    with (
        contextlib.closing(Database(other_url)) as other,
        listen(database, tmp_path, JOB_CHANGED) as changed,
        listen(database, tmp_path, JOB_QUEUED) as queued,
        listen(other, tmp_path, JOB_CHANGED) as elsewhere,
    ):
        bell.ring(JOB_QUEUED)
        bell.ring(JOB_CHANGED, "job_1")
        assert (heard(queued), heard(changed)) == ({"-"}, {"job_1"})
        assert heard(elsewhere, 0.1) == set()
    server.drop(other_url)


def test_a_thousand_rings_are_all_told(database: Database, bell: Doorbell, tmp_path: Path) -> None:
    words = {f"job_{number}" for number in range(1000)}
    found: set[str] = set()
    with listen(database, tmp_path, JOB_CHANGED) as listener:
        for word in words:
            bell.ring(JOB_CHANGED, word)
        while found != words:
            taken = heard(listener)
            assert taken
            found |= taken


def test_what_no_server_would_take_harms_nobody(database: Database, bell: Doorbell, tmp_path: Path) -> None:
    with listen(database, tmp_path, JOB_CHANGED) as listener:
        bell.ring(JOB_CHANGED, "x" * 100_000)
        assert heard(listener) == {"x" * 7000}
        bell.ring(JOB_CHANGED, "ü")
        assert heard(listener) == {"?"}


def test_an_event_loop_hears_it(database: Database, bell: Doorbell, tmp_path: Path) -> None:
    async def waits_for_news() -> float:
        changes = Changes(poll_seconds=20)
        with listen(database, tmp_path, JOB_CHANGED) as listener:
            async with changes.hearing(listener):
                with changes.of("job_1") as news:
                    started = time.monotonic()
                    bell.ring(JOB_CHANGED, "job_1")
                    await news.wait()
                    return time.monotonic() - started

    assert asyncio.run(waits_for_news()) < 10
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(waits_for_news()) < 10


def test_both_ends_survive_a_restart_of_the_server(
    server: PostgresServer, database: Database, bell: Doorbell, tmp_path: Path
) -> None:
    with listen(database, tmp_path, JOB_CHANGED) as listener:
        bell.ring(JOB_CHANGED, "before")
        assert heard(listener) == {"before"}
        descriptor = listener.fileno()
        server.stop()
        bell.ring(JOB_CHANGED, "lost")
        server.start()
        deadline = time.monotonic() + 10
        while not (found := heard(listener, 0.2)):
            assert time.monotonic() < deadline
            bell.ring(JOB_CHANGED, "after")
        assert found <= {"lost", "after"}
        assert listener.fileno() == descriptor


def test_nobody_waits_for_a_server_that_is_not_there(tmp_path: Path) -> None:
    with contextlib.closing(Database(NOWHERE)) as database:
        bell = doorbell(database, tmp_path)
        started = time.monotonic()
        for _ in range(1000):
            bell.ring(JOB_CHANGED, "job_1")
        with listen(database, tmp_path, JOB_CHANGED) as listener:
            assert listener.messages() == set()
        bell.close()
        assert time.monotonic() - started < 5


def test_a_closed_end_leaves_no_connection(database: Database, url: str, tmp_path: Path) -> None:
    bell = doorbell(database, tmp_path)
    with listen(database, tmp_path, JOB_CHANGED) as listener:
        bell.ring(JOB_CHANGED, "job_1")
        assert heard(listener) == {"job_1"}
    bell.close()
    with database.read() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + 5
        while session.connection().exec_driver_sql(query).scalar():
            assert time.monotonic() < deadline
            session.rollback()
            time.sleep(0.02)
