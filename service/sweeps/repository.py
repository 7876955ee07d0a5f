"""All SQL about sweeps. Functions take a session and never commit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs.lifecycle import TERMINAL as JOB_TERMINAL
from service.jobs.lifecycle import Status
from service.jobs.orm import Job
from service.sweeps.lifecycle import TERMINAL, SweepStatus
from service.sweeps.orm import Sweep, SweepTrial
from service.sweeps.search import Draw, Known
from service.sweeps.spec import Objective

__all__ = [
    "Tally",
    "TrialRow",
    "add_trial",
    "any_member",
    "best",
    "delete",
    "find",
    "find_by_idempotency_key",
    "insert",
    "known",
    "members",
    "move",
    "note_added",
    "page",
    "spec_sizes",
    "status_of",
    "tallies",
    "trials",
    "unfinished",
]


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial with what its job has come to.

    Attributes:
        trial: As it was chosen.
        job: Its job; None where its spec was refused.
        objective: The value of the objective, where its job has succeeded and has one.
    """

    trial: SweepTrial
    job: Job | None
    objective: float | None


@dataclass(frozen=True, slots=True)
class Tally:
    """The jobs of a sweep together.

    Attributes:
        counts: Jobs by state.
        seconds: Training time so far.
        fraction: Sum of the shares that are done: each trial that has ended counts as one.
    """

    counts: dict[str, int]
    seconds: float
    fraction: float


def insert(session: Session, sweep: Sweep) -> Sweep:
    """Add a sweep without trials."""
    session.add(sweep)
    session.flush()
    return sweep


def find(session: Session, sweep_id: str, *, owner: str | None = None, hold: bool = False) -> Sweep | None:
    """Look a sweep up by its id, of any owner or of one only.

    Args:
        session: Any session; a writing one if the sweep is to be held.
        sweep_id: The sweep.
        owner: Whose.
        hold: Let nobody change it or add trials before this transaction ends. SQLite's writers wait for
            each other anyway.
    """
    query = sa.select(Sweep).where(Sweep.id == sweep_id)
    query = query if owner is None else query.where(Sweep.owner == owner)
    if hold:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def find_by_idempotency_key(session: Session, *, owner: str, key: str) -> Sweep | None:
    """Look up the sweep that was submitted with this key."""
    return session.scalar(sa.select(Sweep).where(Sweep.owner == owner, Sweep.idempotency_key == key))


def status_of(session: Session, sweep_id: str, *, owner: str) -> SweepStatus | None:
    """Look up the state of a sweep, and nothing else."""
    status = session.scalar(sa.select(Sweep.status).where(Sweep.id == sweep_id, Sweep.owner == owner))
    return None if status is None else SweepStatus(status)


