"""Bringing sweeps on: add the trials that come next, do with the jobs what was asked of the sweep, record its end.

Nothing is remembered here. Each step looks at the records, prepares without a transaction, and then makes one short
one, in which it looks again whether they are still the same. Whoever does it can die at any point, and several may do
it at the same time: the next step, by whomever, begins with what is committed.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service import failpoints
from service.db import Database, after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED, Doorbell
from service.exceptions import InvalidSpec, StateConflict
from service.jobs import quotas
from service.jobs import service as jobs
from service.jobs.library import DatabaseLibrary
from service.jobs.lifecycle import TERMINAL as JOB_TERMINAL
from service.jobs.lifecycle import Status
from service.jobs.orm import Job
from service.spec.intake import parse
from service.spec.limits import Limits
from service.spec.plan import Plan
from service.sweeps import repository
from service.sweeps.intake import RememberingLibrary
from service.sweeps.lifecycle import SweepStatus
from service.sweeps.members import FieldMissing, body_of
from service.sweeps.orm import Sweep
from service.sweeps.search import Draw, Known, next_draws
from service.sweeps.spec import SweepSpec

__all__ = ["Advancer"]

AT_ONCE = 25
"""Jobs in one transaction: it holds the write gate for some tens of milliseconds."""
UNFINISHED = frozenset(Status) - JOB_TERMINAL


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is done with the jobs of a sweep of which something was asked.

    Attributes:
        verb: What each job is asked.
        of: The states of those that can do it.
        awaits: The states of those that have yet to do it.
        becomes: What the sweep is when no job is in any of these.
    """

    verb: Callable[..., Job]
    of: Collection[Status]
    awaits: Collection[Status]
    becomes: SweepStatus


_ASKED: Mapping[SweepStatus, _Asked] = {
    SweepStatus.PAUSING: _Asked(
        jobs.pause,
        {Status.QUEUED, Status.RUNNING},
        {Status.PAUSING, Status.CANCELLING},
        SweepStatus.PAUSED,
    ),
    SweepStatus.RESUMING: _Asked(
        jobs.resume, {Status.PAUSED, Status.PAUSING}, frozenset(), SweepStatus.RUNNING
    ),
    SweepStatus.CANCELLING: _Asked(
        jobs.cancel, UNFINISHED - {Status.CANCELLING}, UNFINISHED, SweepStatus.CANCELLED
    ),
}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A trial that is ready to be added.

    Attributes:
        draw: What was chosen.
        job: The spec of its job, its plan and what is kept of both; None where it was refused.
        error: Why it was refused.
    """

    draw: Draw
    job: tuple[bytes, Plan, jobs.Texts] | None
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Trials to add to a sweep whose records are still as they were looked at.

    Attributes:
        first: Number of the first one: so many were recorded.
        wanted: How many the search has asked for by now.
        trials: The trials.
    """

    first: int
    wanted: int
    trials: Sequence[_Prepared]


