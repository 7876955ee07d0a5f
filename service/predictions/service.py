"""What callers can do with batch predictions. Nothing here commits: whoever opened the session does."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.datasets import service as datasets
from service.db import drawn_id, now
from service.exceptions import (
    DatasetNotFound,
    IdempotencyConflict,
    InvalidRequest,
    NoResult,
    PredictionNotFound,
    Problem,
    QueueFull,
    QuotaExceeded,
    StateConflict,
)
from service.predictions import repository
from service.predictions.lifecycle import CANCEL, TERMINAL, PredictionStatus
from service.predictions.order import BatchPredictionOrder
from service.predictions.orm import Prediction
from service.predictions.sources import Source, source_of
from service.spec.job import JobSpec
from service.spec.schema import Schema

__all__ = [
    "Bounds",
    "Prepared",
    "cancel",
    "check",
    "delete",
    "digest_of",
    "get",
    "list_predictions",
    "prepare",
    "repeated",
    "result_of",
    "status_of",
    "submit",
]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a submission must stay within.

    Attributes:
        max_unfinished: Predictions of all owners together that have not ended.
        max_unfinished_of_owner: The same of the submitting owner.
    """

    max_unfinished: int | None = None
    max_unfinished_of_owner: int | None = None


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True)
class Prepared:
    """An order, with all that is kept of it.

    Attributes:
        order: As it was sent.
        digest: SHA-256 of the body.
        source: The model.
        dataset_digest: Names the dataset's files.
        table: Columns and rows of the dataset.
    """

    order: BatchPredictionOrder
    digest: str
    source: Source
    dataset_digest: str
    table: Schema


def prepare(session: Session, order: BatchPredictionOrder, *, body: bytes, owner: str) -> Prepared:
    """Look up what an order names. Whether they go together is told by `check`, which needs no session.

    Args:
        session: Any session.
        order: What to predict.
        body: The body it was read from.
        owner: Whose.

    Raises:
        InvalidRequest: There is no such job, model or dataset.
        StateConflict, NoParameters: The job has no parameters, or not yet.
    """
    source = source_of(session, order, owner=owner)
    try:
        schema, dataset_digest = datasets.schema_of(session, order.data.id, owner=owner)
    except DatasetNotFound as error:
        raise _unknown_dataset(error) from None
    return Prepared(order, digest_of(body), source, dataset_digest, schema)


def check(prepared: Prepared) -> None:
    """Make sure that the dataset has the model's columns. It may take seconds: the model is loaded.

    Raises:
        ColumnMismatch: It does not have them, or not those that are to be kept.
        NoParameters: No group of the model was trained.
    """
    # Late: torch takes seconds to load, and only who submits a prediction needs it.
    from service.inference.grouped import predictor_of
    from service.inference.tables import check_columns

    source = prepared.source
    predictor = predictor_of(JobSpec.from_text(source.spec), source.parameters)
    check_columns(predictor, prepared.table, keep=prepared.order.keep)


def digest_of(body: bytes) -> str:
    """Name a body: what is sent again under the same key must have the same."""
    return hashlib.sha256(body).hexdigest()


def _unknown_dataset(error: DatasetNotFound) -> InvalidRequest:
    return InvalidRequest([Problem("/data/id", "unknown_dataset", error.message, error.hint)])


