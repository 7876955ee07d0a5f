"""What workers do with predictions: claim, report, finish, let go. Every write is fenced by the attempt number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.db import now
from service.jobs.causes import Cause
from service.predictions import repository
from service.predictions.lifecycle import ACTIVE, LET_GO, PredictionStatus
from service.predictions.orm import Prediction

__all__ = [
    "POISON_HINT",
    "PredictionRef",
    "Start",
    "begin",
    "claim",
    "crashed",
    "fail",
    "finish",
    "let_go",
    "report",
]

POISON_HINT = (
    "The predicting process died again and again, perhaps for lack of memory: predict fewer rows at a time, "
    "or with a smaller model."
)


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """A claim on a prediction: writes for it count only while `attempt` is the prediction's."""

    id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Start:
    """What an attempt begins with.

    Attributes:
        spec: The effective spec of the model, as JSON text.
        parameters: Its trained tensors.
        dataset_digest: Names the folder of the rows.
        keep: Columns that the result repeats.
    """

    spec: str
    parameters: bytes
    dataset_digest: str
    keep: Sequence[str]


def claim(session: Session, *, worker_id: str) -> PredictionRef | None:
    """Take the prediction that waits longest, under a new attempt number; None where none does.

    A worker that is not in the list of the living takes none: it would be taken from it at once.
    """
    waiting = repository.next_queued(session, hold=True)
    if waiting is None or not repository.is_listed(session, worker_id):
        return None
    taken = repository.move(
        session,
        waiting,
        PredictionStatus.RUNNING,
        add={"attempt": 1},
        worker_id=worker_id,
        done=0,
        started_at=sa.func.coalesce(Prediction.started_at, sa.literal(now(), Prediction.started_at.type)),
    )
    return None if taken is None else PredictionRef(taken.id, taken.attempt)


def begin(session: Session, ref: PredictionRef) -> Start | None:
    """Read what an attempt begins with; None when the lease is lost."""
    prediction = repository.find(session, ref.id)
    if prediction is None or prediction.attempt != ref.attempt or prediction.status not in ACTIVE:
        return None
    model = repository.model_of(session, prediction)
    if model is None:
        return None
    return Start(model.spec, model.parameters, prediction.dataset_digest, tuple(prediction.keep))


def report(session: Session, ref: PredictionRef, *, done: int) -> PredictionStatus | None:
    """Record how many rows are predicted.

    Returns:
        The prediction's state, by which a cancel is heard; None when the lease is lost.
    """
    changed = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, done=done)
    return None if changed is None else PredictionStatus(changed.status)


def finish(session: Session, ref: PredictionRef, *, result: Mapping[str, Any], path: str) -> bool:
    """Record the one result, whose file is on the disk.

    An attempt that asks again, because it never learnt what became of its commit, is told that it has finished.

    Returns:
        False when the lease is lost and nothing was recorded.
    """
    moved = repository.move(
        session,
        ref.id,
        PredictionStatus.SUCCEEDED,
        fence=ref.attempt,
        result=dict(result),
        path=path,
        done=result["rows"],
    )
    if moved is not None:
        return True
    known = repository.find(session, ref.id)
    return known is not None and known.path == path


def fail(session: Session, ref: PredictionRef, *, error: Mapping[str, str]) -> bool:
    """Record that a prediction failed, and why; False when the lease is lost."""
    moved = repository.move(session, ref.id, PredictionStatus.FAILED, fence=ref.attempt, error=dict(error))
    return moved is not None


def let_go(session: Session, ref: PredictionRef) -> PredictionStatus | None:
    """Give a prediction back, uncounted: to the queue, or to where it was asked to go.

    Returns:
        Its new state, or None when the attempt had ended or lost its lease before.
    """
    held = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, worker_id=None)
    if held is None:
        return None
    target = LET_GO[PredictionStatus(held.status)]
    moved = repository.move(session, ref.id, target, fence=ref.attempt)
    return None if moved is None else target


def crashed(
    session: Session, ref: PredictionRef, *, max_crashes: int, cause: Cause
) -> PredictionStatus | None:
    """Record that the process of an attempt died: as `let_go`, but failed when it died too often.

    Returns:
        The prediction's new state, or None when the attempt had ended or lost its lease before.
    """
    held = repository.touch(session, ref.id, sources=ACTIVE, fence=ref.attempt, add={"crashes": 1})
    if held is None:
        return None
    if held.status != PredictionStatus.RUNNING or held.crashes < max_crashes:
        return let_go(session, ref)
    message = f"The predicting process died {held.crashes} times. {cause['message']}"
    error = {"code": "worker_crashed", "message": message, "hint": POISON_HINT}
    return PredictionStatus.FAILED if fail(session, ref, error=error) else None
