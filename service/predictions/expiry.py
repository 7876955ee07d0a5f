"""All SQL by which ended predictions are found and removed, and what others must leave for those that have not.

Functions take a session and never commit.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.jobs.expiry import longest_ended
from service.predictions.lifecycle import TERMINAL
from service.predictions.orm import Prediction

__all__ = [
    "Removed",
    "dataset_uses",
    "datasets_in_use",
    "expired",
    "paths",
    "prediction_that_needs",
    "remove",
]


@dataclass(frozen=True, slots=True)
class Removed:
    """A prediction that is no more.

    Attributes:
        id: Its id.
        dataset_id: The dataset that it predicted.
        finished_at: When it ended.
    """

    id: str
    dataset_id: str
    finished_at: datetime | None


def expired(session: Session, *, ended_before: datetime | None, kept: int) -> Sequence[int]:
    """Find the ended predictions that may go, those that ended first first.

    Args:
        session: Any session.
        ended_before: Those that ended earlier may go; None: age is no reason.
        kept: Of each owner's ended predictions, so many that ended last stay unless they are too old; 0: number is no
            reason.
    """
    nobody = sa.select(Prediction.id).where(sa.false())
    return longest_ended(session, Prediction, sa.true(), needed=nobody, ended_before=ended_before, kept=kept)


def remove(session: Session, seqs: Collection[int]) -> list[Removed]:
    """Remove ended predictions; their files can go after the commit."""
    statement = sa.delete(Prediction).where(Prediction.seq.in_(seqs), Prediction.status.in_(TERMINAL))
    rows = session.execute(statement.returning(Prediction.id, Prediction.dataset_id, Prediction.finished_at))
    return [Removed(*row) for row in rows]


def paths(session: Session) -> dict[str, set[str]]:
    """Give the paths of all results, by the id of their prediction."""
    query = sa.select(Prediction.id, Prediction.path).where(Prediction.path.is_not(None))
    return {prediction_id: {path} for prediction_id, path in session.execute(query) if path is not None}


def prediction_that_needs(session: Session, dataset_id: str) -> str | None:
    """Name a prediction that has not ended and reads a dataset; None where there is none."""
    query = sa.select(Prediction.id).where(
        Prediction.dataset_id == dataset_id, Prediction.status.not_in(TERMINAL)
    )
    return session.scalar(query.limit(1))


def dataset_uses(session: Session) -> dict[str, datetime | None]:
    """Tell when the last prediction of each dataset ended, by its id; None while one has not ended."""
    waiting = sa.func.sum(sa.case((Prediction.status.in_(TERMINAL), 0), else_=1))
    query = sa.select(Prediction.dataset_id, sa.func.max(Prediction.finished_at), waiting)
    rows = session.execute(query.group_by(Prediction.dataset_id))
    return {dataset_id: None if unfinished else ended for dataset_id, ended, unfinished in rows}


def datasets_in_use(session: Session, dataset_ids: Collection[str], *, since: datetime) -> frozenset[str]:
    """Tell which of these datasets a prediction needs that has not ended, or that was submitted since."""
    in_use = sa.or_(Prediction.status.not_in(TERMINAL), Prediction.created_at >= since)
    query = sa.select(Prediction.dataset_id).where(Prediction.dataset_id.in_(dataset_ids), in_use)
    return frozenset(session.scalars(query))
