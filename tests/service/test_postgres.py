"""The real service on PostgreSQL: rings reach it, its server may restart, and several hosts share its jobs."""

import concurrent.futures
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import Database
from service.jobs.orm import Job, Worker
from tests.conftest import Service
from tests.postgres import PostgresServer
from tests.service.test_faults import ended, kill_runner, outcome, progressing
from tests.service.test_results import follow
from tests.service.test_survival import causes, demanding

POLL_SECONDS = 60.0
"""Nobody who waits comes to know of anything by looking: only by a ring."""


@pytest.fixture(scope="module")
def single(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one slot on a database of its own, that looks for itself hardly ever."""
    url = postgres.create()
    running = Service(
        tmp_path_factory.mktemp("postgres") / "data",
        FITD_DATABASE_URL=url,
        FITD_SLOTS="1",
        FITD_CHECKPOINT_SECONDS="0.3",
        FITD_POLL_SECONDS=str(POLL_SECONDS),
    )
    yield running
    running.close()
    postgres.drop(url)


@pytest.fixture(scope="module")
def undisturbed(single: Service) -> tuple[Any, ...]:
    """What the demanding job comes to when nothing happens to it."""
    job = single.submit(demanding(), wait=60)
    assert job["status"] == "succeeded", job["error"]
    return outcome(single, job["id"])


def test_the_tutorial_comes_to_the_same_as_on_sqlite(
    single: Service, service: Service, tutorial: dict[str, Any]
) -> None:
    job = single.submit(tutorial)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert outcome(single, job["id"]) == outcome(service, service.submit(tutorial)["id"])
    assert not list(single.data_dir.glob("fitd.db*"))
    assert not list(single.data_dir.glob("doorbells/*"))
    point = {"rows": [{"x": 0.5}]}
    predicted = single.client.post(f"/v1/jobs/{job['id']}/predict", json=point)
    assert predicted.status_code == 200, predicted.text
    assert single.client.delete(f"/v1/jobs/{job['id']}").status_code == 204


def test_a_ring_wakes_the_worker_and_whoever_waits(single: Service, tutorial: dict[str, Any]) -> None:
    tutorial["training"]["epochs"] = 20
    for _ in range(5):
        started = time.monotonic()
        assert single.submit(tutorial, wait=30)["status"] == "succeeded"
        assert time.monotonic() - started < POLL_SECONDS / 6


def test_a_restart_of_the_server_costs_a_job_nothing_and_callers_a_503(
    single: Service, postgres: PostgresServer, undisturbed: tuple[Any, ...]
) -> None:
    job = single.submit(demanding(), wait=0)
    follower, seen = following(single, job["id"])
    single.wait_for(job["id"], progressing)
    postgres.stop(signal.SIGQUIT)
    try:
        refused = [
            single.client.get(f"/v1/jobs/{job['id']}"),
            single.client.post("/v1/jobs", json=demanding(1)),
        ]
        assert single.client.get("/readyz").status_code == 503
        assert single.client.get("/healthz").status_code == 200
    finally:
        postgres.start()
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["code"], answer.headers["retry-after"]) == ("database_busy", "1")
    done = single.wait_for(job["id"], ended, seconds=60)
    assert (done["status"], done["attempt"]) == ("succeeded", 1)
    assert outcome(single, job["id"]) == undisturbed
    follower.join(10)
    assert epochs_of(seen) == list(range(1, 261)), "who follows does not notice"
    single.wait_until_ready()


def following(service: Service, job_id: str) -> tuple[threading.Thread, list[dict[str, Any]]]:
    """Follow a job beside the test; the list is filled when the stream has ended."""
    seen: list[dict[str, Any]] = []
    thread = threading.Thread(
        target=lambda: seen.extend(event for _, event in follow(service, job_id)), daemon=True
    )
    thread.start()
    return thread, seen


def epochs_of(events: list[dict[str, Any]]) -> list[int]:
    return [n for event in events if event["type"] == "history" for n in event["columns"]["epoch"]]


def test_a_restart_of_the_server_is_survived_by_the_doorbells(
    single: Service, postgres: PostgresServer, tutorial: dict[str, Any]
) -> None:
    postgres.restart(signal.SIGINT)
    single.wait_until_ready()
    tutorial["training"]["epochs"] = 20
    time.sleep(1)  # Those who listen come back within half a second.
    started = time.monotonic()
    assert single.submit(tutorial, wait=30)["status"] == "succeeded"
    assert time.monotonic() - started < POLL_SECONDS / 6


def test_a_killed_runner_goes_on_from_its_checkpoint_and_comes_to_the_same(
    single: Service, undisturbed: tuple[Any, ...]
) -> None:
    job = single.submit(demanding(), wait=0)
    single.wait_for(job["id"], has_checkpoint(single))
    kill_runner(single)
    done = single.wait_for(job["id"], ended, seconds=60)
    assert (done["status"], done["attempt"], causes(done)) == ("succeeded", 2, ["runner_died"])
    assert outcome(single, job["id"]) == undisturbed
    single.wait_until_ready()


def has_checkpoint(service: Service) -> Any:  # noqa: ANN401 - a condition for `wait_for`
    """Give the condition that a job under way has a checkpoint to go on from."""

    def condition(job: dict[str, Any]) -> bool:
        assert not job["terminal"], "it ended too soon for this test"
        return bool(service.client.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"])

    return condition


Hosts = tuple[Service, Service]


@pytest.fixture(scope="module")
def hosts(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Two hosts: each has its own data folder, both have one database and one folder for files."""
    folder, url = tmp_path_factory.mktemp("hosts"), postgres.create()
    (folder / "shared").mkdir()
    first, second = (
        Service(
            folder / name,
            FITD_DATABASE_URL=url,
            FITD_STORAGE_DIR=str(folder / "shared"),
            FITD_SLOTS="1",
            FITD_CHECKPOINT_SECONDS="0.3",
            FITD_LEASE_SECONDS="4",
            FITD_POLL_SECONDS=str(POLL_SECONDS),
        )
        for name in ("first", "second")
    )
    yield first, second
    first.close()
    second.close()
    postgres.drop(url)


def processes(host: Service) -> list[int]:
    """List all processes of a host, the supervisor first."""
    worker = host.pid_of("worker")
    return [host.process.pid, *host.children(), *host.children(worker), *host.runner_pids()]


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def test_jobs_of_one_host_are_trained_by_both_and_followed_through_the_other(hosts: Hosts) -> None:
    first, second = hosts
    wait_until_both_are_warm(hosts)
    jobs = [first.submit(demanding(), wait=0)["id"] for _ in range(2)]
    follower, seen = following(second, jobs[0])
    # Each host has one slot: two that run at the same time run on two.
    second.wait_for(jobs[1], progressing)
    assert [first.job(one)["status"] for one in jobs] == ["running", "running"]
    done = [second.job(one, wait=30) for one in jobs]
    assert [(one["status"], one["attempt"]) for one in done] == [("succeeded", 1)] * 2
    follower.join(10)
    assert epochs_of(seen) == list(range(1, 261))
    assert outcome(first, jobs[0]) == outcome(second, jobs[1])


def test_a_dataset_sent_to_one_host_is_trained_on_by_any(hosts: Hosts) -> None:
    first, second = hosts
    rows = b"x,y\n" + b"".join(b"%d,%d\n" % (n, 3 * n + 1) for n in range(50))
    sent = first.client.post("/v1/datasets", content=rows, headers={"Content-Type": "text/csv"})
    assert sent.status_code == 201, sent.text
    spec = {
        "data": {"type": "dataset", "id": sent.json()["id"], "target": "y"},
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "Adam", "lr": 0.1},
        "training": {"epochs": 3000, "seed": 0},
    }
    jobs = [second.submit(spec, wait=0)["id"] for _ in range(4)]
    assert [first.job(one, wait=30)["status"] for one in jobs] == ["succeeded"] * 4
    assert not (first.data_dir / "datasets").exists()
    assert not (second.data_dir / "datasets").exists()


