"""MLflow's scoring protocol: what `mlflow models serve` speaks, for registered models and for jobs."""

import functools
import math
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service import __version__
from service.api import examples, served
from service.api.bodies import INLINE_BYTES, body_of_type, parsed, request_body
from service.api.context import Context, Owner, Running
from service.api.keyring import LOCAL_OWNER
from service.api.negotiation import CSV, JSON
from service.api.problems import documented
from service.api.scoring_schemas import Scores, ScoringRequest
from service.api.served import Served
from service.api.views import json_response
from service.exceptions import InvalidRequest, ModelNotFound, Problem
from service.spec.limits import Limits

if TYPE_CHECKING:
    from service.inference.scoring import AnyPredictor, Table

__all__ = ["router", "scored"]

router = APIRouter(tags=["mlflow scoring"])

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text."}
ModelName = Annotated[
    str | None,
    Query(max_length=200, description="Name of a model, or id of a job; left out: that of the setting."),
]
ModelVersion = Annotated[
    str | None,
    Query(
        max_length=64, description="A number, an alias, or `latest`; left out: `champion`, else the newest."
    ),
]


@router.get(
    "/ping",
    operation_id="scoring_ping",
    summary="Does the model predict?",
    response_class=Response,
    responses={200: _TEXT, **documented(404, 409)},
)
async def ping(running: Running) -> Response:
    """Load the model of the setting `FITD_SCORING_MODEL`, if it is not loaded yet; without one, only answer."""
    if running.settings.scoring_model:
        await _found(running, LOCAL_OWNER, None, None)
    return Response("\n", media_type="text/plain")


@router.get(
    "/health",
    operation_id="scoring_health",
    summary="Does the model predict? (as /ping)",
    response_class=Response,
    responses={200: _TEXT, **documented(404, 409)},
)
async def health(running: Running) -> Response:
    """Answer as /ping does."""
    return await ping(running)


@router.get(
    "/version",
    operation_id="scoring_version",
    summary="Version of this service",
    response_class=Response,
    responses={200: _TEXT},
)
async def version() -> Response:
    """Tell the version of fitd."""
    return Response(__version__, media_type="text/plain")


_INVOCATIONS: dict[str, Any] = {
    "responses": {
        200: {"model": Scores, "description": "The predictions."},
        **documented(401, 404, 409, 413, 415, 422),
    },
    "openapi_extra": request_body(ScoringRequest, examples.SCORING, others=(CSV,)),
}


@router.post(
    "/invocations", operation_id="score", summary="Predict as MLflow's scoring server", **_INVOCATIONS
)
async def invocations(
    running: Running,
    owner: Owner,
    request: Request,
    model: ModelName = None,
    model_version: Annotated[ModelVersion, Query(alias="version")] = None,
) -> Response:
    """Predict rows that come as `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or as CSV.

    Which model predicts, the parameter `model` says, or the setting `FITD_SCORING_MODEL`.
    """
    return await scored(running, owner, request, (model, model_version))


@router.post(
    "/v1/models/{name}/invocations",
    operation_id="score_with_model",
    summary="Predict with one model as MLflow's scoring server",
    **_INVOCATIONS,
)
async def model_invocations(
    running: Running, owner: Owner, request: Request, name: str, version: ModelVersion = None
) -> Response:
    """Predict as /invocations does: `/v1/models/{name}` is the address of a scoring server for this model."""
    return await scored(running, owner, request, (name, version))


@router.get(
    "/v1/models/{name}/ping",
    operation_id="ping_model",
    summary="Does this model predict?",
    response_class=Response,
    responses={200: _TEXT, **documented(401, 404, 409)},
)
async def model_ping(running: Running, owner: Owner, name: str) -> Response:
    """Load the model, if it is not loaded yet."""
    await _found(running, owner, name, None)
    return Response("\n", media_type="text/plain")


async def _found(running: Context, owner: str, name: str | None, version: str | None) -> Served:
    """Find what predicts.

    Raises:
        ModelNotFound: No model is named, or there is none of that name.
    """
    if name is None:
        name, _, of_setting = running.settings.scoring_model.partition("@")
        version = version or of_setting or None
    if not name:
        hint = "Send ?model=<name>, call /v1/models/<name>/invocations, or set FITD_SCORING_MODEL."
        raise ModelNotFound("No model is named.", hint=hint)
    return await served.of_name(running, owner, name, version)


async def scored(
    running: Context, owner: str, request: Request, which: tuple[str | None, str | None]
) -> Response:
    """Answer a request for predictions.

    Args:
        running: The service.
        owner: Who calls.
        request: Its body has the rows.
        which: Name and version of the model; without a name, that of the setting.

    Raises:
        ServiceError: As the endpoints document.
    """
    limits = running.settings.limits
    media, body = await body_of_type(request, max_bytes=limits.max_body_bytes, others=(CSV,))
    asked = await parsed(body, ScoringRequest) if media == JSON else None
    found = await _found(running, owner, *which)
    answer = functools.partial(_answer, found, asked, body, limits)
    # How many rows there are, is known only once they are read: a body is small, or it is not.
    is_small = asked is not None and len(body) <= INLINE_BYTES
    rows = len(body) / _ROW_BYTES if is_small else math.inf
    return await served.worked(running, found, answer, rows=rows)


_ROW_BYTES = 4
"""The shortest row."""


def _answer(found: Served, asked: ScoringRequest | None, body: bytes, limits: Limits) -> Response:
    from service.inference import exchange, scoring

    if asked is None:
        # A number takes at least a byte: no body holds more than this many.
        bounds = exchange.Bounds(rows=limits.max_rows, numbers=limits.max_body_bytes)
        table = scoring.from_csv(body, found.predictor, bounds)
    else:
        table = _table(asked, found.predictor)
    predictions = scoring.told(scoring.predicted(found.predictor, table))
    return json_response({"predictions": predictions}, headers=dict(found.source.headers))


def _table(asked: ScoringRequest, predictor: "AnyPredictor") -> "Table":
    from service.inference import scoring

    forms = [name for name in _FORMS if getattr(asked, name) is not None]
    if len(forms) != 1:
        message = f"Rows come in exactly one of {', '.join(f'`{name}`' for name in _FORMS)}."
        raise InvalidRequest([Problem("", "missing", message, 'As in {"instances": [{"x": 0.5}]}.')])
    (form,) = forms
    sent = getattr(asked, form)
    if isinstance(sent, dict):
        return scoring.by_column(sent, where=f"/{form}")
    if asked.dataframe_split is not None:
        split = asked.dataframe_split
        return scoring.from_rows(split.data, split.columns, predictor, where="/dataframe_split/data")
    return scoring.from_rows(sent, None, predictor, where=f"/{form}")
