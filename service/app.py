"""The composition root of the API: settings in, a FastAPI application out."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool

from service import __version__, failpoints
from service.api import (
    checkpoints,
    control,
    dataset_content,
    datasets,
    events,
    exports,
    groups,
    jobs,
    meta,
    model_schemas,
    models,
    predictions,
    problems,
    results,
    schemas,
    scoring,
    served,
    sweep_results,
    sweeps,
    tensor_protocol,
)
from service.api.armour import NoNul, SecurityHeaders
from service.api.changes import Changes
from service.api.context import Context
from service.api.exhibits import exhibit
from service.api.hosts import CrossOriginGuard, HostGuard
from service.api.keyring import Keyring
from service.api.lane import PredictLane
from service.api.metrics import RequestMetrics
from service.api.parameters import no_unknown_parameters
from service.api.protocol_lane import ProtocolLane
from service.api.recent import Recent
from service.api.scoring_schemas import ScoringRequest
from service.api.tensor_schemas import InferRequest
from service.db import Database, SharedWrites
from service.doorbell import JOB_CHANGED, doorbell, listen
from service.exports.asking import Budget, Exporter
from service.exports.store import ExportStore
from service.inference.cache import PredictorCache
from service.loading import without_collection
from service.predictions.order import BatchPredictionOrder
from service.settings import Settings
from service.spec.job import JobSpec
from service.sweeps.spec import SweepSpec

__all__ = ["create_app", "openapi_document"]

_DESCRIPTION = """Model fitting over HTTP. POST a job: data, model, loss, optimizer, in torch's names.
A worker trains it; the database keeps its status, its whole loss history and its parameters.
GET them back, follow the job live, predict with it."""


def create_app(settings: Settings) -> FastAPI:
    """Build the application. It starts no worker: `fitd serve` runs one beside it."""
    app: FastAPI = FastAPIOffline(
        title="fitd",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.settings = settings
    _guard(app, settings)
    modules = (
        jobs,
        control,
        sweeps,
        sweep_results,
        datasets,
        dataset_content,
        results,
        groups,
        checkpoints,
        exports,
        models,
        predictions,
        events,
        meta,
        tensor_protocol,
        scoring,
    )
    routers = [module.router for module in modules]
    for router in routers:
        app.include_router(router, dependencies=[Depends(no_unknown_parameters)])
    problems.install(app, [route for router in routers for route in router.routes])
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    """Put the middleware around the application: the last added is the first to see a request."""
    app.add_middleware(ProtocolLane)
    app.add_middleware(PredictLane)
    app.add_middleware(NoNul)
    app.add_middleware(CrossOriginGuard, settings=settings)
    app.add_middleware(HostGuard, settings=settings)
    app.add_middleware(RequestMetrics)
    # Around everything, the framework's own middleware too: that is where the answer to an unforeseen error is made.
    inner = app.build_middleware_stack
    app.build_middleware_stack = lambda: SecurityHeaders(inner())  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    failpoints.arm(settings.failpoints_dir)
    database = Database(settings.effective_database_url)
    changes = Changes(poll_seconds=settings.poll_seconds)
    app.state.context = Context(
        settings=settings,
        database=database,
        shared_writes=SharedWrites(database),
        doorbell=doorbell(database, settings.doorbell_dir),
        changes=changes,
        predictors=PredictorCache(settings.predictor_cache),
        names=Recent(seconds=served.FRESH_SECONDS, size=served.REMEMBERED, lasts=lambda found: found.lasts),
        prediction_threads=CapacityLimiter(settings.prediction_threads),
        keyring=Keyring(settings, database),
    )
    # A prediction is small: several threads for one would only slow the others down. Torch reads it when it is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if settings.preload:
        # Torch takes a second or two to load: not before the first answer, but before the first prediction.
        threading.Thread(target=_load_torch, name="load-torch", daemon=True).start()
    app.state.parsing = asyncio.Semaphore(settings.parse_slots)
    app.state.exporter = exporter = _exporter(settings)
    await run_in_threadpool(datasets.sweep, app.state.context)
    with listen(database, settings.doorbell_dir, JOB_CHANGED) as listener:
        async with changes.hearing(listener):
            yield
    await exporter.close()
    app.state.context.doorbell.close()
    database.close()


def _exporter(settings: Settings) -> Exporter:
    store = ExportStore(settings.exports_dir, max_bytes=settings.export_cache_bytes)
    budget = Budget(settings.export_memory_bytes, settings.export_seconds)
    return Exporter(store, datasets=settings.datasets_dir, slots=settings.export_slots, budget=budget)


def _load_torch() -> None:
    with contextlib.suppress(AttributeError, OSError):
        # Linux counts priority by thread: the runners, who load torch too, and requests go first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
    # Their import is the purpose: a small prediction is made on the event loop, which must not wait for it.
    with without_collection():
        import service.inference.scoring
        import service.inference.tensor_rows  # noqa: F401


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI document once: FastAPI's own, with the schemas of the bodies that the API reads itself."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=[
                {"name": "jobs", "description": "Submit, follow and end jobs."},
                {"name": "sweeps", "description": "Train one spec many times, and find the best values."},
                {"name": "datasets", "description": "Upload tables and arrays to train on."},
                {
                    "name": "results",
                    "description": "What a job leaves: history, events, parameters, pictures.",
                },
                {
                    "name": "predictions",
                    "description": "Predict all rows of a dataset, and download the result.",
                },
                {
                    "name": "open inference protocol",
                    "description": "Predict with clients of Triton and KServe: the protocol's version 2.",
                },
                {"name": "models", "description": "Register fits under a name, and predict with them."},
                {"name": "mlflow scoring", "description": "Predict as MLflow's scoring server does."},
                {"name": "service", "description": "Health and capabilities."},
            ],
        )
        _correct(document)
        exhibit(document)
        app.openapi_schema = document
    return app.openapi_schema


def _correct(document: dict[str, Any]) -> None:
    """Say what FastAPI cannot know: problems instead of its own errors, and a key that is needed only where one is set."""
    schemas_by_name = document["components"]["schemas"]
    schemas_by_name.update(_own_schemas())
    document["components"]["schemas"] = schemas_by_name = _overlapping(schemas_by_name)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas_by_name.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] = {
                status: answer
                for status, answer in operation["responses"].items()
                if "HTTPValidationError" not in str(answer)
            }
            if "security" in operation:
                operation["security"].append({})


def _own_schemas() -> dict[str, Any]:
    template = "#/components/schemas/{model}"
    sent = (
        JobSpec,
        SweepSpec,
        schemas.PredictionRequest,
        model_schemas.RegistrationRequest,
        model_schemas.AliasRequest,
        BatchPredictionOrder,
        InferRequest,
        ScoringRequest,
    )
    bodies: list[Any] = [(model, "validation") for model in sent]
    answers: list[Any] = [(problems.ProblemDetails, "serialization"), (schemas.EventMessage, "serialization")]
    _, found = models_json_schema([*bodies, *answers], ref_template=template)
    event = TypeAdapter(schemas.Event).json_schema(ref_template=template, mode="serialization")
    event_parts: dict[str, Any] = event.pop("$defs")
    own: dict[str, Any] = {**event_parts, **found["$defs"], "Event": event}
    return own


def _overlapping(node: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Let choices overlap that no field tells apart: numbers, say, are also numbers with gaps.

    Pydantic calls them `oneOf`, because its validators choose by the value; read literally, no such value is right.
    """
    if isinstance(node, list):
        return [_overlapping(one) for one in node]
    if not isinstance(node, dict):
        return node
    renamed = {"oneOf": "anyOf"} if "discriminator" not in node and "anyOf" not in node else {}
    return {renamed.get(name, name): _overlapping(one) for name, one in node.items()}