def test_fifty_at_once_with_one_key_to_both_hosts_make_one_job(
    hosts: Hosts, tutorial: dict[str, Any]
) -> None:
    def post(number: int) -> tuple[int, str]:
        headers = {"Idempotency-Key": "fifty"}
        answer = hosts[number % 2].client.post("/v1/jobs", json=tutorial, headers=headers)
        return answer.status_code, answer.json().get("id", answer.text)

    before = count(hosts[0])
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    assert len(set(answers)) == 1, set(answers)
    assert answers[0][0] == 202
    assert count(hosts[0]) == before + 1


def count(host: Service) -> int:
    listed = host.client.get("/v1/jobs", params={"limit": 100}).json()
    assert not listed.get("next")
    return len(listed["data"])


def test_a_frozen_host_loses_its_job_to_the_other_and_changes_nothing_when_it_wakes(
    hosts: Hosts, undisturbed: tuple[Any, ...]
) -> None:
    job, (holder, other) = running_on(hosts)
    frozen = processes(holder)
    send(frozen, signal.SIGSTOP)
    try:
        other.wait_for(job["id"], lambda one: one["attempt"] == 2, seconds=60)
    finally:
        send(frozen, signal.SIGCONT)  # It wakes while the other trains what it still believes its own.
    done = other.wait_for(job["id"], ended, seconds=60)
    assert (done["status"], done["attempt"], causes(done)) == ("succeeded", 2, ["worker_silent"])
    assert outcome(other, job["id"]) == undisturbed
    assert epochs_of([event for _, event in follow(other, job["id"])]) == list(range(1, 261))
    holder.wait_until_ready()
    assert "lease lost" in holder.log
    assert other.job(job["id"]) == done


