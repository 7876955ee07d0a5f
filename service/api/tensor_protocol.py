"""The Open Inference Protocol, version 2, over HTTP: what Triton and KServe speak, and their clients."""

import functools
import math
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from service import __version__
from service.api import codings, examples, served, tensor_bodies
from service.api.bodies import INLINE_BYTES, declared_type, request_body, whole
from service.api.context import Context, Owner, Running
from service.api.negotiation import JSON
from service.api.problems import UnsupportedMediaType, documented
from service.api.served import Served
from service.api.tensor_schemas import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from service.api.views import json_response
from service.jobs import workers
from service.registry import service as registry
from service.spec.limits import Limits

__all__ = ["LENGTH", "Called", "inferred", "router"]

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

BINARY = "application/octet-stream"
LENGTH = "Inference-Header-Content-Length"
MOST_VERSIONS = 100
"""Versions that metadata list; older ones can be asked for as well."""
PLATFORM = "fitd_pytorch"
_TYPES = frozenset({"", JSON, BINARY})
"""Triton's client declares none."""
HeaderLength = Annotated[
    str | None, Header(alias=LENGTH, description="How many bytes of the body are JSON; binary data follow.")
]
ModelName = Annotated[str, Path(description="Name of a model, or id of a job.")]
ModelVersion = Annotated[
    str, Path(description="Number of a model's version, an alias, or `latest`; `1` of a job.")
]


@dataclass(frozen=True, slots=True)
class Called:
    """Which model somebody calls, and how much of the body is JSON."""

    owner: str
    name: str
    version: str | None
    header_length: str | None


@router.get(
    "",
    operation_id="v2_server",
    summary="What this server is",
    responses={200: {"model": ServerMetadata}, **documented(401)},
)
async def server(_owner: Owner) -> Response:
    """Tell name, version, and which extensions of the protocol are spoken."""
    told = {"name": "fitd", "version": __version__, "extensions": ["binary_tensor_data"]}
    return json_response(told)


@router.get("/health/live", operation_id="v2_live", summary="Is the server alive?", response_model=ServerLive)
async def live() -> Response:
    """Answer, which is the whole point."""
    return json_response({"live": True})


@router.get(
    "/health/ready",
    operation_id="v2_ready",
    summary="Can models predict?",
    responses={200: {"model": ServerReady}, **documented(503)},
)
def ready(running: Running) -> Response:
    """Reach for the database, which knows the models."""
    with running.database.read() as session:
        workers.listed(session)
    return json_response({"ready": True})


_MODEL: dict[int | str, dict[str, Any]] = {200: {"model": ModelMetadata}, **documented(401, 404, 409)}
_READY: dict[int | str, dict[str, Any]] = {200: {"model": ModelReady}, **documented(401, 404, 409)}


@router.get(
    "/models/{name}", operation_id="v2_model", summary="What a model takes and gives", responses=_MODEL
)
async def model(running: Running, owner: Owner, name: ModelName) -> Response:
    """List the tensors of a model: one for each column that it needs, and one for each that it gives.

    Where all features are numbers, one tensor `input` of the shape `[rows, features]` does as well.
    """
    return await _metadata(running, owner, name, None)


@router.get(
    "/models/{name}/versions/{version}",
    operation_id="v2_model_version",
    summary="What a version of a model takes and gives",
    responses=_MODEL,
)
async def model_version(running: Running, owner: Owner, name: ModelName, version: ModelVersion) -> Response:
    """List the tensors of a version."""
    return await _metadata(running, owner, name, version)


@router.get(
    "/models/{name}/ready", operation_id="v2_model_ready", summary="Does a model predict?", responses=_READY
)
async def model_ready(running: Running, owner: Owner, name: ModelName) -> Response:
    """Load the model, if it is not loaded yet."""
    return await _is_ready(running, owner, name, None)


@router.get(
    "/models/{name}/versions/{version}/ready",
    operation_id="v2_model_version_ready",
    summary="Does a version of a model predict?",
    responses=_READY,
)
async def model_version_ready(
    running: Running, owner: Owner, name: ModelName, version: ModelVersion
) -> Response:
    """Load the version, if it is not loaded yet."""
    return await _is_ready(running, owner, name, version)


_INFER: dict[str, Any] = {
    "responses": {
        200: {
            "model": InferResponse,
            "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}},
            "description": "The predictions. With binary outputs: JSON of as many bytes as the header "
            f"{LENGTH} says, then the outputs' bytes.",
        },
        **documented(401, 404, 409, 413, 415, 422),
    },
    "openapi_extra": request_body(InferRequest, examples.TENSORS, others=(BINARY,)),
}