def page(
    session: Session,
    *,
    owner: str,
    limit: int,
    before: Sweep | None,
    statuses: Collection[SweepStatus],
    name: str | None,
) -> Sequence[Sweep]:
    """List sweeps, newest first, from the one submitted before `before` on."""
    query = sa.select(Sweep).where(Sweep.owner == owner).order_by(Sweep.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(Sweep.seq < before.seq)
    if statuses:
        query = query.where(Sweep.status.in_(statuses))
    if name is not None:
        query = query.where(Sweep.name == name)
    return session.scalars(query).all()


def spec_sizes(session: Session, seqs: Sequence[int]) -> dict[int, int]:
    """Tell how many characters the specs of several sweeps have."""
    query = sa.select(Sweep.seq, sa.func.length(Sweep.spec)).where(Sweep.seq.in_(seqs))
    return dict(session.execute(query).all())


def unfinished(session: Session) -> Sequence[str]:
    """List the sweeps of all owners that may need something: those that stand still need nothing."""
    astir = frozenset(SweepStatus) - TERMINAL - {SweepStatus.PAUSED}
    return session.scalars(sa.select(Sweep.id).where(Sweep.status.in_(astir)).order_by(Sweep.seq)).all()


def move(
    session: Session,
    sweep_id: str,
    to: SweepStatus,
    *,
    sources: Collection[SweepStatus],
    error: dict[str, str] | None = None,
) -> Sweep | None:
    """Change a sweep's state: the only place that does.

    Returns:
        The sweep as it is now, or None when it was in none of the given states.
    """
    ended: datetime | None = now() if to in TERMINAL else None
    statement = (
        sa.update(Sweep)
        .where(Sweep.id == sweep_id, Sweep.status.in_(sources))
        .values(status=to, finished_at=ended, error=error)
        .returning(Sweep)
    )
    options: dict[str, Any] = {"populate_existing": True, "synchronize_session": False}
    changed: Sweep | None = session.scalar(statement, execution_options=options)
    return changed


def add_trial(
    session: Session, sweep: Sweep, number: int, draw: Draw, *, error: dict[str, str] | None = None
) -> None:
    """Record a trial; no two of a sweep have one number."""
    row = {"sweep_seq": sweep.seq, "number": number, "point": draw.point, "rung": draw.rung}
    session.execute(sa.insert(SweepTrial), {**row, "repeats": draw.repeats, "error": error})


def note_added(session: Session, sweep: Sweep, *, added: int, wanted: int) -> None:
    """Record how many trials there are, and how many the search has asked for; the sweep is held."""
    statement = sa.update(Sweep).where(Sweep.seq == sweep.seq).values(added=added, wanted=wanted)
    session.execute(statement, execution_options={"synchronize_session": False})


def any_member(session: Session, sweep: Sweep, statuses: Collection[Status]) -> bool:
    """Tell whether a job of the sweep is in one of these states."""
    query = sa.select(Job.seq).where(Job.sweep_id == sweep.id, Job.status.in_(statuses)).limit(1)
    return session.scalar(query) is not None


def members(session: Session, sweep: Sweep, statuses: Collection[Status], *, limit: int) -> Sequence[str]:
    """List jobs of the sweep that are in one of these states."""
    query = sa.select(Job.id).where(Job.sweep_id == sweep.id, Job.status.in_(statuses))
    return session.scalars(query.order_by(Job.trial).limit(limit)).all()


def _objective(objective: Objective) -> sa.ColumnElement[float | None]:
    """Read the value of the objective out of a job's result: over the folds, where there are any."""
    part, _, metric = objective.monitor.partition(".")
    plain = Job.result["metrics"][part][metric] if metric else Job.result[objective.monitor]
    if objective.monitor.startswith("train"):
        return sa.case((Job.status == Status.SUCCEEDED, plain.as_float()))
    mean = Job.result["cross_validation"][metric or "loss"]["mean"]
    return sa.case((Job.status == Status.SUCCEEDED, sa.func.coalesce(mean.as_float(), plain.as_float())))


def _joined() -> sa.ColumnElement[bool]:
    return sa.and_(Job.sweep_id == Sweep.id, Job.trial == SweepTrial.number)


def known(session: Session, sweep: Sweep, objective: Objective) -> list[Known]:
    """Tell of all trials, by number, what a search has to know."""
    query = (
        sa.select(SweepTrial.number, SweepTrial.point, SweepTrial.rung, Job.status, _objective(objective))
        .join_from(SweepTrial, Sweep)
        .outerjoin(Job, _joined())
        .where(SweepTrial.sweep_seq == sweep.seq)
        .order_by(SweepTrial.number)
    )
    return [
        Known(
            number=number,
            point=point,
            rung=rung,
            ended=status is None or status in JOB_TERMINAL,
            cancelled=status == Status.CANCELLED,
            objective=value,
        )
        for number, point, rung, status, value in session.execute(query)
    ]


def trials(session: Session, sweep: Sweep, objective: Objective) -> list[TrialRow]:
    """List all trials with their jobs, by number."""
    query = (
        sa.select(SweepTrial, Job, _objective(objective))
        .join_from(SweepTrial, Sweep)
        .outerjoin(Job, _joined())
        .where(SweepTrial.sweep_seq == sweep.seq)
        .order_by(SweepTrial.number)
    )
    return [TrialRow(*row) for row in session.execute(query)]


def best(session: Session, sweep: Sweep, objective: Objective) -> TrialRow | None:
    """Find the trial with the best value of the objective, the earlier of equal ones; None where none has any."""
    value = _objective(objective)
    query = (
        sa.select(SweepTrial, Job, value)
        .join_from(SweepTrial, Sweep)
        .join(Job, _joined())
        .where(SweepTrial.sweep_seq == sweep.seq, value.is_not(None))
        .order_by(value if objective.mode == "min" else value.desc(), SweepTrial.number)
        .limit(1)
    )
    found = session.execute(query).first()
    return None if found is None else TrialRow(*found)


def tallies(session: Session, sweep_ids: Sequence[str]) -> dict[str, Tally]:
    """Sum up the jobs of several sweeps at once."""
    share = sa.case((Job.status.in_(JOB_TERMINAL), 1.0), else_=Job.fraction)
    query = (
        sa.select(Job.sweep_id, Job.status, sa.func.count(), sa.func.sum(Job.seconds), sa.func.sum(share))
        .where(Job.sweep_id.in_(sweep_ids))
        .group_by(Job.sweep_id, Job.status)
    )
    found = {sweep_id: Tally({}, 0.0, 0.0) for sweep_id in sweep_ids}
    for sweep_id, status, count, seconds, fraction in session.execute(query):
        before = found[sweep_id]
        counts = {**before.counts, status: count}
        found[sweep_id] = Tally(counts, before.seconds + seconds, before.fraction + fraction)
    return found


def delete(session: Session, sweep: Sweep) -> None:
    """Remove a sweep with its trials and their jobs."""
    session.execute(sa.delete(Job).where(Job.sweep_id == sweep.id))
    session.execute(sa.delete(Sweep).where(Sweep.seq == sweep.seq))
