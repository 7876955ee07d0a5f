"""All SQL by which ended sweeps are found and removed, each with its jobs. Functions take a session and never commit."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from service.jobs.expiry import longest_ended
from service.jobs.lifecycle import TERMINAL as JOB_TERMINAL
from service.jobs.orm import Job
from service.sweeps.lifecycle import TERMINAL
from service.sweeps.orm import Sweep

__all__ = ["datasets_in_use", "expired", "job_ids", "job_seqs", "remove", "sweep_that_needs", "user_of"]


def expired(session: Session, *, ended_before: datetime | None, kept: int) -> Sequence[int]:
    """Find the ended sweeps that may go, those that ended first first.

    Args:
        session: Any session.
        ended_before: Those that ended earlier may go; None: age is no reason.
        kept: Of each owner's ended sweeps, so many that ended last stay unless they are too old; 0: number is no reason.
    """
    return longest_ended(session, Sweep, sa.true(), needed=_needed(), ended_before=ended_before, kept=kept)


def _needed() -> sa.Select[str | None]:
    """The ids of the sweeps from one of whose jobs an unfinished job starts."""
    later = aliased(Job)
    query = sa.select(Job.sweep_id).join(later, later.init_job_id == Job.id)
    return query.where(Job.sweep_id.is_not(None), later.status.not_in(JOB_TERMINAL))


def job_seqs(session: Session, seq: int) -> Sequence[int]:
    """List the jobs of a sweep by their row."""
    query = sa.select(Job.seq).join(Sweep, Sweep.id == Job.sweep_id).where(Sweep.seq == seq)
    return session.scalars(query.order_by(Job.seq)).all()


def job_ids(session: Session, sweep: Sweep) -> Sequence[str]:
    """List the jobs of a sweep by their id."""
    return session.scalars(sa.select(Job.id).where(Job.sweep_id == sweep.id)).all()


def user_of(session: Session, job_ids: Sequence[str]) -> str | None:
    """Name a job that has not ended and starts from the parameters of one of these; None where there is none."""
    query = sa.select(Job.id).where(Job.init_job_id.in_(job_ids), Job.status.not_in(JOB_TERMINAL))
    return session.scalar(query.limit(1))


def remove(session: Session, seq: int) -> bool:
    """Remove an ended sweep whose jobs are all gone, and tell whether it was."""
    left = sa.exists().where(Job.sweep_id == Sweep.id)
    statement = sa.delete(Sweep).where(Sweep.seq == seq, Sweep.status.in_(TERMINAL), ~left)
    return session.scalar(statement.returning(Sweep.seq)) is not None


def datasets_in_use(session: Session) -> frozenset[str]:
    """List the datasets of sweeps that have not ended: between two generations no job holds on to them."""
    query = sa.select(Job.dataset_id).join(Sweep, Sweep.id == Job.sweep_id).distinct()
    found = session.scalars(query.where(Job.dataset_id.is_not(None), Sweep.status.not_in(TERMINAL)))
    return frozenset(one for one in found if one is not None)


def sweep_that_needs(session: Session, dataset_id: str) -> str | None:
    """Name a sweep that has not ended and trains on a dataset; None where there is none."""
    query = sa.select(Sweep.id).join(Job, Job.sweep_id == Sweep.id)
    return session.scalar(query.where(Job.dataset_id == dataset_id, Sweep.status.not_in(TERMINAL)).limit(1))
