"""Jobs survive: paused, drained, killed at every moment, frozen, out of disk, and their results are the same."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.failpoints import NAMES
from tests.chaos.stage import demanding
from tests.conftest import Service
from tests.service.test_faults import ended, kill_runner, long_job, outcome, progressing
from tests.service.test_results import read_events

Start = Callable[..., Service]
EPOCHS = 12_000


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one slot that takes a checkpoint a few times a second, and dies where a file tells it to."""
    folder = tmp_path_factory.mktemp("survival")
    (folder / "failpoints").mkdir()
    running = Service(
        folder / "data",
        FITD_SLOTS="1",
        FITD_CHECKPOINT_SECONDS="0.2",
        FITD_CANCEL_SECONDS="2",
        FITD_FAILPOINTS_DIR=str(folder / "failpoints"),
    )
    yield running
    running.close()


@pytest.fixture(scope="module")
def undisturbed(single: Service) -> tuple[Any, ...]:
    """What the demanding job comes to when nothing happens to it."""
    job = single.submit(demanding(), wait=60)
    assert job["status"] == "succeeded", job["error"]
    return outcome(single, job["id"])


def arm(service: Service, name: str, action: str = "kill") -> None:
    """Let the next process that comes to a moment do something, once."""
    folder = service.data_dir.parent / "failpoints"
    for before in folder.glob(f"{name}*"):
        before.unlink()
    unnamed = folder / f".{name}"
    unnamed.write_text(action)
    unnamed.rename(folder / name)


def gone_off(service: Service, name: str) -> bool:
    return bool(list((service.data_dir.parent / "failpoints").glob(f"{name}.taken-by-*")))


def ask(service: Service, job_id: str, verb: str) -> dict[str, Any]:
    answer = service.client.post(f"/v1/jobs/{job_id}/{verb}")
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def causes(job: dict[str, Any]) -> list[str]:
    return [one["cause"]["code"] for one in job["transitions"] if one["cause"]]


def test_a_paused_job_stands_still_gives_its_slot_away_and_ends_as_if_nothing_had_been(
    single: Service, undisturbed: tuple[Any, ...], tutorial: dict[str, Any]
) -> None:
    job = single.submit(demanding(), wait=0)
    single.wait_for(job["id"], progressing)
    assert ask(single, job["id"], "pause")["status"] == "pausing"
    paused = single.wait_for(job["id"], lambda one: one["status"] == "paused", seconds=10)
    assert 0 < paused["progress"]["epoch"] < 260
    assert paused["terminal"] is False
    assert single.submit(tutorial)["status"] == "succeeded"
    assert single.job(job["id"])["progress"] == paused["progress"]
    listed = single.client.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"]
    assert listed[0]["reason"] == "pause"
    file = single.client.get(listed[0]["links"]["self"])
    assert (file.status_code, len(file.content)) == (200, listed[0]["bytes"])
    assert file.headers["etag"] == f'"{listed[0]["digest"]}"'
    assert ask(single, job["id"], "resume")["status"] == "queued"
    done = single.wait_for(job["id"], ended, seconds=60)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    assert outcome(single, job["id"]) == undisturbed
    assert single.client.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"] == []
    gone = single.client.get(f"/v1/jobs/{job['id']}/checkpoints/1")
    assert (gone.status_code, gone.json()["code"]) == (404, "checkpoint_not_found")


def checkpoints_of(service: Service, job_id: str) -> list[Any]:
    listed: list[Any] = service.client.get(f"/v1/jobs/{job_id}/checkpoints").json()["data"]
    return listed


def test_a_network_that_is_written_out_goes_on_to_the_same_bits_after_its_process_died(
    single: Service,
) -> None:
    undisturbed = single.submit(demanding(1500, seed=1), wait=60)
    assert undisturbed["engine"]["name"] == "dense"
    job = single.submit(demanding(1500, seed=1), wait=0)
    single.wait_for(job["id"], lambda one: bool(checkpoints_of(single, one["id"])))
    kill_runner(single)
    done = single.wait_for(job["id"], ended, seconds=60)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    assert outcome(single, job["id"]) == outcome(single, undisturbed["id"])


