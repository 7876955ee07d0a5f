"""Batch predictions: submit, list, get, cancel, delete, and download the result."""

import functools
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from service import failpoints
from service.api import examples
from service.api.bodies import json_body, request_body
from service.api.context import Accept, Calling, Context, Owner, Running
from service.api.keyring import Caller
from service.api.negotiation import ARROW, CSV, negotiate
from service.api.pages import listed
from service.api.prediction_files import ENDINGS, PARQUET, parts, pieces, span_of
from service.api.prediction_schemas import BatchPrediction, BatchPredictionList
from service.api.prediction_views import prediction_view
from service.api.problems import documented
from service.api.submissions import (
    MAX_WAIT_SECONDS,
    IdempotencyKey,
    Prefer,
    accepted_view,
    end_awaited,
    preferred_wait,
)
from service.api.views import json_response
from service.db import after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED
from service.predictions import service
from service.predictions.lifecycle import TERMINAL, PredictionStatus
from service.predictions.order import BatchPredictionOrder, read
from service.storage.predictions import PredictionStore

__all__ = ["router"]

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])

_PREDICTION: dict[str, Any] = {"model": BatchPrediction}
_FILE = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "",
    operation_id="submit_prediction",
    summary="Predict a dataset",
    status_code=202,
    responses={
        200: {**_PREDICTION, "description": "The prediction, ended within the time that Prefer: wait gave."},
        202: {
            **_PREDICTION,
            "description": "The prediction, accepted: it will be made, whatever happens to the service.",
        },
        **documented(401, 409, 413, 415, 422),
    },
    openapi_extra=request_body(BatchPredictionOrder, examples.BATCH_PREDICTIONS),
)
async def submit(
    running: Running,
    caller: Calling,
    request: Request,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Queue a prediction of all rows of an uploaded dataset and answer 202, or wait for its end as `Prefer: wait` asks.

    The model is copied: the job or the version may be deleted from then on. The dataset may not before the end.
    """
    body = await json_body(request, max_bytes=running.settings.limits.max_body_bytes)
    prediction_id = await run_in_threadpool(_submit, running, caller, body, idempotency_key)
    wait = preferred_wait(prefer)
    return accepted_view(await _when_ended(running, caller.owner, prediction_id, wait), wait)


def _submit(running: Context, caller: Caller, body: bytes, key: str | None) -> str:
    order = read(body)
    bounds = service.Bounds(running.settings.limits.max_unfinished_predictions, caller.max_unfinished_jobs)
    with running.database.read() as session:
        known = service.repeated(session, owner=caller.owner, key=key, digest=service.digest_of(body))
        if known is not None:
            return known.id
        prepared = service.prepare(session, order, body=body, owner=caller.owner)
    service.check(prepared)  # Without a session: a database ends one that stands idle for long.
    with running.database.write() as session:
        prediction = service.submit(session, prepared, owner=caller.owner, idempotency_key=key, bounds=bounds)
        after_commit(session, lambda: running.doorbell.ring(JOB_QUEUED))
    failpoints.hit("submitted")
    return prediction.id


async def _when_ended(running: Context, owner: str, prediction_id: str, seconds: float) -> dict[str, Any]:
    """Give the view once the prediction has ended, or as it is after the time given."""
    ended = functools.partial(_has_ended, running, owner, prediction_id)
    await end_awaited(running, prediction_id, seconds, has_ended=ended, end_only=True)
    return await run_in_threadpool(_view, running, owner, prediction_id)


def _has_ended(running: Context, owner: str, prediction_id: str) -> bool:
    with running.database.read() as session:
        return service.status_of(session, prediction_id, owner=owner) in TERMINAL


def _view(running: Context, owner: str, prediction_id: str) -> dict[str, Any]:
    with running.database.read() as session:
        return prediction_view(service.get(session, prediction_id, owner=owner))


@router.get(
    "",
    operation_id="list_predictions",
    summary="List batch predictions, newest first",
    responses={200: {"model": BatchPredictionList}, **documented(401, 422)},
)
def list_predictions(
    running: Running,
    owner: Owner,
    *,
    limit: Annotated[int, Query(ge=1, le=100, description="Predictions in one page.")] = 20,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
    status: Annotated[list[PredictionStatus] | None, Query(description="Only these states.")] = None,
) -> Response:
    """List predictions by cursor, so that new ones do not shift the pages."""
    with running.database.read() as session:
        found, has_more = service.list_predictions(
            session, owner=owner, limit=limit, after=after, statuses=status or ()
        )
    return listed([prediction_view(one) for one in found], has_more=has_more)


@router.get(
    "/{prediction_id}",
    operation_id="get_prediction",
    summary="Get a batch prediction",
    responses={200: _PREDICTION, **documented(401, 404, 422)},
)
async def get(
    running: Running,
    owner: Owner,
    prediction_id: str,
    *,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the prediction's end.")
    ] = 0.0,
) -> Response:
    """Tell how a prediction is; with `wait`, answer when it has ended or the time is over."""
    return json_response(await _when_ended(running, owner, prediction_id, wait))


@router.post(
    "/{prediction_id}/cancel",
    operation_id="cancel_prediction",
    summary="Cancel a batch prediction",
    status_code=202,
    responses={202: _PREDICTION, **documented(401, 404, 409)},
)
def cancel(running: Running, owner: Owner, prediction_id: str) -> Response:
    """Ask a prediction to stop: a queued one ends at once, a running one after the rows at hand. Nothing is kept of it."""
    with running.database.write() as session:
        prediction = service.cancel(session, prediction_id, owner=owner)
        after_commit(session, lambda: running.doorbell.ring(JOB_CHANGED, prediction_id))
    return json_response(prediction_view(prediction), 202)


@router.delete(
    "/{prediction_id}",
    operation_id="delete_prediction",
    summary="Delete a batch prediction that has ended",
    status_code=204,
    responses={204: {"description": "The prediction and its result are gone."}, **documented(401, 404, 409)},
)
def delete(running: Running, owner: Owner, prediction_id: str) -> Response:
    """Remove a prediction with the file of its result."""
    with running.database.write() as session:
        service.delete(session, prediction_id, owner=owner)
        after_commit(session, lambda: running.doorbell.ring(JOB_CHANGED, prediction_id))
    _store(running).remove_folder(prediction_id)
    return Response(status_code=204)


def _store(running: Context) -> PredictionStore:
    settings = running.settings
    return PredictionStore(settings.predictions_dir, min_free_bytes=settings.min_free_bytes)


@router.get(
    "/{prediction_id}/result",
    operation_id="get_prediction_result",
    summary="Download the predictions",
    response_class=Response,
    responses={
        200: {
            "content": {
                CSV: {"schema": {"type": "string"}, "example": '"id","y"\n1,9.5\n2,\n'},
                ARROW: _FILE,
                PARQUET: _FILE,
            },
            "headers": {
                "ETag": {"schema": {"type": "string"}, "description": "Changes never: the result is final."}
            },
            "description": "A row for each row of the dataset, in its order.",
        },
        206: {"content": {PARQUET: _FILE}, "description": "A part of the Parquet file, as Range asks."},
        304: {"description": "The caller has it: If-None-Match names its ETag."},
        **documented(401, 404, 406, 409, 416),
    },
)
def result(
    running: Running,
    owner: Owner,
    prediction_id: str,
    *,
    accept: Accept = None,
    if_none_match: Annotated[
        str | None, Header(description="An ETag: 304 if the caller has this form already.")
    ] = None,
    wanted: Annotated[
        str | None, Header(alias="Range", description="As in `bytes=0-999`: a part of the Parquet file.")
    ] = None,
    if_range: Annotated[
        str | None, Header(description="An ETag: the whole file if it is another one by now.")
    ] = None,
) -> Response:
    """Give the predictions in raw units: CSV, an Arrow stream, or Parquet, which is the file as it is kept.

    A row that could not be predicted is there, and empty. Only Parquet can be asked for in parts, by `Range`.
    """
    media = negotiate(accept, (CSV, ARROW, PARQUET))
    with running.database.read() as session:
        path, digest, size = service.result_of(service.get(session, prediction_id, owner=owner))
    headers = _headers(prediction_id, digest, media)
    if headers["ETag"] in {tag.strip() for tag in (if_none_match or "").split(",")}:
        return Response(status_code=304, headers={"ETag": headers["ETag"], "Vary": "Accept"})
    store = _store(running)
    # Opened now: a file that is missing is told before the answer begins.
    file = store.open(path)
    if media != PARQUET:
        return StreamingResponse(parts(file, media), media_type=media, headers=headers)
    file.close()
    span = span_of(wanted if if_range in {None, headers["ETag"]} else None, size)
    return _bytes(store.full_path(path), size, span, headers)


def _bytes(path: Path, size: int, span: range | None, headers: dict[str, str]) -> Response:
    """Answer with the file as it is, or with a part of it."""
    told = span or range(size)
    headers |= {"Accept-Ranges": "bytes", "Content-Length": str(len(told))}
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    return StreamingResponse(
        pieces(path, told), 200 if span is None else 206, media_type=PARQUET, headers=headers
    )


def _headers(prediction_id: str, digest: str, media: str) -> dict[str, str]:
    ending = ENDINGS[media]
    # Each form has bytes of its own, and so an ETag of its own: that of Parquet is the digest of the file.
    etag = f'"{digest}"' if media == PARQUET else f'"{digest}-{ending}"'
    name = f'attachment; filename="{prediction_id}.{ending}"'
    return {"ETag": etag, "Content-Disposition": name, "Vary": "Accept"}
