"""What the service is, whether it lives, and what it can do."""

from collections.abc import Iterable
from datetime import timedelta

import sqlalchemy as sa
from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from service import __version__
from service.api.context import Context, Owner, Running
from service.api.meta_schemas import Capabilities, Health, Readiness
from service.api.metrics import CONTENT_TYPE_LATEST, exposition
from service.api.pictures import Plot
from service.api.problems import documented
from service.api.views import json_response
from service.db import now
from service.exceptions import DatabaseBusy
from service.jobs import workers
from service.jobs.orm import Worker
from service.spec.catalog import catalog

__all__ = ["router"]

router = APIRouter(tags=["service"])

SEEN_WITHIN = timedelta(seconds=30)
"""A worker seen so lately counts as alive, for people's eyes; leases are decided elsewhere."""


@router.get("/", include_in_schema=False)
async def home() -> RedirectResponse:
    """Lead whoever opens the address in a browser to the documentation."""
    return RedirectResponse("/docs")


@router.get("/healthz", operation_id="healthz", summary="Is the process alive?", response_model=Health)
async def healthz() -> Response:
    """Answer, which is the whole point."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Would a job be trained now?",
    responses={200: {"model": Readiness}, 503: {"model": Readiness, "description": "Not yet, and why."}},
)
def readyz(running: Running) -> Response:
    """Check the database and look for a warm worker."""
    checks = _checks(running)
    ready = all(state == "ok" for state in checks.values())
    return json_response({"ready": ready, "checks": checks}, 200 if ready else 503)


def _checks(running: Context) -> dict[str, str]:
    try:
        with running.database.read() as session:
            alive = _alive(workers.listed(session))
    except (DatabaseBusy, sa.exc.SQLAlchemyError):
        return {"database": "not reachable", "workers": "unknown"}
    if not alive:
        return {"database": "ok", "workers": "none is running"}
    return {
        "database": "ok",
        "workers": "ok" if any(worker.warm for worker in alive) else "still warming up",
    }


def _alive(listed: Iterable[Worker]) -> list[Worker]:
    return [worker for worker in listed if now() - worker.seen_at < SEEN_WITHIN]


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text format."}
    },
)
def metrics(running: Running) -> Response:
    """Tell requests by route and status, jobs by state, and the workers' slots."""
    return Response(exposition(running.database), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/v1/capabilities",
    operation_id="get_capabilities",
    summary="List everything that a spec can name",
    responses={200: {"model": Capabilities}, **documented(401)},
)
def capabilities(running: Running, _owner: Owner) -> Response:
    """List models, layers, losses, optimizers, schedulers and all else by name, each with the JSON Schema of its parameters; and the limits of a job."""
    with running.database.read() as session:
        devices = {
            name for worker in _alive(workers.listed(session)) for name in worker.about.get("devices", [])
        }
    return json_response(
        {
            "object": "capabilities",
            "version": __version__,
            **catalog(),
            "plots": list(Plot),
            "devices": sorted(devices),
            "limits": running.settings.limits.model_dump(),
        }
    )
