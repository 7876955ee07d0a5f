"""Clients and workers doing anything in any order: the database agrees with a small model of it."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from service import migrations
from service.db import Database
from service.exceptions import JobNotFound, StateConflict
from service.jobs.attempts import Ended, JobRef
from service.jobs.lifecycle import ACTIVE, TERMINAL, TRANSITIONS, Status
from tests.jobs.desk import CANCELLED, FAILED, SUCCEEDED, Desk, progress

MAX_CRASHES = 2


@dataclass
class Expected:
    """What a job should be."""

    status: Status = Status.QUEUED
    attempt: int = 0
    crashes: int = 0
    epochs: int = 0
    parameters: bytes | None = None
    told: list[Status] = field(default_factory=lambda: [Status.QUEUED])

    def move(self, status: Status) -> None:
        self.status = status
        self.told.append(status)


class Jobs(RuleBasedStateMachine):
    """Any job, any attempt, current or stale, any order."""

    template: Path
    ids: Bundle[str] = Bundle("ids")
    claims: Bundle[JobRef] = Bundle("claims")

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "fitd.db")
        self.desk = Desk(Database(f"sqlite:///{self.folder / 'fitd.db'}"))
        self.model: dict[str, Expected] = {}

    def teardown(self) -> None:
        self.desk.database.close()
        shutil.rmtree(self.folder)

    def holds(self, ref: JobRef) -> Expected | None:
        """The job, if this attempt is the one that may write for it."""
        job = self.model.get(ref.id)
        return job if job is not None and job.attempt == ref.attempt and job.status in ACTIVE else None

    @rule(target=ids)
    def submit(self) -> str:
        job_id = self.desk.submit()
        self.model[job_id] = Expected()
        return job_id

    @rule(target=claims, limit=st.integers(1, 3))
    def claim(self, limit: int) -> object:
        waiting = [job_id for job_id, job in self.model.items() if job.status is Status.QUEUED][:limit]
        refs = self.desk.claim(limit)
        assert [ref.id for ref in refs] == waiting
        for ref in refs:
            job = self.model[ref.id]
            job.attempt += 1
            job.move(Status.RUNNING)
            assert ref.attempt == job.attempt
        return multiple(*refs)

    @rule(ref=claims, epochs=st.integers(0, 3))
    def report(self, ref: JobRef, epochs: int) -> None:
        job = self.holds(ref)
        first = 1 if job is None else job.epochs + 1
        assert self.desk.report(ref, progress(first, epochs)) == (job and job.status)
        if job is not None:
            job.epochs += epochs

    @rule(ref=claims, ended=st.sampled_from([SUCCEEDED, FAILED, CANCELLED]), epochs=st.integers(0, 2))
    def finish(self, ref: JobRef, ended: Ended, epochs: int) -> None:
        job = self.holds(ref)
        first = 1 if job is None else job.epochs + 1
        assert self.desk.finish(ref, ended, progress(first, epochs)) == (job is not None)
        if job is not None:
            job.epochs += epochs
            job.parameters = ended.parameters
            job.move(ended.status)

    @rule(ref=claims)
    def crash(self, ref: JobRef) -> None:
        job = self.holds(ref)
        if job is not None:
            job.crashes += 1
            worn_out = job.crashes >= MAX_CRASHES
            asked = job.status is Status.CANCELLING
            job.move(Status.CANCELLED if asked else Status.FAILED if worn_out else Status.QUEUED)
        assert self.desk.crashed(ref, MAX_CRASHES) == (job and job.status)

    @rule(ref=claims)
    def release(self, ref: JobRef) -> None:
        job = self.holds(ref)
        assert self.desk.release(ref) == (job is not None)
        if job is not None:
            job.move(Status.CANCELLED if job.status is Status.CANCELLING else Status.QUEUED)

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        job = self.model.get(job_id)
        if job is None or job.status in TERMINAL:
            with pytest.raises(JobNotFound if job is None else StateConflict):
                self.desk.cancel(job_id)
            return
        if job.status is not Status.CANCELLING:
            job.move(Status.CANCELLED if job.status is Status.QUEUED else Status.CANCELLING)
        assert self.desk.cancel(job_id) == job.status

    @rule(job_id=consumes(ids))
    def delete(self, job_id: str) -> None:
        job = self.model.get(job_id)
        if job is not None and job.status in TERMINAL:
            self.desk.delete(job_id)
            del self.model[job_id]
        else:
            with pytest.raises(JobNotFound if job is None else StateConflict):
                self.desk.delete(job_id)

    @invariant()
    def the_database_agrees_with_the_model(self) -> None:
        for job_id, expected in getattr(self, "model", {}).items():
            job = self.desk.job(job_id)
            assert (job.status, job.attempt, job.crashes) == (
                expected.status,
                expected.attempt,
                expected.crashes,
            )
            assert (job.status in TERMINAL) == (job.finished_at is not None)
            assert (job.worker_id is not None) == (job.status in ACTIVE)
            assert self.desk.epochs(job_id) == list(range(1, expected.epochs + 1))
            assert self.desk.parameters(job_id) == expected.parameters
            told = [Status(status) for status in self.desk.told_statuses(job_id)]
            assert told == expected.told
            assert all(after in TRANSITIONS[before] for before, after in itertools.pairwise(told))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A migrated database to copy: migrating takes longer than a whole run."""
    path = tmp_path_factory.mktemp("template") / "fitd.db"
    database = Database(f"sqlite:///{path}")
    migrations.migrate(database)
    database.close()
    return path


def test_whatever_clients_and_workers_do_each_job_has_one_true_history(template: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Jobs.template = template
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Jobs,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
