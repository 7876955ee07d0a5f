"""What jobs need that is not their own: a dataset, or the parameters of an earlier job."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Job, JobParameters

__all__ = ["dataset_uses", "datasets_in_use", "job_that_needs", "job_that_starts_from", "keep_parameters"]


def job_that_needs(session: Session, dataset_id: str) -> str | None:
    """Name a job that has not ended and trains on a dataset; None where there is none."""
    query = sa.select(Job.id).where(Job.dataset_id == dataset_id, Job.status.not_in(TERMINAL)).limit(1)
    return session.scalar(query)


def job_that_starts_from(session: Session, job_id: str) -> str | None:
    """Name a job that has not ended and starts from the parameters of another; None where there is none."""
    query = sa.select(Job.id).where(Job.init_job_id == job_id, Job.status.not_in(TERMINAL)).limit(1)
    return session.scalar(query)


def keep_parameters(session: Session, job_id: str, *, owner: str) -> bool:
    """Let nobody delete a job before this transaction ends, and tell whether it is there and left parameters.

    SQLite's writers wait for each other anyway.
    """
    query = sa.select(Job.seq).where(Job.id == job_id, Job.owner == owner).with_for_update(read=True)
    seq = session.scalar(query)
    left = sa.select(JobParameters.job_seq).where(JobParameters.job_seq == seq)
    return seq is not None and session.scalar(left) is not None


def dataset_uses(session: Session) -> dict[str, datetime | None]:
    """Tell when the last job that trained on each dataset ended, by the dataset's id; None while one has not ended."""
    unfinished = sa.func.sum(sa.case((Job.status.in_(TERMINAL), 0), else_=1))
    query = sa.select(Job.dataset_id, sa.func.max(Job.finished_at), unfinished).where(
        Job.dataset_id.is_not(None)
    )
    rows = session.execute(query.group_by(Job.dataset_id))
    return {dataset_id: None if waiting else ended for dataset_id, ended, waiting in rows}


def datasets_in_use(session: Session, dataset_ids: Collection[str], *, since: datetime) -> frozenset[str]:
    """Tell which of these datasets a job needs that has not ended, or that was submitted since."""
    in_use = sa.or_(Job.status.not_in(TERMINAL), Job.created_at >= since)
    query = sa.select(Job.dataset_id).where(Job.dataset_id.in_(dataset_ids), in_use)
    return frozenset(one for one in session.scalars(query) if one is not None)
