"""All SQL by which ended jobs, and what they leave, are found and removed. Functions take a session and never commit.

What is found in one transaction is removed in others, so whatever removes asks again: a job may have been
submitted meanwhile that starts from one of those.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Checkpoint, Job, JobEvent

__all__ = [
    "Removed",
    "checkpoint_paths",
    "expired",
    "longest_ended",
    "remove_checkpoints",
    "remove_events",
    "remove_jobs",
    "talkative",
    "with_checkpoints",
    "with_events",
]

REMOVED = "Older history events of this job are removed. Its whole history is at /history."
_HISTORY, _LOG = "history", "log"
_NO_EPOCH = 0
"""First epoch of the event that stands for those removed: no chunk has it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A job that is no more.

    Attributes:
        id: Its id.
        dataset_id: The uploaded dataset that it was trained on.
        finished_at: When it ended.
    """

    id: str
    dataset_id: str | None
    finished_at: datetime | None


def expired(session: Session, *, ended_before: datetime | None, kept: int) -> Sequence[int]:
    """Find the ended jobs that may go, those that ended first first. The jobs of a sweep go with it, and are not counted.

    Args:
        session: Any session.
        ended_before: Those that ended earlier may go; None: age is no reason.
        kept: Of each owner's ended jobs, so many that ended last stay unless they are too old; 0: number is no reason.
    """
    alone = Job.sweep_id.is_(None)
    return longest_ended(session, Job, alone, needed=_starting_points(), ended_before=ended_before, kept=kept)


def longest_ended(
    session: Session,
    kind: Any,  # noqa: ANN401 - a table of what has an owner, a status and an end
    which: sa.ColumnElement[bool],
    *,
    needed: sa.Select[Any],
    ended_before: datetime | None,
    kept: int,
) -> Sequence[int]:
    """Find what has ended and may go by its age or its number, what ended first first.

    Args:
        session: Any session.
        kind: The table; jobs and sweeps have the same states in which they have ended.
        which: Of these rows only.
        needed: The ids of those that must stay.
        ended_before: As in `expired`.
        kept: As in `expired`.
    """
    if ended_before is None and not kept:
        return ()
    latest = (kind.finished_at.desc(), kind.seq.desc())
    rank = sa.func.row_number().over(partition_by=kind.owner, order_by=latest).label("rank")
    ended = (
        sa.select(kind.seq, kind.id, kind.finished_at, rank)
        .where(kind.status.in_(TERMINAL), which)
        .subquery()
    )
    reasons = [ended.c.finished_at < ended_before] if ended_before is not None else []
    reasons += [ended.c.rank > kept] if kept else []
    query = sa.select(ended.c.seq).where(sa.or_(*reasons), ended.c.id.not_in(needed))
    return session.scalars(query.order_by(ended.c.finished_at, ended.c.seq)).all()


def _starting_points() -> sa.Select[str | None]:
    """The ids of the jobs from whose parameters an unfinished job starts."""
    later = aliased(Job)
    return sa.select(later.init_job_id).where(later.init_job_id.is_not(None), later.status.not_in(TERMINAL))


def remove_jobs(session: Session, seqs: Collection[int]) -> list[Removed]:
    """Remove ended jobs with all they own, but none from which an unfinished one starts by now.

    PostgreSQL: what a job being submitted holds on to is passed over, and from here on nobody can hold on.
    """
    query = sa.select(Job.seq).where(Job.seq.in_(seqs), Job.status.in_(TERMINAL))
    held = session.scalars(query.with_for_update(skip_locked=True)).all()
    # A statement of its own: it sees what was committed until the rows were held.
    free = session.scalars(sa.select(Job.seq).where(Job.seq.in_(held), Job.id.not_in(_starting_points())))
    statement = (
        sa.delete(Job).where(Job.seq.in_(free.all())).returning(Job.id, Job.dataset_id, Job.finished_at)
    )
    return [Removed(*row) for row in session.execute(statement)]


def talkative(session: Session, seqs: Collection[int], *, events: int) -> Sequence[int]:
    """Tell which of these jobs have more events than that."""
    query = sa.select(JobEvent.job_seq).where(JobEvent.job_seq.in_(seqs)).group_by(JobEvent.job_seq)
    return session.scalars(query.having(sa.func.count() > events)).all()


def with_events(session: Session, *, ended_before: datetime | None) -> Sequence[int]:
    """Find the jobs that ended earlier and still have history events; none where there is no such moment."""
    if ended_before is None:
        return ()
    told = sa.exists().where(JobEvent.job_seq == Job.seq, JobEvent.type == _HISTORY)
    query = sa.select(Job.seq).where(Job.status.in_(TERMINAL), Job.finished_at < ended_before, told)
    return session.scalars(query.order_by(Job.seq)).all()


def remove_events(session: Session, seq: int, *, limit: int) -> int:
    """Remove the oldest history events of an ended job; its history stays, and so do its other events.

    The last of them becomes a log event that says so: whoever follows the job from an event before it is
    told that something is missing, and whoever has seen it misses nothing.

    Returns:
        How many were removed: 0 when none is left.
    """
    mine = (JobEvent.job_seq == seq, JobEvent.type == _HISTORY)
    last = session.scalar(sa.select(JobEvent.id).where(*mine).order_by(JobEvent.id.desc()).limit(1))
    if last is None:
        return 0
    if not _is_told(session, seq, last):
        data = {"level": "info", "message": REMOVED}
        changed = sa.update(JobEvent).where(*mine, JobEvent.id == last)
        session.execute(changed.values(type=_LOG, data=data, first_epoch=_NO_EPOCH))
        limit -= 1
    oldest = session.scalars(sa.select(JobEvent.id).where(*mine).order_by(JobEvent.id).limit(limit)).all()
    if oldest:
        session.execute(sa.delete(JobEvent).where(*mine, JobEvent.id <= oldest[-1]))
    return max(1, len(oldest))


def _is_told(session: Session, seq: int, last: int) -> bool:
    """Tell whether an event after the last history event says already that some were removed."""
    query = sa.select(JobEvent.id).where(
        JobEvent.job_seq == seq, JobEvent.type == _LOG, JobEvent.first_epoch == _NO_EPOCH, JobEvent.id > last
    )
    return session.scalar(query.limit(1)) is not None


def with_checkpoints(session: Session, *, ended_before: datetime | None) -> Sequence[int]:
    """Find the jobs that ended earlier and still have checkpoints; none where there is no such moment."""
    if ended_before is None:
        return ()
    left = sa.exists().where(Checkpoint.job_seq == Job.seq)
    query = sa.select(Job.seq).where(Job.status.in_(TERMINAL), Job.finished_at < ended_before, left)
    return session.scalars(query.order_by(Job.seq)).all()


def remove_checkpoints(session: Session, seqs: Collection[int]) -> Sequence[str]:
    """Forget the checkpoints of ended jobs, and give the paths of their files."""
    ended = sa.select(Job.seq).where(Job.seq.in_(seqs), Job.status.in_(TERMINAL))
    return session.scalars(
        sa.delete(Checkpoint).where(Checkpoint.job_seq.in_(ended)).returning(Checkpoint.path)
    ).all()


def checkpoint_paths(session: Session) -> dict[str, set[str]]:
    """Give the paths of all checkpoints, by the id of their job."""
    found: dict[str, set[str]] = {}
    for job_id, path in session.execute(sa.select(Job.id, Checkpoint.path).join_from(Checkpoint, Job)):
        found.setdefault(job_id, set()).add(path)
    return found
