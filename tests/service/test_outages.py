"""A PostgreSQL server that goes away for a while: callers are told, followers and trainings hardly notice."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.db import Database
from tests.conftest import Service
from tests.postgres import PostgresServer, what_is_missing
from tests.service.test_faults import ended, long_job, progressing
from tests.service.test_results import read_events

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that these tests may stop."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def url(server: PostgresServer) -> str:
    return server.create(migrated=False)


@pytest.fixture(scope="module")
def running(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("outages")
    service = Service(folder / "data", FITD_SLOTS="1", FITD_DATABASE_URL=url)
    yield service
    service.close()


def test_a_job_outlives_a_crash_of_the_server_and_its_follower_sees_each_epoch_once(
    server: PostgresServer, running: Service, tutorial: dict[str, Any]
) -> None:
    epochs = 20_000
    job = running.submit(long_job(tutorial, epochs), wait=0)
    running.wait_for(job["id"], progressing)
    with running.client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        events = read_events(stream.iter_lines())
        seen = [next(events)]
        server.stop()
        callers_are_told(running, job["id"], tutorial)
        server.start()
        seen += events
    told = [epoch for _, event in seen if event["type"] == "history" for epoch in event["columns"]["epoch"]]
    assert told == list(range(1, epochs + 1))
    done = running.job(job["id"])
    assert (done["status"], done["attempt"]) == ("succeeded", 1)


def callers_are_told(running: Service, job_id: str, spec: dict[str, Any]) -> None:
    for answer in (
        running.client.get(f"/v1/jobs/{job_id}"),
        running.client.post("/v1/jobs", json=spec),
        running.client.post(f"/v1/jobs/{job_id}/cancel"),
        running.client.get("/metrics"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "database_busy")
        assert answer.headers["Retry-After"] == "1"
        assert "127.0.0.1" not in answer.text
    assert running.client.get("/readyz").json()["checks"]["database"] == "not reachable"
    assert running.client.get("/healthz").status_code == 200


def test_a_job_that_is_claimed_and_not_begun_when_the_server_goes_is_trained_all_the_same(
    server: PostgresServer, running: Service, tutorial: dict[str, Any]
) -> None:
    for _ in range(3):
        job = running.submit(long_job(tutorial, 2000), wait=0)
        server.restart()
        assert running.wait_for(job["id"], ended, seconds=60)["status"] == "succeeded"


def test_a_claim_that_its_worker_never_heard_of_is_given_back(
    url: str, running: Service, tutorial: dict[str, Any]
) -> None:
    holding = running.submit(long_job(tutorial, 1_000_000), wait=0)
    running.wait_for(holding["id"], progressing)
    job = running.submit(tutorial, wait=0)
    with contextlib.closing(Database(url)) as database, database.write() as session:
        # As if it had been claimed, and the answer to the commit lost.
        claim = """UPDATE jobs SET status = 'running', attempt = 1, started_at = now(),
                   worker_id = (SELECT id FROM workers) WHERE id = :id"""
        session.execute(sa.text(claim), {"id": job["id"]})
    requeued = running.wait_for(job["id"], lambda one: one["status"] == "queued", seconds=10)
    assert requeued["transitions"][-1]["cause"]["code"] == "claim_lost"
    running.client.post(f"/v1/jobs/{holding['id']}/cancel")
    done = running.job(job["id"], wait=30)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
