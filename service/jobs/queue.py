"""The order in which jobs wait for a worker. Functions take a session and never commit."""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.jobs.lifecycle import Status
from service.jobs.orm import Job

__all__ = ["InLine", "anything_queued", "count_by_status", "jobs_ahead", "next_queued", "next_turn"]

_AHEAD = sa.select(sa.func.count()).where(
    Job.status == Status.QUEUED,
    sa.or_(
        Job.priority > sa.bindparam("priority"),
        sa.and_(
            Job.priority == sa.bindparam("priority"),
            sa.tuple_(Job.turn, Job.seq)
            < sa.tuple_(sa.bindparam("turn", type_=sa.Integer), sa.bindparam("seq", type_=sa.BigInteger)),
        ),
    ),
)
_LAST_TURN = (
    sa.select(Job.turn)
    .where(Job.status == Status.QUEUED, Job.priority == sa.bindparam("priority"))
    .order_by(Job.turn.desc())
    .limit(1)
)


def count_by_status(session: Session) -> dict[str, int]:
    """Count the jobs of all owners in each state that has any."""
    query = sa.select(Job.status, sa.func.count()).group_by(Job.status)
    return dict(session.execute(query).all())


def jobs_ahead(session: Session, job: Job) -> int:
    """Count the queued jobs that a worker takes before this one."""
    place = {"priority": job.priority, "turn": job.turn, "seq": job.seq}
    return session.scalar(_AHEAD, place) or 0


def anything_queued(session: Session) -> bool:
    """Tell whether a job waits for a worker."""
    return session.scalar(sa.select(Job.seq).where(Job.status == Status.QUEUED).limit(1)) is not None


class InLine(NamedTuple):
    """A queued job, as a worker sees it who looks for work."""

    seq: int
    id: str
    priority: int
    shape: str | None
    attempt: int


_IN_LINE = (
    sa.select(Job.seq, Job.id, Job.priority, Job.shape, Job.attempt)
    .where(Job.status == Status.QUEUED)
    .order_by(Job.priority.desc(), Job.turn, Job.seq)
)


def next_queued(session: Session, limit: int, *, hold: bool = False) -> list[InLine]:
    """Give the first jobs of the queue, in its order.

    Args:
        session: Any session; a writing one if the jobs are to be held.
        limit: At most so many.
        hold: Let nobody else take them before this transaction ends. What another worker is taking at this moment is
            passed over. SQLite's writers wait for each other anyway.
    """
    query = _IN_LINE.limit(limit)
    rows = session.execute(query.with_for_update(skip_locked=True) if hold else query)
    return [InLine(*row) for row in rows]


def next_turn(session: Session, priority: int) -> int:
    """Give the turn of a job that joins the queue: that of its end, so that it goes before nobody who waits already."""
    return session.scalar(_LAST_TURN, {"priority": priority}) or 0
