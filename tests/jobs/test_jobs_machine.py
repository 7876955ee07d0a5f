"""Clients and workers doing anything in any order: the database agrees with a small model of it."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from service.db import Database
from service.exceptions import JobNotFound, StateConflict
from service.jobs.attempts import Ended, JobRef
from service.jobs.checkpoints import KEPT
from service.jobs.lifecycle import ACTIVE, CANCEL, LET_GO, PAUSE, RESUME, TERMINAL, TRANSITIONS, Status
from tests.jobs.desk import CANCELLED, FAILED, SUCCEEDED, Desk, progress
from tests.postgres import PostgresServer

MAX_CRASHES = 2
VERBS = {"cancel": CANCEL, "pause": PAUSE, "resume": RESUME}


@dataclass
class Expected:
    """What a job should be."""

    status: Status = Status.QUEUED
    attempt: int = 0
    crashes: int = 0
    priority: int = 0
    turn: int = 0
    epochs: int = 0
    checkpoints: list[int] = field(default_factory=list)
    parameters: bytes | None = None
    told: list[Status] = field(default_factory=lambda: [Status.QUEUED])

    def move(self, status: Status) -> None:
        self.status = status
        self.told.append(status)
        if status in TERMINAL:
            self.checkpoints = []


class Jobs(RuleBasedStateMachine):
    """Any job, any attempt, current or stale, any order."""

    fresh: Callable[[], AbstractContextManager[Database]]
    """Gives a migrated database without a row."""
    ids: Bundle[str] = Bundle("ids")
    claims: Bundle[JobRef] = Bundle("claims")

    @initialize()
    def start(self) -> None:
        self.stack = ExitStack()
        self.desk = Desk(self.stack.enter_context(type(self).fresh()))
        self.model: dict[str, Expected] = {}

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    def holds(self, ref: JobRef) -> Expected | None:
        """The job, if this attempt is the one that may write for it."""
        job = self.model.get(ref.id)
        return job if job is not None and job.attempt == ref.attempt and job.status in ACTIVE else None

    @rule(target=ids, priority=st.integers(-1, 1))
    def submit(self, priority: int) -> str:
        turn = self.last_turn(priority)
        job_id = self.desk.submit(priority=priority)
        self.model[job_id] = Expected(priority=priority, turn=turn)
        return job_id

    def queued(self) -> list[str]:
        """The queue, in its order; the model has them in the order of submission."""
        ids = [job_id for job_id, job in self.model.items() if job.status is Status.QUEUED]
        return sorted(ids, key=lambda job_id: (-self.model[job_id].priority, self.model[job_id].turn))

    def last_turn(self, priority: int) -> int:
        waiting = [self.model[job_id] for job_id in self.queued()]
        return max((job.turn for job in waiting if job.priority == priority), default=0)

    @rule(target=claims, limit=st.integers(1, 3))
    def claim(self, limit: int) -> object:
        waiting = self.queued()
        refs = self.desk.claim(limit)
        assert [ref.id for ref in refs] == waiting[:limit]
        return self.taken(refs)

    @rule(target=claims, slots=st.integers(1, 2), together=st.integers(2, 3))
    def claim_together(self, slots: int, together: int) -> object:
        """All jobs are of one shape here: who goes together is decided by priority, and by a first attempt."""
        waiting = self.queued()
        bundles = self.desk.claim_together(slots, together=together)
        assert len(bundles) == min(slots, len(waiting))
        for bundle in bundles:
            first, *others = [self.model[ref.id] for ref in bundle]
            assert len(bundle) <= together
            assert all((one.attempt, one.priority) == (0, first.priority) for one in others)
            assert first.attempt == 0 or not others
        if bundles:
            assert bundles[0][0].id == waiting[0]
        if len(waiting) <= slots:
            assert [ref.id for bundle in bundles for ref in bundle] == waiting
        return self.taken([ref for bundle in bundles for ref in bundle])

    def taken(self, refs: list[JobRef]) -> object:
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

    @rule(ref=claims, epochs=st.integers(0, 2))
    def keep(self, ref: JobRef, epochs: int) -> None:
        job = self.holds(ref)
        first = 1 if job is None else job.epochs + 1
        number = max(job.checkpoints, default=0) + 1 if job else 1
        kept = self.desk.keep(ref, progress(first, epochs), number=number, epoch=first + epochs - 1)
        assert (kept and kept[0]) == (job and job.status)
        if job is not None:
            job.epochs += epochs
            job.crashes = 0
            job.checkpoints = [*job.checkpoints, number][-KEPT:]

    @rule(ref=claims)
    def crash(self, ref: JobRef) -> None:
        job = self.holds(ref)
        if job is not None:
            job.crashes += 1
            worn_out = job.crashes >= MAX_CRASHES and job.status is Status.RUNNING
            job.move(Status.FAILED if worn_out else LET_GO[job.status])
        assert self.desk.crashed(ref, MAX_CRASHES) == (job and job.status)

    @rule(ref=claims)
    def let_go(self, ref: JobRef) -> None:
        job = self.holds(ref)
        if job is not None:
            job.move(LET_GO[job.status])
        assert self.desk.let_go(ref) == (job and job.status)

    @rule(ref=claims)
    def give_way(self, ref: JobRef) -> None:
        job = self.holds(ref)
        if job is not None:
            job.turn = max(job.turn, self.last_turn(job.priority)) + 1
            job.move(LET_GO[job.status])
        assert self.desk.give_way(ref) == (job and job.status)

    @rule(ref=claims)
    def overdue(self, ref: JobRef) -> None:
        job = self.holds(ref)
        if job is not None:
            job.move(Status.FAILED if job.status is Status.RUNNING else LET_GO[job.status])
        assert self.desk.overdue(ref) == (job and job.status)

    @rule(job_id=ids, verb=st.sampled_from(sorted(VERBS)))
    def ask(self, job_id: str, verb: str) -> None:
        job = self.model.get(job_id)
        if job is None or job.status not in VERBS[verb]:
            with pytest.raises(JobNotFound if job is None else StateConflict):
                self.desk.ask(verb, job_id)
            return
        target = VERBS[verb][job.status]
        if target is not job.status:
            job.move(target)
        assert self.desk.ask(verb, job_id) == target

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
            assert (job.status, job.attempt, job.crashes, job.turn) == (
                expected.status,
                expected.attempt,
                expected.crashes,
                expected.turn,
            )
            assert (job.status in TERMINAL) == (job.finished_at is not None)
            assert (job.worker_id is not None) == (job.status in ACTIVE)
            assert self.desk.epochs(job_id) == list(range(1, expected.epochs + 1))
            assert self.desk.parameters(job_id) == expected.parameters
            kept = [one.number for one in self.desk.checkpoints(job_id)]
            assert kept == sorted(expected.checkpoints, reverse=True)
            told = [Status(status) for status in self.desk.told_statuses(job_id)]
            assert told == expected.told
            assert all(after in TRANSITIONS[before] for before, after in itertools.pairwise(told))


@contextmanager
def copied(template: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(template, folder)
        with closing(Database(f"sqlite:///{path}")) as database:
            yield database


@contextmanager
def created(server: PostgresServer) -> Iterator[Database]:
    url = server.lend()
    with closing(Database(url)) as database:
        yield database
    server.give_back(url)


def explore(fresh: Callable[[], AbstractContextManager[Database]], *, examples: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Jobs.fresh = staticmethod(fresh)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Jobs,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_clients_and_workers_do_each_job_has_one_true_history(
    sqlite_template: Path, pytestconfig: pytest.Config
) -> None:
    explore(lambda: copied(sqlite_template), examples=pytestconfig.getoption("--machine-runs") or 30)


def test_whatever_they_do_on_postgresql_it_has_one_too(
    postgres: PostgresServer, pytestconfig: pytest.Config
) -> None:
    explore(lambda: created(postgres), examples=pytestconfig.getoption("--machine-runs") or 8)
