"""What jobs need that is not their own: a dataset, or the parameters of an earlier job."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Job, JobParameters

__all__ = ["job_that_needs", "job_that_starts_from", "keep_parameters"]


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