@router.post("/models/{name}/infer", operation_id="v2_infer", summary="Predict tensors", **_INFER)
async def infer(
    running: Running, owner: Owner, name: ModelName, request: Request, header_length: HeaderLength = None
) -> Response:
    """Predict the rows of tensors: one for each feature, or one called `input` for all.

    Values come as JSON or, with the binary tensor data extension, as bytes behind it; so do the predictions. The
    body may be packed with gzip or deflate, and so is the answer for who asks for one of these alone.
    """
    return await inferred(running, request, Called(owner, name, None, header_length))


@router.post(
    "/models/{name}/versions/{version}/infer",
    operation_id="v2_infer_version",
    summary="Predict tensors with a version of a model",
    **_INFER,
)
async def infer_version(
    running: Running,
    owner: Owner,
    name: ModelName,
    version: ModelVersion,
    request: Request,
    header_length: HeaderLength = None,
) -> Response:
    """Predict the rows of tensors, as `/v2/models/{name}/infer` does."""
    return await inferred(running, request, Called(owner, name, version, header_length))


async def _metadata(running: Context, owner: str, name: str, version: str | None) -> Response:
    found = await served.of_name(running, owner, name, version)
    told = await run_in_threadpool(_forms, found)
    versions = await run_in_threadpool(_versions, running, owner, found)
    return json_response({"name": name, "versions": versions, "platform": PLATFORM, **told})


def _versions(running: Context, owner: str, found: Served) -> list[str]:
    """List the versions that can be asked for, the newest ones first."""
    if "model" not in found.source.told:
        return [found.version]
    with running.database.read() as session:
        model = registry.get(session, found.name, owner=owner)
        listed, _ = registry.list_versions(session, model, limit=MOST_VERSIONS, after=None)
        return [str(one.number) for one in listed]


def _forms(found: Served) -> dict[str, Any]:
    """Describe the tensors of a model. It is asked for no rows: only it knows what it gives."""
    from service.inference import tensor_rows

    nothing = found.predictor.predict(dict.fromkeys(found.predictor.feature_names, ()))
    outputs = tensor_rows.tensors_of(found.predictor, nothing)
    inputs = tensor_rows.input_forms(found.predictor)
    return {
        "inputs": [{"name": one.name, "datatype": one.datatype, "shape": one.shape} for one in inputs],
        "outputs": [
            {"name": one.name, "datatype": one.datatype, "shape": (-1, *([-1] * (len(one.shape) - 1)))}
            for one in outputs
        ],
    }


async def _is_ready(running: Context, owner: str, name: str, version: str | None) -> Response:
    found = await served.of_name(running, owner, name, version)
    return json_response({"name": name, "version": found.version, "ready": True})


async def inferred(running: Context, request: Request, called: Called) -> Response:
    """Answer a request for a prediction.

    Raises:
        ServiceError: As the endpoints document.
    """
    limits = running.settings.limits
    if declared_type(request) not in _TYPES:
        message = f"The body is declared as {declared_type(request)[:80]}."
        raise UnsupportedMediaType(message, hint=f"Declare it as {JSON}, or with binary data as {BINARY}.")
    sent = await whole(request, max_bytes=limits.max_body_bytes)
    coding = request.headers.get("content-encoding", "")
    body = await codings.unpacked(sent, coding, max_bytes=limits.max_body_bytes)
    asked = await tensor_bodies.asked_of(body, called.header_length)
    found = await served.of_name(running, called.owner, called.name, called.version)
    predict = functools.partial(_predicted, found, asked, limits)
    answer, length = await served.worked(running, found, predict, rows=_rows(asked, body))
    return await _answer(answer, length, found, request.headers.get("accept-encoding"))


def _rows(asked: tensor_bodies.Asked, body: bytes) -> float:
    """Give the number of rows to go by: of what came in a large body, more than there can be."""
    return asked.rows if len(body) <= INLINE_BYTES else math.inf


def _predicted(found: Served, asked: tensor_bodies.Asked, limits: Limits) -> tuple[bytes, int | None]:
    from service.inference import tensor_rows

    tensors = tensor_bodies.tensors_of(asked, limits)
    outputs = tensor_rows.tensors_of(found.predictor, tensor_rows.predicted(found.predictor, tensors))
    return tensor_bodies.answer_of(asked, outputs, name=found.name, version=found.version)


async def _answer(body: bytes, length: int | None, found: Served, accepted: str | None) -> Response:
    headers = dict(found.source.headers)
    if length is not None:
        headers[LENGTH] = str(length)
    body, coding = await codings.packed(body, accepted)
    if coding is not None:
        headers |= {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
    return Response(body, media_type=JSON if length is None else BINARY, headers=headers)
