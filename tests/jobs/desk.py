"""A database with jobs in it, for tests that act as clients and as workers."""

from typing import Any

import sqlalchemy as sa

from service.db import Base, Database
from service.jobs import attempts, causes, checkpoints, repository, service
from service.jobs.attempts import Ended, JobRef, NewCheckpoint, Progress, Start
from service.jobs.lifecycle import Status, StopReason
from service.jobs.orm import Checkpoint, Job, JobEvent
from service.jobs.repository import NewEpochs
from tests.conftest import TUTORIAL
from tests.spec.specs import body_of, parsed

OWNER = "somebody"
HERE = {"torch": "2.13", "threads": 1}
ELSEWHERE = {"torch": "2.13", "threads": 2}
ENGINE = {"name": "eager", "reason": "The spec asks for it."}

NOT_OF_JOBS = {
    "jobs",
    "workers",
    "datasets",
    "dataset_schemas",
    "api_keys",
    "sweeps",
    "sweep_trials",
    "models",
    "model_versions",
    "model_aliases",
    "artifacts",
    "trackers",
    "tracker_cursors",
}
"""Tables whose rows belong to no job, or are jobs."""

SUCCEEDED = Ended(Status.SUCCEEDED, StopReason.COMPLETED, result={"train_loss": 1.0}, parameters=b"tensors")
CANCELLED = Ended(Status.CANCELLED, StopReason.CANCELLED)
FAILED = Ended(Status.FAILED, StopReason.ERROR, error={"code": "broken", "message": "It broke.", "hint": ""})


def progress(first_epoch: int, epochs: int, environment: dict[str, Any] = HERE) -> Progress:
    """What a worker reports: in epoch n the loss is 1/n."""
    losses = [1 / epoch for epoch in range(first_epoch, first_epoch + epochs)]
    columns = {"train_loss": losses, "learning_rate": [0.01] * epochs}
    return Progress(0.5, NewEpochs(first_epoch, columns), "cpu", environment, ENGINE, seconds=1.5)


CAUSE = causes.runner_died("The training process was ended by SIGKILL.")
STOPPED = causes.WORKER_STOPPED


class Desk:
    """One database, each call one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def submit(self, *, key: str | None = None, owner: str = OWNER, **changes: object) -> str:
        """Queue the tutorial's job with changes, and give its id."""
        spec = {**TUTORIAL, **changes}
        with self.database.write() as session:
            body = body_of(spec)
            return service.submit(session, plan=parsed(spec), body=body, owner=owner, idempotency_key=key).id

    def job(self, job_id: str, owner: str = OWNER) -> Job:
        with self.database.read() as session:
            return service.get(session, job_id, owner=owner)

    def status(self, job_id: str) -> str:
        return self.job(job_id).status

    def ask(self, verb: str, job_id: str) -> str:
        """Ask for `cancel`, `pause` or `resume`, and give the state that follows."""
        with self.database.write() as session:
            return getattr(service, verb)(session, job_id, owner=OWNER).status

    def cancel(self, job_id: str) -> str:
        return self.ask("cancel", job_id)

    def pause(self, job_id: str) -> str:
        return self.ask("pause", job_id)

    def unpause(self, job_id: str) -> str:
        return self.ask("resume", job_id)

    def delete(self, job_id: str) -> None:
        with self.database.write() as session:
            service.delete(session, job_id, owner=OWNER)

    def claim(self, limit: int = 1, worker_id: str = "worker_a") -> list[JobRef]:
        with self.database.write() as session:
            claims = attempts.claim(session, worker_id=worker_id, slots=limit, together=1)
            return [one.ref for (one,) in claims]

    def claim_together(
        self, slots: int = 1, worker_id: str = "worker_a", together: int = 64
    ) -> list[list[JobRef]]:
        """Claim as a worker does: the jobs of each slot."""
        with self.database.write() as session:
            claims = attempts.claim(session, worker_id=worker_id, slots=slots, together=together)
            return [[one.ref for one in bundle] for bundle in claims]

    def running(self, **changes: object) -> JobRef:
        """Submit a job and claim it."""
        job_id = self.submit(**changes)
        (ref,) = [ref for ref in self.claim(100) if ref.id == job_id]
        return ref

    def report(self, ref: JobRef, told: Progress) -> Status | None:
        with self.database.write() as session:
            return attempts.report(session, ref, told)

    def finish(self, ref: JobRef, ended: Ended = SUCCEEDED, told: Progress | None = None) -> bool:
        with self.database.write() as session:
            return attempts.finish(session, ref, told or progress(1, 0), ended)

    def let_go(self, ref: JobRef) -> Status | None:
        with self.database.write() as session:
            return attempts.let_go(session, ref, cause=STOPPED)

    def give_way(self, ref: JobRef) -> Status | None:
        with self.database.write() as session:
            return attempts.let_go(session, ref, cause=causes.GAVE_WAY, gives_way=True)

    def crashed(self, ref: JobRef, max_crashes: int = 3) -> Status | None:
        with self.database.write() as session:
            return attempts.crashed(session, ref, max_crashes=max_crashes, cause=CAUSE)

    def overdue(self, ref: JobRef) -> Status | None:
        with self.database.write() as session:
            return attempts.overdue(session, ref)

    def keep(
        self, ref: JobRef, told: Progress, *, number: int, epoch: int, reason: str = "interval"
    ) -> tuple[Status, list[str]] | None:
        """Record a checkpoint, as if its file were written."""
        path = f"{ref.id}/{ref.attempt}-{number}.ckpt"
        new = NewCheckpoint(number, reason, epoch, 0.5, path, "0" * 64, 10)
        with self.database.write() as session:
            return attempts.keep(session, ref, told, new)

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        with self.database.read() as session:
            return list(checkpoints.newest_first(session, service.get(session, job_id, owner=OWNER)))

    def begin(self, ref: JobRef) -> Start | None:
        with self.database.read() as session:
            return attempts.begin(session, [ref]).get(ref)

    def resume(
        self,
        ref: JobRef,
        environment: dict[str, Any],
        checkpoint: Checkpoint | None = None,
        notes: list[str] | None = None,
    ) -> int | None:
        with self.database.write() as session:
            return attempts.resume(
                session, ref, environment=environment, checkpoint=checkpoint, notes=notes or []
            )

    def epochs(self, job_id: str) -> list[int]:
        """The epochs whose history is recorded."""
        with self.database.read() as session:
            job = service.get(session, job_id, owner=OWNER)
            return repository.history(session, job).epochs.tolist()

    def parameters(self, job_id: str) -> bytes | None:
        with self.database.read() as session:
            found = repository.parameters(session, service.get(session, job_id, owner=OWNER))
            return None if found is None else found.data

    def events(self, job_id: str, after: int = 0, limit: int = 1000) -> list[tuple[JobEvent, Any]]:
        with self.database.read() as session:
            job = service.get(session, job_id, owner=OWNER)
            return repository.events_after(session, job, after, limit=limit)

    def told_statuses(self, job_id: str) -> list[str]:
        """The states that the events tell, in their order."""
        return [event.data["status"] for event, _ in self.events(job_id) if event.type == "status"]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table, for comparing."""
        with self.database.read() as session:
            tables = Base.metadata.sorted_tables
            return {table.name: [tuple(row) for row in session.execute(sa.select(table))] for table in tables}

    def owned_rows(self) -> dict[str, int]:
        """How many rows each table holds that belong to a job."""
        return {name: len(rows) for name, rows in self.everything().items() if name not in NOT_OF_JOBS}
