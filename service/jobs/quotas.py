"""How many jobs may wait, in the whole service and of one owner: asked in the transaction that adds one."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.exceptions import QueueFull, QuotaExceeded
from service.jobs.lifecycle import TERMINAL, Status
from service.jobs.orm import Job

__all__ = ["UNBOUNDED", "Bounds", "check", "room"]

WAITING = frozenset({Status.QUEUED, Status.PAUSED})
"""What the limit of the service counts: jobs that hold no worker and still need one, a paused one included,
because it can come back at any moment."""
UNFINISHED = frozenset(Status) - TERMINAL


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a submission must stay within.

    Attributes:
        max_queued_jobs: Waiting jobs of all owners together.
        max_unfinished_jobs: Jobs of the submitting owner that have not ended.
    """

    max_queued_jobs: int | None = None
    max_unfinished_jobs: int | None = None


UNBOUNDED = Bounds()


def check(session: Session, *, owner: str, bounds: Bounds) -> None:
    """Make sure that one more job is within the bounds.

    On SQLite writers queue, so the bounds are exact. On PostgreSQL submissions at the same moment
    do not see each other and can pass a bound by their number; nothing depends on it.

    Raises:
        QueueFull: The service has as many waiting jobs as it takes.
        QuotaExceeded: The owner has as many unfinished jobs as the key allows.
    """
    if _reached(session, _waiting(), bounds.max_queued_jobs):
        raise QueueFull(f"{bounds.max_queued_jobs:,} jobs wait already: the service takes no more for now.")
    if _reached(session, _unfinished(owner), bounds.max_unfinished_jobs):
        raise QuotaExceeded(f"{bounds.max_unfinished_jobs:,} jobs have not ended: this key allows no more.")


def room(session: Session, *, owner: str, bounds: Bounds, wanted: int) -> int:
    """Tell how many of the jobs that are wanted are within the bounds; exact as far as `check` is."""
    left = _left(session, _waiting(), bounds.max_queued_jobs, wanted)
    return min(left, _left(session, _unfinished(owner), bounds.max_unfinished_jobs, wanted))


def _waiting() -> sa.Select[int]:
    return sa.select(Job.seq).where(Job.status.in_(WAITING))


def _unfinished(owner: str) -> sa.Select[int]:
    return sa.select(Job.seq).where(Job.owner == owner, Job.status.in_(UNFINISHED))


def _left(session: Session, jobs: sa.Select[int], bound: int | None, wanted: int) -> int:
    if bound is None:
        return wanted
    there = sa.select(sa.func.count()).select_from(jobs.limit(bound).subquery())
    return min(wanted, bound - (session.scalar(there) or 0))


def _reached(session: Session, jobs: sa.Select[int], bound: int | None) -> bool:
    """Look for the job at the bound instead of counting beyond it."""
    return bound is not None and session.scalar(jobs.limit(1).offset(bound - 1)) is not None
