"""Processes die, freeze and are stopped; jobs do not care."""

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import ROOT, Service
from tests.service.test_results import follow

Start = Callable[..., Service]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one slot and little patience, for faults that it outlives."""
    running = Service(
        tmp_path_factory.mktemp("single") / "data",
        FITD_SLOTS="1",
        FITD_CANCEL_SECONDS="0.5",
        FITD_FAIR_SECONDS="0",  # On a busy machine a second worker takes longer to come up than a job holds its slot.
    )
    yield running
    running.close()


def long_job(tutorial: dict[str, Any], epochs: int = 6000) -> dict[str, Any]:
    """A job of a second or so: long enough to be hit."""
    return {**tutorial, "training": {**tutorial["training"], "epochs": epochs, "engine": "eager"}}


def history(service: Service, job_id: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = service.client.get(f"/v1/jobs/{job_id}/history").json()["columns"]
    return columns


def outcome(service: Service, job_id: str) -> tuple[Any, ...]:
    """All that must be equal between a disturbed and an undisturbed run."""
    parameters = service.client.get(f"/v1/jobs/{job_id}/parameters").json()
    return history(service, job_id), parameters["tensors"], service.job(job_id)["result"]


def ended(job: dict[str, Any]) -> bool:
    return bool(job["terminal"])


def progressing(job: dict[str, Any]) -> bool:
    return bool(job["progress"]["epoch"] > 0)


def kill_runner(service: Service, how: signal.Signals = signal.SIGKILL) -> None:
    """Kill the runner that trains: with one slot, the only one."""
    (pid,) = service.runner_pids()
    os.kill(pid, how)


def test_a_worker_holds_no_torch_itself(single: Service, tutorial: dict[str, Any]) -> None:
    """It would take seconds at each start, and memory: only what trains needs it."""
    assert single.submit(tutorial)["status"] == "succeeded"
    mapped = [
        Path(f"/proc/{pid}/maps").read_text() for pid in (single.pid_of("worker"), *single.runner_pids())
    ]
    assert ["libtorch" in one for one in mapped] == [False, True]


def test_a_killed_runner_is_noticed_and_its_job_runs_again(single: Service, tutorial: dict[str, Any]) -> None:
    service = single
    undisturbed = service.submit(long_job(tutorial))["id"]
    job = service.submit(long_job(tutorial), wait=0)
    service.wait_for(job["id"], progressing)
    kill_runner(service)
    requeued = service.wait_for(job["id"], lambda one: one["status"] == "queued", seconds=2)
    assert requeued["attempt"] == 1
    again = service.job(job["id"], wait=30)
    assert (again["status"], again["attempt"]) == ("succeeded", 2)
    assert outcome(service, job["id"]) == outcome(service, undisturbed)


def test_a_follower_sees_each_epoch_once_although_the_runner_died(
    single: Service, tutorial: dict[str, Any]
) -> None:
    service = single
    job = service.submit(long_job(tutorial), wait=0)
    seen: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: seen.extend(event for _, event in follow(service, job["id"])))
    thread.start()
    service.wait_for(job["id"], progressing)
    kill_runner(service)
    thread.join(40)
    epochs = [epoch for event in seen if event["type"] == "history" for epoch in event["columns"]["epoch"]]
    assert epochs == list(range(1, 6001))
    states = [event["status"] for event in seen if event["type"] == "status"]
    assert states == ["queued", "running", "queued", "running", "succeeded"]


def test_a_job_that_kills_its_process_is_failed_in_the_end(single: Service, tutorial: dict[str, Any]) -> None:
    service = single
    job = service.submit(long_job(tutorial, 1_000_000), wait=0)
    for attempt in (1, 2, 3):
        service.wait_for(job["id"], lambda one, n=attempt: one["status"] == "running" and one["attempt"] == n)
        kill_runner(service)
    failed = service.job(job["id"], wait=20)
    assert (failed["status"], failed["stop_reason"], failed["attempt"]) == ("failed", "error", 3)
    assert failed["error"]["code"] == "worker_crashed"
    assert failed["error"]["hint"]


def test_a_frozen_runner_is_killed_when_it_does_not_hear_the_cancel(
    single: Service, tutorial: dict[str, Any]
) -> None:
    service = single
    job = service.submit(long_job(tutorial, 1_000_000), wait=0)
    service.wait_for(job["id"], progressing)
    kill_runner(service, signal.SIGSTOP)
    other = service.submit(long_job(tutorial, 5), wait=0)  # A frozen runner freezes nobody who writes.
    assert service.client.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelling"
    assert service.job(job["id"], wait=20)["status"] == "cancelled"
    assert service.job(other["id"], wait=20)["status"] == "succeeded"


def test_a_killed_worker_is_replaced_and_its_jobs_run_again(
    single: Service, tutorial: dict[str, Any]
) -> None:
    service = single
    undisturbed = service.submit(long_job(tutorial))["id"]
    job = service.submit(long_job(tutorial), wait=0)
    service.wait_for(job["id"], progressing)
    worker, runners = service.pid_of("worker"), service.runner_pids()
    os.kill(worker, signal.SIGKILL)
    again = service.wait_for(job["id"], ended, seconds=40)
    assert (again["status"], again["attempt"]) == ("succeeded", 2)
    assert outcome(service, job["id"]) == outcome(service, undisturbed)
    assert service.pid_of("worker") != worker
    assert not any(Path(f"/proc/{pid}").exists() for pid in runners), "the old runners end with their worker"


def test_a_killed_api_is_replaced_and_training_does_not_notice(
    own_service: Start, tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="1")
    job = service.submit(long_job(tutorial, 20_000), wait=0)
    service.wait_for(job["id"], progressing)
    api = service.pid_of("api")
    os.kill(api, signal.SIGKILL)
    # The listening socket outlives the API: a new connection waits for the new process.
    with httpx2.Client(base_url=service.url, timeout=30) as fresh:
        assert fresh.get("/healthz").status_code == 200
    service.client.close()
    service.client = httpx2.Client(base_url=service.url, timeout=30)
    done = service.job(job["id"], wait=30)
    assert (done["status"], done["attempt"]) == ("succeeded", 1)
    assert service.pid_of("api") != api


def test_everything_ends_with_a_killed_supervisor(own_service: Start, tutorial: dict[str, Any]) -> None:
    service = own_service(FITD_SLOTS="2")
    job = service.submit(long_job(tutorial, 30_000), wait=0)
    service.wait_for(job["id"], progressing)
    service.kill()
    service.restart()
    assert service.job(job["id"], wait=60)["status"] == "succeeded"


def test_ctrl_c_stops_everything_and_gives_the_jobs_back(
    own_service: Start, tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="2")
    jobs = [service.submit(long_job(tutorial, 8000), wait=0)["id"] for _ in range(4)]
    service.wait_for(jobs[1], progressing)
    follower = service.client.stream("GET", f"/v1/jobs/{jobs[3]}/events")
    below = [*service.children(), *service.runner_pids()]
    with follower as stream:
        next(stream.iter_lines())
        service.stop()
    assert service.process.returncode == 0
    assert [pid for pid in below if Path(f"/proc/{pid}").exists()] == []
    service.restart()
    finished = [service.wait_for(job, ended, seconds=60) for job in jobs]
    assert [job["status"] for job in finished] == ["succeeded"] * 4
    reference = outcome(service, jobs[3])
    assert all(outcome(service, job) == reference for job in jobs)


def test_two_services_do_not_share_an_address(single: Service) -> None:
    port = single.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "service", "serve", "--data-dir", str(single.data_dir), "--port", port]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in second.stderr
    assert single.client.get("/healthz").status_code == 200


def test_a_second_worker_shares_the_queue(single: Service, tutorial: dict[str, Any]) -> None:
    service = single
    command = [sys.executable, "-m", "service", "worker", "--data-dir", str(service.data_dir), "--slots", "1"]
    second = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        first = service.submit(long_job(tutorial, 1_000_000), wait=0)
        other = service.submit(long_job(tutorial, 50), wait=0)
        assert service.job(other["id"], wait=30)["status"] == "succeeded"
        assert service.job(first["id"])["status"] == "running"
        service.client.post(f"/v1/jobs/{first['id']}/cancel")
        assert service.job(first["id"], wait=10)["status"] == "cancelled"
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0


def test_a_locked_database_delays_but_loses_nothing(single: Service, tutorial: dict[str, Any]) -> None:
    undisturbed = single.submit(long_job(tutorial))["id"]
    job = single.submit(long_job(tutorial), wait=0)
    single.wait_for(job["id"], progressing)
    other_program = sqlite3.connect(single.data_dir / "fitd.db", isolation_level=None)
    other_program.execute("BEGIN IMMEDIATE")
    time.sleep(6.5)  # Longer than SQLite waits for the lock.
    assert single.job(job["id"])["status"] == "running"
    other_program.execute("ROLLBACK")
    other_program.close()
    done = single.job(job["id"], wait=30)
    assert (done["status"], done["attempt"]) == ("succeeded", 1)
    assert outcome(single, job["id"]) == outcome(single, undisturbed)


def test_a_held_gate_is_answered_instead_of_waited_for(single: Service, tutorial: dict[str, Any]) -> None:
    with (single.data_dir / "fitd.db.gate").open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        answer = single.client.post("/v1/jobs", json=tutorial)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_busy")
        assert answer.headers["Retry-After"] == "1"
        assert single.client.get("/v1/jobs").status_code == 200
    assert single.submit(tutorial)["status"] == "succeeded"


def test_a_job_whose_worker_is_in_no_list_is_given_back(single: Service, tutorial: dict[str, Any]) -> None:
    job = single.submit(long_job(tutorial), wait=0)
    single.wait_for(job["id"], progressing)
    worker = single.pid_of("worker")
    os.kill(worker, signal.SIGSTOP)
    with sqlite3.connect(single.data_dir / "fitd.db") as connection:
        connection.execute("DELETE FROM workers")
    connection.close()
    os.kill(worker, signal.SIGKILL)
    assert single.wait_for(job["id"], ended, seconds=40)["status"] == "succeeded"
