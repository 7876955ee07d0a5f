"""Which jobs need a dataset."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Job

__all__ = ["job_that_needs"]


def job_that_needs(session: Session, dataset_id: str) -> str | None:
    """Name a job that has not ended and trains on a dataset; None where there is none."""
    query = sa.select(Job.id).where(Job.dataset_id == dataset_id, Job.status.not_in(TERMINAL)).limit(1)
    return session.scalar(query)
