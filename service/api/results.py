"""What a job leaves: history, parameters, pictures, predictions."""

import contextlib
import csv
import io
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.api import examples, pictures
from service.api.bodies import request_body
from service.api.context import Accept, Context, Owner, Running
from service.api.negotiation import CSV, JSON, PNG, SAFETENSORS, SVG, negotiate
from service.api.predicting import FILES, Asked, Source, answered, asked_of
from service.api.problems import documented
from service.api.schemas import History as HistoryOut
from service.api.schemas import Parameters, Prediction, PredictionRequest
from service.api.underway import CHECKPOINT_EPOCH, newest
from service.api.views import history_columns, json_response
from service.exceptions import CheckpointNotFound, InvalidRequest, Problem, StateConflict
from service.jobs import repository, service
from service.jobs.history import History
from service.jobs.lifecycle import TERMINAL
from service.jobs.orm import Job
from service.spec.job import JobSpec

if TYPE_CHECKING:
    from service.inference.grouped import GroupedPredictor
    from service.inference.predictor import Predictor

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["results"])

TRIES = 3
"""Checkpoints that are looked for until one can be read."""
MAX_EPOCH = 2**31 - 1
"""No history is longer, and the database cannot compare with more."""


@router.get(
    "/{job_id}/history",
    operation_id="get_history",
    summary="Get the loss history",
    responses={
        200: {
            "model": HistoryOut,
            "content": {CSV: {"schema": {"type": "string"}}},
            "description": "The series.",
        },
        **documented(401, 404, 406, 422),
    },
)
def history(  # noqa: PLR0913 - one argument for each query parameter
    running: Running,
    owner: Owner,
    job_id: str,
    *,
    first: Annotated[int, Query(alias="from", ge=1, le=MAX_EPOCH, description="First epoch.")] = 1,
    last: Annotated[int | None, Query(alias="to", ge=1, le=MAX_EPOCH, description="Last epoch.")] = None,
    every: Annotated[
        int | None, Query(ge=1, le=MAX_EPOCH, description="Only epochs that are multiples of this.")
    ] = None,
    max_points: Annotated[
        int | None,
        Query(
            ge=2,
            le=MAX_EPOCH,
            description="At most so many epochs, evenly spread, first and last among them.",
        ),
    ] = None,
    accept: Accept = None,
) -> Response:
    """Give every epoch's losses and learning rate, as recorded so far; thinned if asked."""
    media = negotiate(accept, (JSON, CSV))
    if every is not None and max_points is not None:
        hint = "Send one of the two."
        message = "`every` and `max_points` are two ways to thin the history."
        raise InvalidRequest([Problem(None, "incompatible_parameters", message, hint, "max_points")])
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        found = repository.history(session, job, first=first, last=last)
    found = found.every(every) if every else found.thinned(max_points) if max_points else found
    if media == CSV:
        return Response(_csv(found), media_type=CSV)
    return json_response({"object": "history", "job_id": job_id, "columns": history_columns(found)})


def _csv(history: History) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    columns = history_columns(history)
    writer.writerow(columns)
    lists = [column.tolist() for column in columns.values()]
    writer.writerows(["" if value != value else value for value in row] for row in zip(*lists, strict=True))  # noqa: PLR0124 - NaN
    return text.getvalue()


@router.get(
    "/{job_id}/parameters",
    operation_id="get_parameters",
    summary="Get the trained parameters",
    responses={
        200: {
            "model": Parameters,
            "content": {SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}},
            "description": "The tensors.",
        },
        **documented(401, 404, 406, 409),
    },
)
def parameters(running: Running, owner: Owner, job_id: str, accept: Accept = None) -> Response:
    """Give the trained tensors by state-dict name, and a linear model's coefficients by feature; or safetensors."""
    media = negotiate(accept, (JSON, SAFETENSORS))
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        stored = service.parameters_of(session, job)
        spec = _spec_of(session, job)
    if media == SAFETENSORS:
        name = f'attachment; filename="{job_id}.safetensors"'
        headers = {"Content-Disposition": name, "ETag": f'"{stored.digest}"'}
        return Response(stored.data, media_type=SAFETENSORS, headers=headers)
    return json_response({"object": "parameters", "job_id": job_id, **_parameters(spec, stored.data)})


