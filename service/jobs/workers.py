"""The list of workers: who lives, by a heartbeat that others watch, and which jobs each holds."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs.attempts import JobRef
from service.jobs.lifecycle import ACTIVE, Status
from service.jobs.orm import Job, Worker

__all__ = ["asked_to_stop", "beat", "beats", "forget", "held_by", "listed", "orphans", "register"]


def register(session: Session, worker_id: str, *, slots: int) -> None:
    """Make a worker known before it claims anything."""
    session.add(Worker(id=worker_id, started_at=now(), seen_at=now(), beat=0, slots=slots, warm=0, about={}))


def beat(session: Session, worker_id: str, *, warm: int, about: dict[str, Any]) -> bool:
    """Renew all leases of a worker; False when it is not known (any more)."""
    statement = (
        sa.update(Worker)
        .where(Worker.id == worker_id)
        .values(beat=Worker.beat + 1, seen_at=now(), warm=warm, about=about)
        .returning(Worker.id)
    )
    return session.scalar(statement) is not None


def listed(session: Session) -> Sequence[Worker]:
    """List the workers that are, or were until lately, alive."""
    return session.scalars(sa.select(Worker).order_by(Worker.started_at)).all()


def beats(session: Session) -> dict[str, int]:
    """Read the heartbeat counter of each worker; whoever watches them ages them by a clock of his own."""
    return dict(session.execute(sa.select(Worker.id, Worker.beat)).all())


def held_by(session: Session, worker_ids: Collection[str]) -> Sequence[JobRef]:
    """List the jobs whose lease these workers hold."""
    query = sa.select(Job.id, Job.attempt).where(Job.worker_id.in_(worker_ids), Job.status.in_(ACTIVE))
    return [JobRef(job_id, attempt) for job_id, attempt in session.execute(query)]


def orphans(session: Session) -> Sequence[JobRef]:
    """List the jobs under way whose worker is in no list."""
    query = sa.select(Job.id, Job.attempt).where(
        Job.status.in_(ACTIVE), Job.worker_id.is_not(None), Job.worker_id.not_in(sa.select(Worker.id))
    )
    return [JobRef(job_id, attempt) for job_id, attempt in session.execute(query)]


def asked_to_stop(session: Session, worker_id: str) -> Sequence[JobRef]:
    """List the jobs of a worker that were asked to stop or to pause, and have not yet."""
    asked = (Status.CANCELLING, Status.PAUSING)
    query = sa.select(Job.id, Job.attempt).where(Job.worker_id == worker_id, Job.status.in_(asked))
    return [JobRef(job_id, attempt) for job_id, attempt in session.execute(query)]


def forget(session: Session, worker_id: str) -> None:
    """Take a worker out of the list."""
    session.execute(sa.delete(Worker).where(Worker.id == worker_id))