class Advancer:
    """Brings the sweeps of one database on."""

    def __init__(self, database: Database, *, limits: Limits, doorbell: Doorbell) -> None:
        self._database = database
        self._limits = limits
        self._doorbell = doorbell

    def advance_all(self) -> None:
        """Bring every sweep as far as it goes now.

        Raises:
            DatabaseBusy: The database takes no writes for too long; what was done until then is done.
        """
        for sweep_id in self.unfinished():
            self.advance(sweep_id)

    def unfinished(self) -> Sequence[str]:
        """List the sweeps that may have to be brought on."""
        with self._database.read() as session:
            return repository.unfinished(session)

    def advance(self, sweep_id: str, *, steps: int | None = None) -> None:
        """Bring one sweep as far as it goes now.

        Args:
            sweep_id: The sweep.
            steps: Leave the rest to others after so many; None: take all.

        Raises:
            DatabaseBusy: As `advance_all`.
        """
        for _ in itertools.count() if steps is None else range(steps):
            if not self._step(sweep_id):
                break

    def _step(self, sweep_id: str) -> bool:
        """Take the next step, and tell whether there may be another."""
        with self._database.read() as session:
            sweep = repository.find(session, sweep_id)
            status = None if sweep is None else SweepStatus(sweep.status)
        if sweep is None or status is None:
            return False
        if status in _ASKED:
            return self._ask(sweep, status)
        return status is SweepStatus.RUNNING and self._go_on(sweep)

    def _ask(self, sweep: Sweep, status: SweepStatus) -> bool:
        """Ask some jobs for what was asked of the sweep; where all have done it, the sweep has."""
        asked = _ASKED[status]
        failpoints.hit("sweep_asked")
        with self._database.read() as session:
            can = repository.any_member(session, sweep, asked.of)
            waits = repository.any_member(session, sweep, asked.awaits)
        if not can:
            return False if waits else self._becomes(sweep, asked.becomes, sources={status})
        with self._database.write() as session:
            held = repository.find(session, sweep.id, hold=True)
            if held is None or held.status != status:
                return True
            for job_id in repository.members(session, held, asked.of, limit=AT_ONCE):
                # PostgreSQL: it may have ended since it was listed.
                with suppress(StateConflict):
                    asked.verb(session, job_id, owner=held.owner)
                    self._ring(session, JOB_CHANGED, job_id)
            self._ring(session, JOB_QUEUED)
        return True

    def _becomes(
        self,
        sweep: Sweep,
        status: SweepStatus,
        *,
        sources: Collection[SweepStatus],
        error: dict[str, str] | None = None,
    ) -> bool:
        with self._database.write() as session:
            repository.move(session, sweep.id, status, sources=sources, error=error)
            self._ring(session, JOB_CHANGED, sweep.id)
        return True

    def _ring(self, session: Session, topic: str, message: str = "-") -> None:
        after_commit(session, lambda: self._doorbell.ring(topic, message))

    def _go_on(self, sweep: Sweep) -> bool:
        """Add the trials that come next, as many as there is room for, or record the end."""
        with self._database.read() as session:
            if sweep.added >= sweep.wanted and repository.any_member(session, sweep, UNFINISHED):
                return False  # The usual case, and no search asks for more before all of these have ended.
            found = repository.find(session, sweep.id)
            if found is None:
                return False
            spec = SweepSpec.model_validate_json(found.spec)
            known = repository.known(session, found, spec.objective)
            draws = next_draws(spec, known)
            batch = self._batch(session, found, spec, draws, first=len(known))
        if not draws:
            return self._end(sweep, known) if all(one.ended for one in known) else False
        if not batch.trials:
            return False  # There is no room: the next beat looks again.
        failpoints.hit("sweep_advancing")
        # Another key may have let a dataset go in the meantime: the next look at it finds that out.
        with suppress(InvalidSpec):
            return self._add(sweep, batch)
        return False

    def _batch(
        self, session: Session, sweep: Sweep, spec: SweepSpec, draws: Sequence[Draw], *, first: int
    ) -> _Batch:
        room = self._room(session, sweep, wanted=min(len(draws), AT_ONCE))
        library = RememberingLibrary(DatabaseLibrary(session, sweep.owner))
        trials = [
            self._prepared(spec, draw, library, number=first + place, seed=sweep.seed)
            for place, draw in enumerate(draws[:room])
        ]
        return _Batch(first, first + len(draws), trials)

    def _room(self, session: Session, sweep: Sweep, *, wanted: int) -> int:
        bounds = quotas.Bounds(self._limits.max_queued_jobs, sweep.max_unfinished_jobs)
        return max(0, quotas.room(session, owner=sweep.owner, bounds=bounds, wanted=wanted))

    def _prepared(
        self, spec: SweepSpec, draw: Draw, library: RememberingLibrary, *, number: int, seed: int
    ) -> _Prepared:
        """Check the spec of a trial. What was not foreseen when the sweep was submitted may be refused by now."""
        try:
            body = body_of(spec, draw.point, number=number, seed=seed, epochs=draw.epochs)
            plan = parse(body, self._limits, library)
            return _Prepared(draw, (body, plan, jobs.Texts.of(plan, body)))
        except FieldMissing as missing:
            message = f"The spec has no place for `{missing.parameter}`."
            return _Prepared(draw, None, {"code": "unknown_field", "message": message, "hint": ""})
        except InvalidSpec as refused:
            first = refused.problems[0]
            error = {"code": first.code, "message": first.message, "hint": first.hint}
            return _Prepared(draw, None, error)

    def _add(self, sweep: Sweep, batch: _Batch) -> bool:
        """Record trials with their jobs, unless somebody else has done it by now."""
        with self._database.write() as session:
            held = repository.find(session, sweep.id, hold=True)
            if held is None or held.status != SweepStatus.RUNNING or held.added != batch.first:
                return True
            trials = batch.trials[: self._room(session, held, wanted=len(batch.trials))]
            for number, one in enumerate(trials, start=batch.first):
                repository.add_trial(session, held, number, one.draw, error=one.error)
                if one.job is not None:
                    self._submit(session, held, number, *one.job)
            added = batch.first + len(trials)
            repository.note_added(session, held, added=added, wanted=batch.wanted)
            self._ring(session, JOB_QUEUED)
        failpoints.hit("sweep_advanced")
        return bool(trials)

    def _submit(
        self, session: Session, sweep: Sweep, number: int, body: bytes, plan: Plan, texts: jobs.Texts
    ) -> None:
        part_of = jobs.PartOf(sweep.id, number)
        jobs.submit(session, plan=plan, body=body, owner=sweep.owner, part_of=part_of, texts=texts)

    def _end(self, sweep: Sweep, known: Sequence[Known]) -> bool:
        """Record the end: whoever else did it came to the same."""
        if any(one.objective is not None for one in known):
            return self._becomes(sweep, SweepStatus.SUCCEEDED, sources={SweepStatus.RUNNING})
        error = {
            "code": "no_trial_succeeded",
            "message": f"None of the {len(known)} trials came to a value of the objective.",
            "hint": "GET …/trials tells how each of them ended.",
        }
        return self._becomes(sweep, SweepStatus.FAILED, sources={SweepStatus.RUNNING}, error=error)
