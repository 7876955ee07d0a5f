"""The service within the process of the tests: the whole API, and jobs that are trained when a test says so."""

import dataclasses
import multiprocessing
import shutil
from pathlib import Path
from typing import Any, Self

from starlette.testclient import TestClient

from service.app import create_app
from service.db import Database
from service.doorbell import PipeDoorbell
from service.jobs import attempts
from service.settings import Settings
from service.storage.checkpoints import CheckpointStore
from service.worker.executor import Assignment
from service.worker.messages import RunnerConfig
from service.worker.orders import Orders
from service.worker.work import Work

__all__ = ["Inline"]


class Inline:
    """A service that trains in the thread of the test.

    Attributes:
        client: Calls the API.
        settings: Of the service.
        database: The same that the API has.
        work: What a runner is: `train` lets it do the jobs that wait.
    """

    def __init__(self, data_dir: Path, template: Path, *, checkpoint_seconds: float = 1000.0) -> None:
        """Start a service.

        Args:
            data_dir: Its folder, which must not be there yet.
            template: A migrated SQLite database to begin with.
            checkpoint_seconds: Between two checkpoints; with 0, there is one at each pulse.
        """
        data_dir.mkdir()
        shutil.copy(template, data_dir / "fitd.db")
        self.settings = Settings(data_dir=data_dir, min_free_bytes=0)
        self.database = Database(self.settings.effective_database_url)
        self.client = TestClient(create_app(self.settings), base_url="http://127.0.0.1")
        self._pipes = multiprocessing.Pipe()
        self.work = Work(
            database=self.database,
            doorbell=PipeDoorbell(self.settings.doorbell_dir),
            orders=Orders(self._pipes[1]),
            store=CheckpointStore(self.settings.checkpoints_dir, min_free_bytes=0),
            config=self._config(checkpoint_seconds),
        )

    def _config(self, checkpoint_seconds: float) -> RunnerConfig:
        return RunnerConfig(
            database_url=self.settings.effective_database_url,
            doorbell_dir=self.settings.doorbell_dir,
            datasets_dir=self.settings.datasets_dir,
            checkpoints_dir=self.settings.checkpoints_dir,
            failpoints_dir=None,
            checkpoint_seconds=checkpoint_seconds,
            min_free_bytes=0,
            memory_bytes=0,
            recycle_jobs=1000,
            recycle_bytes=2**40,
            threads=1,
            log_format="json",
            log_level="info",
        )

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.__exit__()
        for pipe in self._pipes:
            pipe.close()
        self.database.close()

    def train(self, *, jobs: int | None = None) -> None:
        """Train the jobs that wait, one after the other, each as far as it comes; all, or so many."""
        while jobs is None or jobs > 0:
            if not self._train_next(self.work):
                return
            jobs = None if jobs is None else jobs - 1

    def train_for(self, orders: Orders) -> None:
        """Train the next job as long as these orders have it."""
        self._train_next(dataclasses.replace(self.work, orders=orders))

    def _train_next(self, work: Work) -> bool:
        with self.database.write() as session:
            claims = attempts.claim(session, worker_id="inline", slots=1, together=1)
        for bundle in claims:
            work.do(Assignment(tuple(one.ref for one in bundle)))
        return bool(claims)

    def queue(self, spec: dict[str, Any]) -> str:
        """Submit a job that nobody trains yet, and give its id."""
        answer = self.client.post("/v1/jobs", json=spec)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def submit(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Submit a job and train it, and give it as it is then."""
        job_id = self.queue(spec)
        self.train()
        return self.job(job_id)

    def job(self, job_id: str) -> dict[str, Any]:
        """Give a job as it is."""
        job: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}").json()
        return job
