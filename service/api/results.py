"""What a job leaves: history, parameters, pictures, predictions."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.api import examples, pictures
from service.api.bodies import body_of_type, parsed, request_body
from service.api.context import Accept, Context, Owner, Running
from service.api.negotiation import ARROW, CSV, JSON, NPY, PNG, SAFETENSORS, SVG, negotiate
from service.api.problems import documented
from service.api.schemas import History as HistoryOut
from service.api.schemas import Parameters, Prediction, PredictionRequest
from service.api.views import history_columns, json_response
from service.exceptions import ColumnMismatch, InvalidRequest, Problem
from service.jobs import repository, service
from service.jobs.history import History
from service.jobs.orm import Job
from service.spec.job import JobSpec
from service.spec.packed import PackedRows, numbers_text
from service.training.naming import unique

if TYPE_CHECKING:
    from service.inference.grouped import GroupedPredictor
    from service.inference.predictor import Predicted, Predictor

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["results"])

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


_FILE = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/{job_id}/predict",
    operation_id="predict",
    summary="Predict rows with a trained job",
    responses={
        200: {
            "model": Prediction,
            "content": {ARROW: _FILE, NPY: _FILE},
            "description": "The predictions.",
        },
        **documented(401, 404, 406, 409, 413, 415, 422),
    },
    openapi_extra=request_body(PredictionRequest, examples.PREDICTIONS, others=(ARROW, NPY)),
)
async def predict(
    running: Running, owner: Owner, job_id: str, request: Request, accept: Accept = None
) -> Response:
    """Predict the target for each row, in raw units: JSON comes back in the form in which the rows were sent.

    Many rows are sent faster as an Arrow stream (columns by name) or as npy (a matrix in the order of the
    features). `Accept` asks for the answer in one of the three, however the rows were sent.
    """
    answer = negotiate(accept, (JSON, ARROW, NPY))
    limits = running.settings.limits
    media, body = await body_of_type(request, max_bytes=limits.max_body_bytes, others=(ARROW, NPY))
    if media != JSON:
        return await run_in_threadpool(_predict_table, running, owner, job_id, (media, body), answer)
    asked = await parsed(body, PredictionRequest, with_rows=_with_rows)
    return await run_in_threadpool(_predict, running, owner, job_id, asked, answer)


def _predict(running: Context, owner: str, job_id: str, asked: PredictionRequest, answer: str) -> Response:
    columns = _columns(asked)
    predictor = _predictor_of(running, owner, job_id)
    # No rows name no columns, and none are missing.
    columns = (
        dict.fromkeys(predictor.feature_names, ()) if asked.rows is not None and not asked.rows else columns
    )
    found = _predicted(predictor, columns, by_row=asked.rows is not None)
    if answer != JSON:
        return _file(found, answer)
    if asked.rows is None:
        return _by_column(found, job_id)
    rows = _as_rows(found, count=len(asked.rows))
    return json_response({"object": "prediction", "job_id": job_id, "rows": rows})


def _predict_table(
    running: Context, owner: str, job_id: str, sent: tuple[str, bytes], answer: str
) -> Response:
    """Predict rows that came as a file."""
    from service.inference import exchange

    media, body = sent
    limits = running.settings.limits
    # A number takes at least a byte of each file but those of truth values: no body holds more than this many.
    bounds = exchange.Bounds(rows=limits.max_rows, numbers=limits.max_body_bytes)
    predictor = _predictor_of(running, owner, job_id)
    columns = (
        exchange.from_arrow(body, bounds=bounds)
        if media == ARROW
        else exchange.from_npy(body, feature_names=predictor.feature_names, bounds=bounds)
    )
    found = predictor.predict(columns)
    return _by_column(found, job_id) if answer == JSON else _file(found, answer)


def _predictor_of(running: Context, owner: str, job_id: str) -> "Predictor | GroupedPredictor":
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        # An id is never used twice and parameters never change: the id is key enough.
        return running.predictors.get(job.id, lambda: _predictor(session, job))


def _file(found: "Predicted", media: str) -> Response:
    from service.inference import exchange

    write = {ARROW: exchange.to_arrow, NPY: exchange.to_npy}[media]
    return Response(write(found), media_type=media)


def _by_column(found: "Predicted", job_id: str) -> Response:
    groups = {"probabilities": found.probabilities, "std": found.std}
    answer = {"object": "prediction", "job_id": job_id, "columns": _as_json(found.columns)}
    return json_response(answer | {title: _as_json(some) for title, some in groups.items() if some})


def _as_json(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Write arrays piece by piece: a million numbers at once would hold up all other requests."""
    return {
        name: orjson.Fragment(numbers_text(values)) if isinstance(values, np.ndarray) else values
        for name, values in columns.items()
    }


def _as_rows(found: "Predicted", *, count: int) -> list[dict[str, Any]]:
    columns = _lists(found.columns)
    beside = {"probabilities": _lists(found.probabilities), "std": _lists(found.std)}
    beside = {title: some for title, some in beside.items() if some}
    # A target column may be called `std`: it keeps its name, and what stands beside it takes another.
    titles = unique((*columns, *beside))[len(columns) :]
    return [
        {name: values[row] for name, values in columns.items()}
        | {
            title: {name: values[row] for name, values in some.items()}
            for title, some in zip(titles, beside.values(), strict=True)
        }
        for row in range(count)
    ]


def _lists(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: values.tolist() if isinstance(values, np.ndarray) else values
        for name, values in columns.items()
    }


def _predicted(
    predictor: "Predictor | GroupedPredictor", columns: Mapping[str, Sequence[Any]], *, by_row: bool
) -> "Predicted":
    """Predict; where rows were sent, point to the first of them instead of to a column that was not sent."""
    try:
        return predictor.predict(columns)
    except ColumnMismatch as error:
        if not by_row:
            raise
        raise ColumnMismatch(
            [dataclasses.replace(p, pointer=_in_rows(p.pointer)) for p in error.problems]
        ) from None


def _in_rows(pointer: str | None) -> str:
    """Turn a pointer into columns, `/columns/x/3`, into one into rows: `/rows/3/x`."""
    tokens = (pointer or "").removeprefix("/columns").split("/")[1:]
    if len(tokens) > 1 and tokens[-1].isdecimal():
        return f"/rows/{tokens[-1]}/{'/'.join(tokens[:-1])}"
    return "/".join(["/rows/0", *tokens])


def _predictor(session: Session, job: Job) -> "Predictor | GroupedPredictor":
    from service.inference.grouped import predictor_of

    stored = service.parameters_of(session, job)
    return predictor_of(_spec_of(session, job), stored.data)


def _with_rows(asked: PredictionRequest, rows: PackedRows) -> PredictionRequest:
    return asked.model_copy(update={"columns": None, "rows": rows})


def _columns(asked: PredictionRequest) -> Mapping[str, Sequence[Any]]:
    if (asked.columns is None) == (asked.rows is None):
        message = "A prediction needs either columns or rows, and not both."
        raise InvalidRequest([Problem("", "missing", message, 'As in {"columns": {"x": [0.5]}}.')])
    if asked.columns is not None:
        return asked.columns
    if isinstance(asked.rows, PackedRows):
        return asked.rows.columns
    rows = asked.rows or []
    names = rows[0].keys() if rows else ()
    for number, row in enumerate(rows):
        if row.keys() != names:
            message = f"Row {number} does not have the same columns as row 0."
            raise InvalidRequest(
                [Problem(f"/rows/{number}", "ragged_rows", message, "Give every row every feature.")]
            )
    return {name: [row[name] for row in rows] for name in names}
