"""A database with sweeps in it, for tests that act as clients and as workers."""

import json
from collections.abc import Callable
from typing import Any

from service.db import Database
from service.jobs import repository as job_repository
from service.jobs.attempts import Ended, JobRef
from service.jobs.lifecycle import Status, StopReason
from service.jobs.orm import Job
from service.jobs.quotas import UNBOUNDED, Bounds
from service.spec.limits import Limits
from service.sweeps import repository, service
from service.sweeps.advancing import Advancer
from service.sweeps.intake import read
from service.sweeps.orm import Sweep
from service.sweeps.repository import TrialRow
from service.sweeps.spec import SweepSpec
from tests.jobs.desk import OWNER, Desk, progress
from tests.sweeps.bodies import RANDOM, as_sent, sweep_body


class Bell:
    """A doorbell that notes who was told what."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def ring(self, topic: str, message: str = "-") -> None:
        self.rung.append((topic, message))

    def close(self) -> None:
        """Nothing is open."""


class SweepDesk(Desk):
    """One database, each call one transaction, but for `advance`, which makes its own."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.bell = Bell()

    def advancer(self, **limits: int) -> Advancer:
        return Advancer(self.database, limits=Limits(**limits), doorbell=self.bell)

    def sweep(
        self,
        search: dict[str, Any] = RANDOM,
        *,
        key: str | None = None,
        bounds: Bounds = UNBOUNDED,
        owner: str = OWNER,
        **changes: object,
    ) -> str:
        """Submit a sweep, and give its id; no trial is added yet."""
        body = as_sent(sweep_body(search, **changes))
        with self.database.write() as session:
            spec = read(body)
            return service.submit(
                session, spec=spec, body=body, owner=owner, idempotency_key=key, bounds=bounds
            ).id

    def begun(self, search: dict[str, Any] = RANDOM, **changes: Any) -> str:  # noqa: ANN401
        """Submit a sweep and add its first trials."""
        sweep_id = self.sweep(search, **changes)
        self.advance()
        return sweep_id

    def advance(self, **limits: int) -> None:
        self.advancer(**limits).advance_all()

    def found(self, sweep_id: str) -> Sweep:
        with self.database.read() as session:
            return service.get(session, sweep_id, owner=OWNER)

    def status_of(self, sweep_id: str) -> str:
        return self.found(sweep_id).status

    def asked(self, verb: str, sweep_id: str) -> str:
        """Ask for `cancel`, `pause` or `resume`, do with the jobs what follows, and give the state."""
        with self.database.write() as session:
            getattr(service, verb)(session, sweep_id, owner=OWNER)
        self.advance()
        return self.status_of(sweep_id)

    def remove(self, sweep_id: str) -> None:
        with self.database.write() as session:
            service.delete(session, sweep_id, owner=OWNER)

    def spec(self, sweep_id: str) -> SweepSpec:
        with self.database.read() as session:
            return SweepSpec.model_validate_json(service.get(session, sweep_id, owner=OWNER).spec)

    def trials(self, sweep_id: str) -> list[TrialRow]:
        with self.database.read() as session:
            sweep = service.get(session, sweep_id, owner=OWNER)
            spec = SweepSpec.model_validate_json(sweep.spec)
            return repository.trials(session, sweep, spec.objective)

    def jobs(self, sweep_id: str) -> list[Job]:
        return [row.job for row in self.trials(sweep_id) if row.job is not None]

    def statuses(self, sweep_id: str) -> list[str]:
        return [job.status for job in self.jobs(sweep_id)]

    def body(self, job: Job) -> dict[str, Any]:
        """The spec that a job was submitted with."""
        with self.database.read() as session:
            spec: dict[str, Any] = json.loads(job_repository.sent_text(session, job))
            return spec

    def train(self, ref: JobRef, loss: float | None = 1.0, **result: object) -> None:
        """End a job with a dev loss, or as failed."""
        if loss is None:
            error = {"code": "diverged", "message": "The loss is no number.", "hint": ""}
            ended = Ended(Status.FAILED, StopReason.DIVERGED, result={"dev_loss": None}, error=error)
        else:
            told = {"dev_loss": loss, "train_loss": loss / 2, **result}
            ended = Ended(Status.SUCCEEDED, StopReason.COMPLETED, result=told, parameters=b"tensors")
        assert self.finish(ref, ended, progress(1, 2))

    def train_all(
        self, loss_of: Callable[[Job], float | None] = lambda job: 1 / (1 + (job.trial or 0))
    ) -> None:
        """Claim and end all that is queued, over and over, until nothing is."""
        self.advance()
        while refs := self.claim(100):
            for ref in refs:
                self.train(ref, loss_of(self.job(ref.id)))
            self.advance()