def test_a_verb_that_the_state_forbids_is_told_with_the_state(
    single: Service, tutorial: dict[str, Any]
) -> None:
    job = single.submit(tutorial)
    for verb in ("pause", "resume", "cancel"):
        answer = single.client.post(f"/v1/jobs/{job['id']}/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
        assert "succeeded" in answer.json()["detail"]
        assert answer.json()["hint"]


IN_A_TRAINING = sorted(
    one
    for one in NAMES - {"submitted", "letting_go", "let_go"}
    if not one.startswith(("sweep", "tracker", "prediction"))
)


@pytest.mark.parametrize("name", IN_A_TRAINING)
def test_a_process_that_dies_at_any_moment_leaves_one_result_and_the_same(
    single: Service, undisturbed: tuple[Any, ...], name: str
) -> None:
    arm(single, name)
    job = single.submit(demanding(), wait=0)
    done = single.wait_for(job["id"], ended, seconds=60)
    assert gone_off(single, name), "the moment never came"
    assert done["status"] == "succeeded"
    # Killed with its result recorded, it is not tried again; killed before, it is.
    assert done["attempt"] == (1 if name == "finished" else 2)
    assert outcome(single, job["id"]) == undisturbed
    statuses = [one["status"] for one in done["transitions"]]
    assert statuses.count("succeeded") == 1
    single.wait_until_ready()


@pytest.mark.parametrize("name", ["checkpoint_written", "letting_go", "let_go"])
def test_a_pause_survives_the_death_of_its_process_at_any_moment(
    single: Service, undisturbed: tuple[Any, ...], name: str
) -> None:
    job = single.submit(demanding(), wait=0)
    single.wait_for(job["id"], progressing)
    arm(single, name)
    ask(single, job["id"], "pause")
    single.wait_for(job["id"], lambda one: one["status"] == "paused", seconds=20)
    single.wait_until_ready()
    ask(single, job["id"], "resume")
    assert single.wait_for(job["id"], ended, seconds=60)["status"] == "succeeded"
    assert outcome(single, job["id"]) == undisturbed


CANCELLED_AT = ["begun", "checkpoint_half_written", "checkpoint_written", "checkpoint_recorded", "finishing"]


@pytest.mark.parametrize("name", CANCELLED_AT)
def test_a_cancel_tells_the_truth_wherever_the_training_stands(single: Service, name: str) -> None:
    arm(single, name, "stop")
    job = single.submit(demanding(60 if name == "finishing" else 260), wait=0)
    deadline = time.monotonic() + 30
    while not gone_off(single, name) and time.monotonic() < deadline:
        time.sleep(0.01)
    asked = ask(single, job["id"], "cancel")
    assert asked["status"] == "cancelling"
    done = single.wait_for(job["id"], ended, seconds=30)
    assert (done["status"], done["stop_reason"]) == ("cancelled", "cancelled")
    assert causes(done)[-1] == "killed", "a frozen process is killed when its time is over"
    single.wait_until_ready()


def test_a_submission_whose_answer_was_lost_is_one_job_when_it_is_sent_again(
    single: Service, tutorial: dict[str, Any]
) -> None:
    arm(single, "submitted")
    headers = {"Idempotency-Key": "lost-answer"}
    with pytest.raises(Exception, match=r"(?i)disconnect|reset|closed|incomplete"):
        single.client.post("/v1/jobs", json=tutorial, headers=headers)
    again = single.client.post("/v1/jobs", json=tutorial, headers=headers)
    assert again.status_code == 202
    assert single.job(again.json()["id"], wait=30)["status"] == "succeeded"
    same = single.client.post("/v1/jobs", json=tutorial, headers=headers).json()["id"]
    assert same == again.json()["id"]


def test_a_zombie_writes_nothing_after_another_took_its_job(
    own_service: Start, undisturbed: tuple[Any, ...], single: Service
) -> None:
    service = own_service(FITD_SLOTS="1", FITD_CHECKPOINT_SECONDS="0.3", FITD_LEASE_SECONDS="3")
    job = service.submit(demanding(), wait=0)
    service.wait_for(job["id"], progressing)
    frozen = [service.pid_of("worker"), *service.runner_pids()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    second = service.second_worker()
    try:
        done = service.wait_for(job["id"], ended, seconds=60)
        assert (done["status"], done["attempt"]) == ("succeeded", 2)
        assert "worker_silent" in causes(done)
        before = outcome(service, job["id"]), service.job(job["id"])
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        time.sleep(
            3
        )  # Time enough for what it had under way: reports, a checkpoint, the end of the training.
        assert (outcome(service, job["id"]), service.job(job["id"])) == before
        assert before[0] == undisturbed
        other = service.submit(demanding(20), wait=40)
        assert other["status"] == "succeeded"
    finally:
        second.terminate()
        assert second.wait(20) == 0


def signal_below_worker(service: Service) -> None:
    """Send SIGTERM to all processes that the worker has started, as who stops a whole group does beside."""
    for pid in (*service.runner_pids(), *service.children(service.pid_of("worker"))):
        os.kill(pid, signal.SIGTERM)


@pytest.mark.timeout(300)
def test_rolling_restarts_repeat_no_epoch(own_service: Start, single: Service) -> None:
    service = own_service(FITD_SLOTS="1")  # Checkpoints only when it is stopped.
    job = service.submit(demanding(400), wait=0)
    repeated = []
    for _ in range(2):
        known = service.job(job["id"])["progress"]["epoch"]
        service.wait_for(job["id"], lambda one, known=known: one["progress"]["epoch"] > known, 90)
        signal_below_worker(service)
        assert service.stop() < 5
        service.restart(ready=False)
        listed = service.client.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"]
        assert listed[0]["reason"] == "drain"
        repeated.append(service.job(job["id"])["progress"]["epoch"] - listed[0]["epoch"])
    done = service.wait_for(job["id"], ended, seconds=150)
    assert (done["status"], done["attempt"]) == ("succeeded", 3)
    assert repeated == [0, 0]
    assert causes(done) == ["worker_stopped"] * 2
    undisturbed = single.submit(demanding(400), wait=60)["id"]
    assert outcome(service, job["id"]) == outcome(single, undisturbed)


def test_a_follower_sees_each_epoch_once_and_the_end_through_two_restarts(
    own_service: Start, tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="1", FITD_CHECKPOINT_SECONDS="0.3")
    job = service.submit(long_job(tutorial, 25_000), wait=0)
    seen: list[tuple[int, dict[str, Any]]] = []
    path = f"/v1/jobs/{job['id']}/events"

    def follow_for_ever() -> None:
        with httpx2.Client(base_url=service.url, timeout=10) as client:
            while not (seen and seen[-1][1].get("terminal")):
                headers = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
                try:
                    with client.stream("GET", path, headers=headers) as stream:
                        seen.extend(read_events(stream.iter_lines()))
                except httpx2.TransportError:  # A client comes back.
                    time.sleep(0.05)

    follower = threading.Thread(target=follow_for_ever, daemon=True)
    follower.start()
    for end in (service.stop, service.kill):
        known = service.wait_for(job["id"], progressing)["progress"]["epoch"]
        service.wait_for(job["id"], lambda one, known=known: one["progress"]["epoch"] > known or ended(one))
        end()
        service.restart()
    follower.join(90)
    assert not follower.is_alive()
    epochs = [n for _, event in seen if event["type"] == "history" for n in event["columns"]["epoch"]]
    assert epochs == list(range(1, 25_001))
    ids = [event_id for event_id, _ in seen]
    assert ids == sorted(set(ids))
    assert [event["status"] for _, event in seen if event["type"] == "status"][-1] == "succeeded"


def test_a_disk_without_room_puts_checkpoints_off_and_loses_nothing(
    single: Service, undisturbed: tuple[Any, ...]
) -> None:
    arm(single, "checkpoint_half_written", "full")
    job = single.submit(demanding(), wait=60)
    assert gone_off(single, "checkpoint_half_written")
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert outcome(single, job["id"]) == undisturbed
    assert not (single.data_dir / "checkpoints" / job["id"]).exists()


def test_a_job_runs_again_and_repeats_its_fit_or_what_is_changed(
    single: Service, tutorial: dict[str, Any]
) -> None:
    del tutorial["training"]["seed"]
    tutorial |= {"name": "first", "metadata": {"a": "b"}, "priority": 3}
    first = single.submit(tutorial)
    again = single.client.post(f"/v1/jobs/{first['id']}/rerun", headers={"Prefer": "wait=30"})
    assert again.status_code == 200, again.text
    assert again.headers["location"] == f"/v1/jobs/{again.json()['id']}"
    assert again.json()["rerun_of"] == first["id"]
    for field in ("name", "metadata", "priority", "seed", "spec", "result"):
        assert again.json()[field] == first[field], field
    changed = single.client.post(
        f"/v1/jobs/{first['id']}/rerun",
        content=b'{"optimizer": {"lr": 0.1}, "training": {"epochs": 5}, "name": null}',
        headers={"Content-Type": "application/merge-patch+json", "Prefer": "wait=30"},
    ).json()
    assert (changed["name"], changed["seed"], changed["progress"]["epoch"]) == (None, first["seed"], 5)
    assert changed["spec"]["optimizer"]["lr"] == 0.1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[1]", "invalid_request"),
        (b"{", "invalid_request"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "invalid_request"),
        (b'{"a":' * 1010 + b"1" + b"}" * 1010, "invalid_request"),
        (b'{"training": {"epochs": -1}}', "invalid_spec"),
        (b'{"training": 7}', "invalid_spec"),
        (b'{"optimiser": {"lr": 1}}', "invalid_spec"),
    ],
)
def test_a_rerun_with_a_change_that_makes_no_sense_is_refused(
    single: Service, tutorial: dict[str, Any], body: bytes, code: str
) -> None:
    first = single.submit(tutorial)
    answer = single.client.post(
        f"/v1/jobs/{first['id']}/rerun", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"]


def test_a_job_of_a_higher_priority_goes_first(single: Service, tutorial: dict[str, Any]) -> None:
    blocker = single.submit(long_job(tutorial, 1_000_000), wait=0)
    single.wait_for(blocker["id"], progressing)
    low, high = (single.submit({**tutorial, "priority": p}, wait=0) for p in (-1, 5))
    assert single.job(low["id"])["queue"]["jobs_ahead"] == 1
    assert single.job(high["id"])["queue"]["jobs_ahead"] == 0
    ask(single, blocker["id"], "cancel")
    first, second = (single.wait_for(one["id"], ended) for one in (high, low))
    assert first["started_at"] < second["started_at"]


def test_a_job_ends_when_its_time_is_over_and_keeps_what_it_has_learnt(
    single: Service, tutorial: dict[str, Any]
) -> None:
    spec = long_job(tutorial, 1_000_000)
    spec["training"]["max_seconds"] = 0.5
    job = single.submit(spec)
    assert (job["status"], job["stop_reason"]) == ("succeeded", "max_runtime")
    assert 0.5 <= job["progress"]["seconds"] < 5
    assert job["result"]["coefficients"]


def test_a_frozen_runner_whose_job_is_to_pause_is_killed_and_the_job_is_paused(single: Service) -> None:
    job = single.submit(demanding(100_000), wait=0)
    single.wait_for(job["id"], progressing)
    kill_runner(single, signal.SIGSTOP)
    ask(single, job["id"], "pause")
    paused = single.wait_for(job["id"], lambda one: one["status"] == "paused", seconds=20)
    assert causes(paused)[-1] == "killed"
    assert ask(single, job["id"], "cancel")["status"] == "cancelled"
    assert not (single.data_dir / "checkpoints" / job["id"] / "x").exists()
    single.wait_until_ready()


def test_a_training_that_takes_too_much_memory_fails_with_the_cause_and_harms_nobody(
    own_service: Start, tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="1", FITD_LIMITS__MAX_TRAINING_BYTES=str(64 * 2**20))
    spec = {
        **tutorial,
        "data": {**tutorial["data"], "rows": 100_000},
        "model": {"type": "mlp", "hidden": [256, 256]},
        "training": {"epochs": 2, "batch_size": "full", "seed": 0},
    }
    job = service.submit(spec, wait=60)
    assert (job["status"], job["error"]["code"]) == ("failed", "out_of_memory"), job["error"]
    assert job["error"]["hint"]
    assert service.submit(tutorial)["status"] == "succeeded", "the same process goes on"
    assert not [line for line in service.log.splitlines() if "runner died" in line]


def test_a_runner_is_replaced_after_its_jobs_and_nobody_notices(
    own_service: Start, tutorial: dict[str, Any]
) -> None:
    service = own_service(FITD_SLOTS="1", FITD_RUNNER_JOBS="2")
    before = service.runner_pids()
    jobs = [service.submit(tutorial, wait=30) for _ in range(4)]
    assert [(job["status"], job["attempt"]) for job in jobs] == [("succeeded", 1)] * 4
    service.wait_until_ready()
    assert service.runner_pids() != before


def test_a_worker_that_dies_is_noticed_within_a_second_or_so(
    single: Service, undisturbed: tuple[Any, ...]
) -> None:
    job = single.submit(demanding(), wait=0)
    single.wait_for(job["id"], progressing)
    os.kill(single.pid_of("worker"), signal.SIGKILL)
    died = time.monotonic()
    single.wait_for(job["id"], lambda one: one["status"] == "queued" or one["attempt"] == 2, seconds=20)
    assert time.monotonic() - died < 20  # How long it takes is measured by `make chaos`.
    done = single.wait_for(job["id"], ended, seconds=60)
    assert "worker_died" in causes(done)
    assert outcome(single, job["id"]) == undisturbed


def test_a_clock_that_jumps_takes_no_job_away(single: Service, undisturbed: tuple[Any, ...]) -> None:
    """Beats are counted and aged by a clock that only goes up: dates in the table are for people."""
    import sqlite3

    job = single.submit(demanding(), wait=0)
    single.wait_for(job["id"], progressing)
    with sqlite3.connect(single.data_dir / "fitd.db", timeout=10) as connection:
        connection.execute("UPDATE workers SET seen_at = '1999-01-01', started_at = '2099-01-01'")
        connection.execute("UPDATE jobs SET progress_at = '1999-01-01', started_at = '2099-01-01'")
    connection.close()
    done = single.wait_for(job["id"], ended, seconds=60)
    assert (done["status"], done["attempt"]) == ("succeeded", 1)
    assert outcome(single, job["id"]) == undisturbed
    assert Path(single.data_dir).exists()
