"""The loops of kills. Each shakes one service for a while, and finds out whether a promise held."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

import httpx2

from tests.chaos.stage import Stage, demanding, patiently
from tests.conftest import TUTORIAL

__all__ = ["LOOPS", "Finding"]

SHORT = {**TUTORIAL, "training": {"epochs": 50, "batch_size": "full", "seed": 0}}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a loop came to.

    Attributes:
        promise: In words.
        figures: What was counted.
        held: Whether the promise held.
    """

    promise: str
    figures: str
    held: bool


class _Client(threading.Thread):
    """Submits short jobs, each under a key of its own, and again until it is told that it is accepted."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self._stage = stage
        self._stop_asked = threading.Event()
        self.acknowledged: dict[str, set[str]] = {}

    def run(self) -> None:
        with httpx2.Client(base_url=self._stage.service.url, timeout=20) as client:
            for number in itertools.count():
                if self._stop_asked.is_set():
                    return
                key = f"chaos-{number}"
                headers = {"Idempotency-Key": key}
                answers = [
                    # Each is sent twice: a caller who is not sure sends again.
                    patiently(lambda h=headers: client.post("/v1/jobs", json=SHORT, headers=h), 300)  # type: ignore[misc]
                    for _ in range(2)
                ]
                self.acknowledged[key] = {answer.json()["id"] for answer in answers}

    def wait_for_another(self) -> None:
        """Wait until one more job is accepted."""
        known = len(self.acknowledged)
        while len(self.acknowledged) == known and self.is_alive():
            time.sleep(0.005)

    def finish(self) -> None:
        self._stop_asked.set()
        self.join(120)


def api_killed(stage: Stage, kills: int) -> Finding:
    """Kill the API while a client submits: nothing acknowledged is missing, nothing is there twice."""
    client = _Client(stage)
    client.start()
    done = 0
    while done < kills:
        # Before it answers at all it has nothing to lose: wait until the next one serves.
        stage.get("/healthz")
        if stage.dice.random() < 0.5:  # Else no request would ever live to its answer.
            client.wait_for_another()
        time.sleep(stage.dice.uniform(0.0, 0.3))
        done += stage.kill_one(("api",)) is not None
    client.finish()
    ids = set().union(*client.acknowledged.values())
    twice = sum(len(one) > 1 for one in client.acknowledged.values())
    jobs = list(_all_jobs(stage))
    missing = len(ids - {job["id"] for job in jobs})
    extra = len(jobs) - len(client.acknowledged)
    for job_id in ids:
        assert stage.end_of(job_id)["status"] == "succeeded"
    figures = (
        f"{done} kills, {len(ids)} jobs acknowledged, {missing} missing, {max(twice, extra)} more than asked"
    )
    return Finding(
        "An acknowledged job is never lost, a retry makes no duplicate", figures, not missing + twice
    )


def _all_jobs(stage: Stage) -> Any:  # noqa: ANN401 - JSON
    after = ""
    while True:
        page = stage.get(f"/v1/jobs?limit=100{after}")
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&after={page['next_after']}"


def _killed(stage: Stage, kills: int, kinds: tuple[str, ...], promise: str) -> Finding:
    """Kill processes while two jobs train: each has one result, equal to that of an undisturbed run."""
    epochs = 1500
    undisturbed = [_undisturbed(stage, epochs, seed) for seed in (0, 1)]
    done, rounds, wrong, attempts = 0, 0, 0, 0
    recoveries: list[float] = []
    while done < kills:
        jobs = [stage.submit(demanding(epochs, seed)) for seed in (0, 1)]
        rounds += 1
        while done < kills and _trains(stage, jobs):
            time.sleep(stage.dice.uniform(0.0, 0.6))
            done += stage.kill_one(kinds) is not None
        for job_id, expected in zip(jobs, undisturbed, strict=True):
            job = stage.end_of(job_id)
            attempts += job["attempt"]
            recoveries += _recoveries(job)
            wrong += job["status"] != "succeeded" or stage.outcome(job_id) != expected
            wrong += sum(one["status"] == "succeeded" for one in job["transitions"]) != 1
    figures = f"{done} kills, {2 * rounds} jobs, {attempts} attempts, 0 lost, {wrong} results that differ" + (
        f"; running again {median(recoveries):.2f} s after it was back in the queue (median)"
        if recoveries
        else ""
    )
    return Finding(promise, figures, wrong == 0)


def _trains(stage: Stage, jobs: list[str]) -> bool:
    """Wait until one of the jobs trains: killing what only warms up shows nothing. False when all have ended."""
    while True:
        states = {stage.get(f"/v1/jobs/{one}")["status"] for one in jobs}
        if "running" in states or states <= {"succeeded", "failed", "cancelled"}:
            return "running" in states
        time.sleep(0.02)


def _undisturbed(stage: Stage, epochs: int, seed: int) -> tuple[Any, ...]:
    job_id = stage.submit(demanding(epochs, seed))
    assert stage.end_of(job_id)["status"] == "succeeded"
    return stage.outcome(job_id)


def _recoveries(job: dict[str, Any]) -> list[float]:
    """Seconds from each new start to the next, where a death was between them and the job did not wait for a slot."""
    moments = [(one, datetime.fromisoformat(one["at"])) for one in job["transitions"]]
    return [
        (later - earlier).total_seconds()
        for (one, earlier), (_, later) in itertools.pairwise(moments)
        if one["status"] == "queued" and one["cause"]
    ]


def runners_killed(stage: Stage, kills: int) -> Finding:
    """Kill the processes that train."""
    return _killed(stage, kills, ("runner",), "A crash of a training resumes bit for bit")


def workers_killed(stage: Stage, kills: int) -> Finding:
    """Kill the dispatcher with all its runners."""
    return _killed(stage, kills, ("worker",), "A crash of a worker resumes bit for bit")


def everything_killed(stage: Stage, kills: int) -> Finding:
    """Kill anything below the supervisor."""
    promise = "API, worker and training killed in any order: one result, the same"
    return _killed(stage, kills, ("api", "worker", "runner"), promise)


def restarted(stage: Stage, kills: int) -> Finding:
    """Stop and start the service while a job trains: no epoch is trained twice."""
    restarts = max(2, kills // 10)
    epochs = 600 * restarts
    expected = _undisturbed(stage, epochs, 0)
    job_id, repeated = stage.submit(demanding(epochs)), 0
    slowest = 0.0
    for _ in range(restarts):
        known = stage.get(f"/v1/jobs/{job_id}")["progress"]["epoch"]
        while stage.get(f"/v1/jobs/{job_id}")["progress"]["epoch"] <= known:
            time.sleep(0.02)
        slowest = max(slowest, stage.service.stop())
        stage.service.restart(ready=False)
        listed = stage.get(f"/v1/jobs/{job_id}/checkpoints")["data"]
        if listed:
            repeated += stage.get(f"/v1/jobs/{job_id}")["progress"]["epoch"] - listed[0]["epoch"]
    job = stage.end_of(job_id)
    same = stage.outcome(job_id) == expected
    figures = (
        f"{restarts} restarts, {job['attempt']} attempts, {repeated} epochs repeated, "
        f"slowest stop {slowest:.2f} s, result {'equal' if same else 'NOT equal'}"
    )
    return Finding("A stop is graceful", figures, same and repeated == 0)


def one_key(stage: Stage, kills: int) -> Finding:
    """Send one key from many callers at once."""
    del kills

    def post(_number: int) -> str:
        with httpx2.Client(base_url=stage.service.url, timeout=30) as client:
            headers = {"Idempotency-Key": "one"}
            return str(patiently(lambda: client.post("/v1/jobs", json=SHORT, headers=headers)).json()["id"])

    with ThreadPoolExecutor(50) as pool:
        ids = set(pool.map(post, range(50)))
    return Finding("50 parallel POSTs with one key", f"{len(ids)} job", len(ids) == 1)


LOOPS = (api_killed, runners_killed, workers_killed, everything_killed, restarted, one_key)