def _parameters(spec: JobSpec, data: bytes) -> dict[str, Any]:
    from service.training import weights
    from service.training.groups.models import GroupModels, are_grouped

    if are_grouped(data):
        models = GroupModels.from_bytes(data)
        trained = models.trained
        stacked = {name: tensor[trained] for name, tensor in models.tensors.items()}
        labels = [models.labels[group] for group in trained]
        return {
            "coefficients": None,
            "intercept": None,
            "groups": labels,
            "tensors": weights.to_json(stacked),
        }
    tensors, preparation = weights.from_bytes(data), weights.preparation_of(data)
    linear = weights.coefficients(tensors, preparation, model=spec.model.type, loss=spec.loss) or (None, None)
    return {"coefficients": linear[0], "intercept": linear[1], "tensors": weights.to_json(tensors)}


def _spec_of(session: Session, job: Job) -> JobSpec:
    return JobSpec.from_text(repository.spec_text(session, [job.seq])[job.seq])


@router.get(
    "/{job_id}/plots/{plot}",
    operation_id="get_plot",
    summary="Get a picture",
    response_class=Response,
    responses={
        200: {
            "content": {
                SVG: {"schema": {"type": "string"}},
                PNG: {"schema": {"type": "string", "format": "binary"}},
            },
            "description": "The picture.",
        },
        **documented(401, 404, 406, 409, 422),
    },
)
def plot(running: Running, owner: Owner, job_id: str, plot: pictures.Plot, accept: Accept = None) -> Response:
    """Draw a picture; SVG unless Accept prefers PNG."""
    media = negotiate(accept, (SVG, PNG))
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        scene = pictures.draw(session, job, plot, datasets=running.settings.datasets_dir)
    return Response(pictures.render(scene, media), media_type=media)


@router.post(
    "/{job_id}/predict",
    operation_id="predict",
    summary="Predict rows with a trained job",
    responses={
        200: {
            "model": Prediction,
            "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in FILES},
            "description": "The predictions.",
            "headers": {
                CHECKPOINT_EPOCH: {
                    "schema": {"type": "integer"},
                    "description": "Of a job that has not ended: completed epochs at the checkpoint that predicted.",
                }
            },
        },
        **documented(401, 404, 406, 409, 413, 415, 422),
    },
    openapi_extra=request_body(PredictionRequest, examples.PREDICTIONS, others=FILES),
)
async def predict(
    running: Running, owner: Owner, job_id: str, request: Request, accept: Accept = None
) -> Response:
    """Predict the target for each row, in raw units: JSON comes back in the form in which the rows were sent.

    Many rows are sent faster as an Arrow stream (columns by name) or as npy (a matrix in the order of the
    features). CSV has the names of the features in its first line. `Accept` asks for the answer in one of the four,
    however the rows were sent. A job that has not ended predicts by its newest checkpoint, and the answer says so.
    """
    asked = await asked_of(request, accept, limits=running.settings.limits)
    return await run_in_threadpool(_predict, running, owner, job_id, asked)


def _predict(running: Context, owner: str, job_id: str, asked: Asked) -> Response:
    return answered(asked, *_predictor_of(running, owner, job_id))


def _predictor_of(running: Context, owner: str, job_id: str) -> "tuple[Predictor | GroupedPredictor, Source]":
    """Find what predicts; again, where a training goes on so fast that a checkpoint is replaced before it is read."""
    for _ in range(TRIES):
        with contextlib.suppress(CheckpointNotFound), running.database.read() as session:
            job = service.get(session, job_id, owner=owner)
            if job.status not in TERMINAL:
                return _underway(running, session, job)
            # An id is never used twice and parameters never change: the id is key enough.
            predictor = running.predictors.get(job.id, lambda: _predictor(session, job))  # noqa: B023 - called at once
            return predictor, Source({"job_id": job_id})
    raise StateConflict("The job's checkpoints change faster than they can be read.", hint="Ask again.")


def _underway(running: Context, session: Session, job: Job) -> "tuple[Predictor | GroupedPredictor, Source]":
    from service.inference.grouped import predictor_of

    found = newest(session, job, settings=running.settings)
    return running.predictors.get(found.key, lambda: predictor_of(*found.load(session))), found.source


def _predictor(session: Session, job: Job) -> "Predictor | GroupedPredictor":
    from service.inference.grouped import predictor_of

    stored = service.parameters_of(session, job)
    return predictor_of(_spec_of(session, job), stored.data)
