"""All SQL about batch predictions. Functions take a session and never commit."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs.orm import Worker
from service.predictions.lifecycle import ACTIVE, TERMINAL, PredictionStatus, sources_of
from service.predictions.orm import Prediction, PredictionModel

__all__ = [
    "count_by_status",
    "delete",
    "find",
    "find_by_idempotency_key",
    "held_by",
    "insert",
    "is_listed",
    "model_of",
    "move",
    "next_queued",
    "orphans",
    "page",
    "status_of",
    "touch",
    "unfinished",
]


def insert(session: Session, prediction: Prediction, *, spec: str, parameters: bytes) -> Prediction:
    """Add a prediction with the model that it needs."""
    session.add(prediction)
    session.flush()
    session.add(PredictionModel(prediction_seq=prediction.seq, spec=spec, parameters=parameters))
    session.flush()
    return prediction


def find(
    session: Session, prediction_id: str, *, owner: str | None = None, hold: bool = False
) -> Prediction | None:
    """Look a prediction up by its id, of any owner or of one only.

    Args:
        session: Any session; a writing one if it is to be held.
        prediction_id: The prediction.
        owner: Whose.
        hold: Let nobody change it before this transaction ends. SQLite's writers wait for each other anyway.
    """
    query = sa.select(Prediction).where(Prediction.id == prediction_id)
    query = query if owner is None else query.where(Prediction.owner == owner)
    if hold:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def find_by_idempotency_key(session: Session, *, owner: str, key: str) -> Prediction | None:
    """Look up the prediction that was submitted with this key."""
    return session.scalar(
        sa.select(Prediction).where(Prediction.owner == owner, Prediction.idempotency_key == key)
    )


def status_of(session: Session, prediction_id: str, *, owner: str) -> PredictionStatus | None:
    """Look up the state of a prediction, and nothing else."""
    query = sa.select(Prediction.status).where(Prediction.id == prediction_id, Prediction.owner == owner)
    status = session.scalar(query)
    return None if status is None else PredictionStatus(status)


def page(
    session: Session,
    *,
    owner: str,
    limit: int,
    before: Prediction | None,
    statuses: Collection[PredictionStatus],
) -> Sequence[Prediction]:
    """List predictions, newest first, from the one submitted before `before` on."""
    query = sa.select(Prediction).where(Prediction.owner == owner).order_by(Prediction.seq.desc())
    if before is not None:
        query = query.where(Prediction.seq < before.seq)
    if statuses:
        query = query.where(Prediction.status.in_(statuses))
    return session.scalars(query.limit(limit)).all()


def count_by_status(session: Session) -> dict[str, int]:
    """Count the predictions of all owners in each state that has any."""
    query = sa.select(Prediction.status, sa.func.count()).group_by(Prediction.status)
    return dict(session.execute(query).all())


def unfinished(session: Session, *, owner: str | None = None, bound: int) -> int:
    """Count the predictions that have not ended, of all owners or of one only, but no further than `bound`."""
    query = sa.select(Prediction.seq).where(Prediction.status.not_in(TERMINAL))
    query = query if owner is None else query.where(Prediction.owner == owner)
    return session.scalar(sa.select(sa.func.count()).select_from(query.limit(bound).subquery())) or 0


def next_queued(session: Session, *, hold: bool = False) -> str | None:
    """Name the prediction that waits longest; None where none does.

    Args:
        session: Any session; a writing one if it is to be held.
        hold: Let nobody else take it before this transaction ends. What another worker is taking at this moment is
            passed over. SQLite's writers wait for each other anyway.
    """
    query = sa.select(Prediction.id).where(Prediction.status == PredictionStatus.QUEUED)
    query = query.order_by(Prediction.seq).limit(1)
    return session.scalar(query.with_for_update(skip_locked=True) if hold else query)


def is_listed(session: Session, worker_id: str) -> bool:
    """Tell whether a worker is in the list of the living: one that is not must claim nothing."""
    return session.scalar(sa.select(Worker.id).where(Worker.id == worker_id)) is not None


def held_by(session: Session, worker_id: str) -> list[tuple[str, int, str]]:
    """List what a worker holds: id, attempt and state of each prediction."""
    query = sa.select(Prediction.id, Prediction.attempt, Prediction.status)
    query = query.where(Prediction.worker_id == worker_id, Prediction.status.in_(ACTIVE))
    return [(one, attempt, status) for one, attempt, status in session.execute(query)]


def orphans(session: Session) -> list[tuple[str, int]]:
    """List id and attempt of the predictions under way whose worker is in no list."""
    query = sa.select(Prediction.id, Prediction.attempt).where(
        Prediction.status.in_(ACTIVE),
        Prediction.worker_id.is_not(None),
        Prediction.worker_id.not_in(sa.select(Worker.id)),
    )
    return [(one, attempt) for one, attempt in session.execute(query)]


def model_of(session: Session, prediction: Prediction) -> PredictionModel | None:
    """Read the model of a prediction; None once it has ended."""
    return session.get(PredictionModel, prediction.seq)


def move(
    session: Session,
    prediction_id: str,
    to: PredictionStatus,
    *,
    fence: int | None = None,
    add: Mapping[str, int] | None = None,
    **values: Any,  # noqa: ANN401 - columns
) -> Prediction | None:
    """Change a prediction's state: the only place that does, checked against the table of transitions.

    Args:
        session: A writing session.
        prediction_id: The prediction; its present state is checked in the same statement.
        to: The new state.
        fence: When a worker asks: its attempt number. Any other in the row refuses the change, and so does a state
            in which no worker holds the prediction.
        add: Numbers to add to columns.
        values: Other columns to set with it.

    Returns:
        The prediction as it is now, or None when its state or attempt forbids the change.
    """
    if to in TERMINAL:
        values = {"finished_at": now(), "worker_id": None, **values}
    sources = sources_of(to) if fence is None else sources_of(to) & ACTIVE
    changed = touch(session, prediction_id, sources=sources, fence=fence, add=add, status=to, **values)
    if changed is not None and to in TERMINAL:
        session.execute(sa.delete(PredictionModel).where(PredictionModel.prediction_seq == changed.seq))
    return changed


def touch(
    session: Session,
    prediction_id: str,
    *,
    sources: Collection[PredictionStatus],
    fence: int | None = None,
    add: Mapping[str, int] | None = None,
    **values: Any,  # noqa: ANN401 - columns
) -> Prediction | None:
    """Set columns of a prediction, if it is in one of the given states and (where given) still on the attempt `fence`.

    Returns:
        The prediction as it is now, or None when the condition did not hold and nothing was changed.
    """
    steps = {name: getattr(Prediction, name) + step for name, step in (add or {}).items()}
    statement = sa.update(Prediction).where(Prediction.id == prediction_id, Prediction.status.in_(sources))
    if fence is not None:
        statement = statement.where(Prediction.attempt == fence)
    options: dict[str, Any] = {"populate_existing": True, "synchronize_session": False}
    changed: Prediction | None = session.scalar(
        statement.values(**values, **steps).returning(Prediction), execution_options=options
    )
    return changed


def delete(session: Session, prediction: Prediction) -> bool:
    """Remove a prediction that has ended, and tell whether it was."""
    statement = sa.delete(Prediction).where(Prediction.seq == prediction.seq, Prediction.status.in_(TERMINAL))
    return session.scalar(statement.returning(Prediction.seq)) is not None