def test_a_host_that_is_gone_loses_its_job_to_the_other_which_goes_on_from_the_checkpoint(
    hosts: Hosts, undisturbed: tuple[Any, ...]
) -> None:
    job, (holder, other) = running_on(hosts)
    epoch = other.client.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"][0]["epoch"]
    gone = processes(holder)
    send(gone, signal.SIGSTOP)  # All at once: none of them sees another die, as when the power goes.
    send(gone, signal.SIGKILL)
    holder.process.wait()
    try:
        done = other.wait_for(job["id"], ended, seconds=60)
        assert (done["status"], done["attempt"], causes(done)) == ("succeeded", 2, ["worker_silent"])
        assert outcome(other, job["id"]) == undisturbed
        assert epoch > 0
    finally:
        holder.restart()


def wait_until_both_are_warm(hosts: Hosts) -> None:
    """Wait for the runners of both hosts: any host is ready as soon as one of them is."""
    warm = sa.select(sa.func.count()).where(Worker.warm > 0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with asked(hosts) as session:
            if session.scalar(warm) == len(hosts):
                return
        time.sleep(0.1)
    raise AssertionError(f"they do not get warm:\n{hosts[0].log}\n{hosts[1].log}")


@contextlib.contextmanager
def asked(hosts: Hosts) -> Iterator[Session]:
    """Give a session on the database that the hosts share."""
    with (
        contextlib.closing(Database(hosts[0].environment["FITD_DATABASE_URL"])) as database,
        database.read() as session,
    ):
        yield session


def running_on(hosts: Hosts) -> tuple[dict[str, Any], Hosts]:
    """Start a job that has a checkpoint; give it with the host that trains it, and the other one."""
    wait_until_both_are_warm(hosts)
    job = hosts[0].submit(demanding(), wait=0)
    hosts[0].wait_for(job["id"], has_checkpoint(hosts[0]))
    with asked(hosts) as session:
        worker_id = session.scalar(sa.select(Job.worker_id).where(Job.id == job["id"]))
    first, second = hosts
    # The lock file that tells its neighbours that it is alive tells us where it lives.
    return job, hosts if (first.data_dir / "workers" / f"{worker_id}.lock").exists() else (second, first)