def submit(
    session: Session,
    prepared: Prepared,
    *,
    owner: str,
    idempotency_key: str | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Prediction:
    """Queue a prediction. Once the session's transaction is committed, its rows will be predicted.

    The model is copied with it: the job, or the version, may be deleted from now on. The dataset may not.

    Args:
        session: A writing session.
        prepared: The order, which was checked.
        owner: Whose prediction it is.
        idempotency_key: The same key with the same body gives the prediction that was submitted first.
        bounds: How many there may be.

    Raises:
        IdempotencyConflict: The key was used with another body.
        QueueFull: The service has as many unfinished predictions as it takes.
        QuotaExceeded: The owner has as many unfinished predictions as allowed.
        InvalidRequest: The dataset was deleted meanwhile.
    """
    known = repeated(session, owner=owner, key=idempotency_key, digest=prepared.digest)
    if known is not None:
        return known
    _check_bounds(session, owner=owner, bounds=bounds)
    try:
        datasets.get(session, prepared.order.data.id, owner=owner, keep=True)
    except DatasetNotFound as error:
        raise _unknown_dataset(error) from None
    row, source = _row(prepared, owner=owner, idempotency_key=idempotency_key), prepared.source
    try:
        # The same key may be on its way to its commit elsewhere. Refused for that, the rest of the transaction holds.
        with session.begin_nested() if idempotency_key else contextlib.nullcontext():
            return repository.insert(session, row, spec=source.spec, parameters=source.parameters)
    except IntegrityError:
        known = repeated(session, owner=owner, key=idempotency_key, digest=prepared.digest)
        if known is None:
            raise
        return known


def _row(prepared: Prepared, *, owner: str, idempotency_key: str | None) -> Prediction:
    source = prepared.source
    return Prediction(
        id=drawn_id("pred"),
        owner=owner,
        idempotency_key=idempotency_key,
        request_digest=prepared.digest,
        job_id=source.job_id,
        model_name=source.model_name,
        model_version=source.model_version,
        model_id=source.model_id,
        model_digest=source.digest,
        dataset_id=prepared.order.data.id,
        dataset_digest=prepared.dataset_digest,
        keep=list(prepared.order.keep),
        status=PredictionStatus.QUEUED,
        created_at=now(),
        total=prepared.table.rows,
    )


def _check_bounds(session: Session, *, owner: str, bounds: Bounds) -> None:
    bound = bounds.max_unfinished
    if bound is not None and repository.unfinished(session, bound=bound) >= bound:
        message = f"{bound:,} predictions have not ended: the service takes no more for now."
        hint = "Try again when some have ended. The operator sets the bound with FITD_LIMITS__MAX_UNFINISHED_PREDICTIONS."
        raise QueueFull(message, hint=hint)
    own = bounds.max_unfinished_of_owner
    if own is not None and repository.unfinished(session, owner=owner, bound=own) >= own:
        message = f"{own:,} predictions have not ended: this key allows no more."
        hint = "Wait until one has ended, or cancel one. GET /v1/predictions?status=queued&status=running lists them."
        raise QuotaExceeded(message, hint=hint)


def repeated(session: Session, *, owner: str, key: str | None, digest: str) -> Prediction | None:
    """Look up the prediction that the same was submitted for before, under the same key.

    Raises:
        IdempotencyConflict: The key was used for something else.
    """
    known = None if key is None else repository.find_by_idempotency_key(session, owner=owner, key=key)
    if known is not None and known.request_digest != digest:
        raise IdempotencyConflict
    return known


def get(session: Session, prediction_id: str, *, owner: str, hold: bool = False) -> Prediction:
    """Look up a prediction.

    Args:
        session: Any session; a writing one if it is to be held.
        prediction_id: The prediction.
        owner: Whose.
        hold: Let nobody change it before this transaction ends.

    Raises:
        PredictionNotFound: There is none with this id, or it is somebody else's.
    """
    prediction = repository.find(session, prediction_id, owner=owner, hold=hold)
    if prediction is None:
        raise _not_found(prediction_id)
    return prediction


def status_of(session: Session, prediction_id: str, *, owner: str) -> PredictionStatus:
    """Look up the state of a prediction, and nothing else.

    Raises:
        PredictionNotFound: There is none with this id, or it is somebody else's.
    """
    status = repository.status_of(session, prediction_id, owner=owner)
    if status is None:
        raise _not_found(prediction_id)
    return status


def _not_found(prediction_id: str) -> PredictionNotFound:
    return PredictionNotFound(f"There is no prediction `{prediction_id[:80]}`.")


def list_predictions(
    session: Session,
    *,
    owner: str,
    limit: int,
    after: str | None,
    statuses: Sequence[PredictionStatus] = (),
) -> tuple[Sequence[Prediction], bool]:
    """List predictions, newest first, and tell whether more follow.

    Raises:
        InvalidRequest: `after` is not the id of a prediction.
    """
    cursor = None if after is None else repository.find(session, after, owner=owner)
    if after is not None and cursor is None:
        hint = "Send the `next_after` of the page before; if that prediction was deleted, start again without `after`."
        message = f"`{after[:80]}` is not a prediction."
        raise InvalidRequest([Problem(None, "unknown_cursor", message, hint, "after")])
    found = repository.page(session, owner=owner, limit=limit + 1, before=cursor, statuses=statuses)
    return found[:limit], len(found) > limit


def cancel(session: Session, prediction_id: str, *, owner: str) -> Prediction:
    """Ask for a prediction to stop: at once if no worker has it, else as soon as its worker hears of it.

    Asking again while it is being cancelled changes nothing.

    Raises:
        PredictionNotFound: There is no such prediction.
        StateConflict: It has ended already.
    """
    prediction = get(session, prediction_id, owner=owner, hold=True)
    source = PredictionStatus(prediction.status)
    target = CANCEL.get(source)
    if target is source:
        return prediction
    if target is None:
        hint = "A prediction that has ended stays as it is; DELETE removes it."
        raise StateConflict(f"The prediction is {source}: it cannot be cancelled.", hint=hint)
    moved = repository.move(session, prediction_id, target)
    if moved is None:
        raise AssertionError("a prediction that is held has changed its state")
    return moved


def delete(session: Session, prediction_id: str, *, owner: str) -> None:
    """Remove a prediction that has ended; its file can go after the commit.

    Raises:
        PredictionNotFound: There is no such prediction.
        StateConflict: It has not ended.
    """
    prediction = get(session, prediction_id, owner=owner)
    if not repository.delete(session, prediction):
        raise StateConflict(
            f"The prediction is {prediction.status}: only one that has ended can be deleted.",
            hint=f"POST /v1/predictions/{prediction.id}/cancel first, and wait until it has ended.",
        )


def result_of(prediction: Prediction) -> tuple[str, str, int]:
    """Give path, digest and size of the result's file.

    Raises:
        StateConflict: The prediction has not ended yet.
        NoResult: It ended without one.
    """
    if prediction.path is not None and prediction.result is not None:
        return prediction.path, prediction.result["digest"], prediction.result["bytes"]
    if prediction.status not in TERMINAL:
        raise StateConflict(
            f"The prediction is {prediction.status}: it has no result yet.",
            hint=f"GET /v1/predictions/{prediction.id}?wait=30 answers when it has ended.",
        )
    raise NoResult(f"The prediction ended {prediction.status}, without a result.", hint="Submit it again.")
