"""A running service to be shaken: on SQLite or PostgreSQL, with a client that comes back after every loss."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import Service
from tests.postgres import PostgresServer

__all__ = ["DATABASES", "Stage", "demanding", "on_stage", "patiently"]

DATABASES = ("sqlite", "postgresql")
EAGER = {
    "FITD_SLOTS": "2",
    "FITD_CHECKPOINT_SECONDS": "0.2",
    # Kills at random come faster than checkpoints; that a job which kills itself fails is shown elsewhere.
    "FITD_MAX_CRASHES": "100000",
}


def demanding(epochs: int = 260, seed: int = 0) -> dict[str, Any]:
    """A job with dropout, batch norm, shuffled mini-batches, a schedule, metrics and early stopping in play.

    Those with an even seed are trained by the reference, which takes long enough to be disturbed; the others by the
    engine that the service chooses.
    """
    return {
        "data": {
            "type": "synthetic",
            "rows": 400,
            "seed": 0,
            "features": {"x": {"distribution": "uniform", "low": -1, "high": 1}},
            "target": {"name": "y", "expression": "sin(3*x)"},
            "noise": {"distribution": "normal", "std": 0.1},
        },
        "model": {
            "type": "sequential",
            "layers": [
                {"type": "Linear", "out_features": 16},
                {"type": "BatchNorm1d"},
                {"type": "ReLU"},
                {"type": "Dropout", "p": 0.2},
                {"type": "Linear", "out_features": 1},
            ],
        },
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "Adam", "lr": 0.003},
        "scheduler": {"type": "CosineAnnealingLR"},
        "evaluation": {"split": {"type": "random", "dev": 0.2, "test": 0.2, "seed": 0}, "every": 10},
        "training": {
            "epochs": epochs,
            "batch_size": 32,
            "seed": seed,
            "engine": "auto" if seed % 2 else "eager",
            "early_stopping": {"patience": 1_000_000},
        },
    }


def patiently(ask: Callable[[], httpx2.Response], seconds: float = 60) -> httpx2.Response:
    """Ask until there is an answer that is not a refusal for the moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
            if answer.status_code not in {429, 502, 503}:
                return answer
        except httpx2.TransportError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError("no answer came")
        time.sleep(0.02)


class Stage:
    """A service, what it runs on, and the dice."""

    def __init__(self, service: Service, *, database: str, dice: random.Random) -> None:
        self.service = service
        self.database = database
        self.dice = dice

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Read something, over whatever losses of the connection."""
        with httpx2.Client(base_url=self.service.url, timeout=20) as client:
            return patiently(lambda: client.get(path)).json()

    def submit(self, spec: dict[str, Any]) -> str:
        """Submit a job, and give its id."""
        with httpx2.Client(base_url=self.service.url, timeout=20) as client:
            return str(patiently(lambda: client.post("/v1/jobs", json=spec)).json()["id"])

    def end_of(self, job_id: str, seconds: float = 300) -> dict[str, Any]:
        """Wait for a job's end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}")
            if job["terminal"]:
                return job
            time.sleep(0.1)
        raise AssertionError(f"it never ended: {job_id}")

    def outcome(self, job_id: str) -> tuple[Any, ...]:
        """All that must be equal between a disturbed and an undisturbed run."""
        base = f"/v1/jobs/{job_id}"
        return (
            self.get(f"{base}/history")["columns"],
            self.get(f"{base}/parameters")["tensors"],
            self.get(base)["result"],
        )

    def victims(self, kinds: tuple[str, ...]) -> list[tuple[str, int]]:
        """The processes of some kinds that are there now: `api`, `worker`, `runner`."""
        found = []
        with contextlib.suppress(StopIteration):
            found += [(name, self.service.pid_of(name)) for name in ("api", "worker") if name in kinds]
        with contextlib.suppress(StopIteration):
            found += [("runner", pid) for pid in self.service.runner_pids() if "runner" in kinds]
        return found

    def kill_one(self, kinds: tuple[str, ...]) -> str | None:
        """Kill a process of some kinds with SIGKILL; None where there was none at the moment."""
        found = self.victims(kinds)
        if not found:
            return None
        kind, pid = self.dice.choice(found)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return kind


@contextlib.contextmanager
def on_stage(folder: Path, database: str, *, seed: int, **environment: str) -> Iterator[Stage]:
    """Start a service in a folder on one of the `DATABASES`, and stop all of it afterwards."""
    with contextlib.ExitStack() as stack:
        if database == "postgresql":
            server = PostgresServer()
            stack.callback(server.close)
            environment = {**environment, "FITD_DATABASE_URL": server.create(migrated=False)}
        service = Service(folder / database, **{**EAGER, **environment})
        stack.callback(service.close)
        yield Stage(service, database=database, dice=random.Random(seed))  # noqa: S311 - dice of a test
