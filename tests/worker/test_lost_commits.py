"""The answer to a commit is lost on its way: what it recorded is found out, and nothing is told twice."""

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.db import Database
from service.exceptions import DatabaseBusy, LeaseLost
from service.jobs.attempts import JobRef
from service.training import callbacks
from service.worker import checkpoints as checkpointing
from service.worker import recorder as recording
from service.worker.messages import Drain
from tests.jobs.desk import Desk
from tests.lossy import LossyRelay
from tests.postgres import PostgresServer
from tests.worker.test_recorder import ALL_EPOCHS, JOB, AtEpoch, Runner


@pytest.fixture(autouse=True)
def _talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulse at every epoch, and each pulse recorded."""
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    monkeypatch.setattr(recording, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(checkpointing, "SHARE", 0)


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    """One that reaches the server without the relay."""
    with contextlib.closing(Database(url)) as database:
        yield Desk(database)


@pytest.fixture
def relay(postgres: PostgresServer) -> Iterator[LossyRelay]:
    with LossyRelay(postgres.port) as relay:
        yield relay


@pytest.fixture
def relayed(url: str, relay: LossyRelay) -> Iterator[Database]:
    through = sa.make_url(url).set(port=relay.port).render_as_string()
    with contextlib.closing(Database(through)) as database:
        yield database


@pytest.fixture
def runner(relayed: Database, tmp_path: Path, pipes: tuple[Connection, Connection]) -> Runner:
    return Runner(Desk(relayed), tmp_path / "doorbells", pipes[1])


def test_a_lost_commit_is_in_doubt_and_a_refused_statement_is_not(
    relayed: Database, relay: LossyRelay, desk: Desk
) -> None:
    relay.lose_next_commit()
    with pytest.raises(DatabaseBusy) as lost, relayed.write() as session:
        session.execute(sa.text("CREATE TABLE told (word TEXT)"))
    assert lost.value.in_doubt
    with pytest.raises(DatabaseBusy) as refused, relayed.write() as session:
        session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not refused.value.in_doubt
    with desk.database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM told")) == 0


@pytest.mark.parametrize("checkpoint_seconds", [1000.0, 0.0], ids=["report", "checkpoint"])
def test_a_training_goes_on_and_tells_each_epoch_once(
    desk: Desk, runner: Runner, relay: LossyRelay, checkpoint_seconds: float
) -> None:
    ref = desk.running(**JOB)
    losing = [AtEpoch(epoch, relay.lose_next_commit) for epoch in (5, 20)]
    runner.train(ref, *losing, checkpoint_seconds=checkpoint_seconds)
    assert relay.lost == 2
    assert desk.job(ref.id).status == "succeeded"
    assert desk.epochs(ref.id) == ALL_EPOCHS
    assert told_epochs(desk, ref) == ALL_EPOCHS


def told_epochs(desk: Desk, ref: JobRef) -> list[int]:
    return [
        int(epoch)
        for event, history in desk.events(ref.id)
        if event.type == "history"
        for epoch in history.epochs
    ]


def test_a_last_checkpoint_that_was_in_doubt_is_the_one_to_go_on_from(
    desk: Desk,
    runner: Runner,
    relay: LossyRelay,
    pipes: tuple[Connection, Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.05)
    ref = desk.running(**JOB)

    def drain() -> None:
        relay.lose_next_commit()
        pipes[0].send(Drain())

    runner.train(ref, AtEpoch(10, drain))
    assert relay.lost == 1
    assert desk.status(ref.id) == "queued"
    (checkpoint,) = desk.checkpoints(ref.id)
    assert (checkpoint.epoch, desk.epochs(ref.id)) == (10, list(range(1, 11)))
    (again,) = desk.claim()
    runner.train(again)
    assert (desk.job(ref.id).status, desk.epochs(ref.id)) == ("succeeded", ALL_EPOCHS)
    assert told_epochs(desk, ref) == ALL_EPOCHS


def test_an_end_that_was_in_doubt_is_recorded_once(
    desk: Desk, runner: Runner, relay: LossyRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.05)
    ref = desk.running(**JOB)

    def lose_the_end() -> None:
        monkeypatch.setattr(recording, "REPORT_SECONDS", 1000.0)
        relay.lose_next_commit()

    with contextlib.suppress(LeaseLost):  # Its end is recorded, so the job is nobody's any more.
        runner.train(ref, AtEpoch(40, lose_the_end))
    assert relay.lost == 1
    assert desk.told_statuses(ref.id) == ["queued", "running", "succeeded"]
    assert told_epochs(desk, ref) == ALL_EPOCHS
