"""The rows of checkpoints. A row is written after its file, and taken away before it."""

from collections.abc import Sequence
from typing import cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.jobs.orm import Checkpoint, Job

__all__ = ["KEPT", "add", "drop", "find", "newest_first"]

_CHECKPOINTS = cast("sa.Table", Checkpoint.__table__)
KEPT = 2
"""Checkpoints of a job that are kept: the newest, and one to fall back on when its file turns out damaged."""


def newest_first(session: Session, job: Job) -> Sequence[Checkpoint]:
    """List the checkpoints of a job."""
    query = sa.select(Checkpoint).where(Checkpoint.job_seq == job.seq).order_by(Checkpoint.number.desc())
    return session.scalars(query).all()


def find(session: Session, job: Job, number: int) -> Checkpoint | None:
    """Look up one checkpoint of a job."""
    return session.get(Checkpoint, (job.seq, number))


def add(session: Session, checkpoint: Checkpoint) -> list[str]:
    """Add a checkpoint and forget all but the newest ones of its job.

    Returns:
        The paths of the files that no row names any more: to be removed after the commit.
    """
    session.add(checkpoint)
    session.flush()
    return _drop(
        session,
        Checkpoint.job_seq == checkpoint.job_seq,
        Checkpoint.number <= checkpoint.number - KEPT,
    )


_DROP = (
    sa.delete(_CHECKPOINTS)
    .where(_CHECKPOINTS.c.job_seq == sa.bindparam("seq"), _CHECKPOINTS.c.number > sa.bindparam("number"))
    .returning(_CHECKPOINTS.c.path)
)
"""Built once, and plain: every job that ends runs it."""


def drop(session: Session, job: Job, *, after: int = 0) -> list[str]:
    """Forget the checkpoints of a job with a number above `after`.

    Returns:
        The paths of their files: to be removed after the commit.
    """
    return list(session.scalars(_DROP, {"seq": job.seq, "number": after}))


def _drop(session: Session, *conditions: sa.ColumnElement[bool]) -> list[str]:
    statement = sa.delete(Checkpoint).where(*conditions).returning(Checkpoint.path)
    return list(session.scalars(statement, execution_options={"synchronize_session": False}))
