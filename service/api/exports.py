"""Exports of trained jobs and registered models: files for other programs, compared before they are handed out."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.api.context import Context, Owner, Running
from service.api.export_schemas import ExportList, ExportReport
from service.api.negotiation import JSON
from service.api.problems import documented
from service.api.views import json_response
from service.exceptions import ExportFailed, ExportNotAvailable, NoParameters, StateConflict
from service.exports.asking import Exporter, MakerFailed
from service.exports.formats import FORMATS, ExportFormat, reason_against
from service.exports.report import Exported
from service.exports.subject import Subject
from service.jobs import repository, service
from service.registry import service as registry

__all__ = ["router"]

logger = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1", tags=["results"])

LARGEST_DIFFERENCE, VERIFIED_ROWS = "Fitd-Largest-Difference", "Fitd-Verified-Rows"
_ERRORS = documented(401, 404, 409, 422, 503, 507)
_BYTES = {"type": "string", "format": "binary"}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            form.media_type: {"schema": {"type": "object"} if form.media_type == JSON else _BYTES}
            for form in FORMATS.values()
        },
        "description": "The file.",
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "SHA-256 of the file."},
            "Content-Disposition": {"schema": {"type": "string"}, "description": "A name for the file."},
            LARGEST_DIFFERENCE: {
                "schema": {"type": "number"},
                "description": "The largest difference from the service's own predictions; left out where none were made.",
            },
            VERIFIED_ROWS: {"schema": {"type": "integer"}, "description": "Rows that were compared."},
        },
    },
    **_ERRORS,
}
_LIST: dict[int | str, dict[str, Any]] = {200: {"model": ExportList}, **documented(401, 404, 422)}
_REPORT: dict[int | str, dict[str, Any]] = {200: {"model": ExportReport}, **_ERRORS}
Format = Annotated[ExportFormat, Path(description="The format.")]
Version = Annotated[
    str | None,
    Query(
        max_length=64,
        description="A number, an alias, or `latest`; left out: `champion` where there is one, else the newest.",
    ),
]
Find = Callable[[Session], Subject]
"""Looks up what is to be exported."""


# Of jobs.


@router.get(
    "/jobs/{job_id}/exports",
    operation_id="list_job_exports",
    summary="List the formats in which a job's model can be had",
    responses=_LIST,
)
def list_of_job(running: Running, owner: Owner, job_id: str) -> Response:
    """Tell of each format whether it can carry the model, and why not."""
    return _listed(running, _of_job(job_id, owner), base=f"/v1/jobs/{job_id}/exports")


@router.get(
    "/jobs/{job_id}/exports/{format}",
    operation_id="export_job",
    summary="Export a job's model",
    response_class=Response,
    responses=_FILE,
)
async def of_job(request: Request, running: Running, owner: Owner, job_id: str, format: Format) -> Response:  # noqa: A002 - the path's word
    """Give the model as a file: made and compared with the service's own predictions when it is first asked for."""
    return await _file(request, running, _of_job(job_id, owner), format)


@router.get(
    "/jobs/{job_id}/exports/{format}/report",
    operation_id="get_job_export_report",
    summary="Tell how an export of a job was verified",
    responses=_REPORT,
)
async def report_of_job(
    request: Request,
    running: Running,
    owner: Owner,
    job_id: str,
    format: Format,  # noqa: A002 - the path's word
) -> Response:
    """Tell what was compared and how large the largest difference is; the export is made if it is not there yet."""
    return await _report(request, running, _of_job(job_id, owner), format)


# Of registered models.


@router.get(
    "/models/{name}/exports",
    operation_id="list_model_exports",
    summary="List the formats in which a registered model can be had",
    responses=_LIST,
    tags=["models"],
)
def list_of_model(running: Running, owner: Owner, name: str, *, version: Version = None) -> Response:
    """Tell of each format whether it can carry the model, and why not."""
    query = "" if version is None else f"?{urlencode({'version': version})}"
    return _listed(running, _of_model(name, version, owner), base=f"/v1/models/{name}/exports", query=query)


@router.get(
    "/models/{name}/exports/{format}",
    operation_id="export_model",
    summary="Export a registered model",
    response_class=Response,
    responses=_FILE,
    tags=["models"],
)
async def of_model(
    request: Request,
    running: Running,
    owner: Owner,
    name: str,
    format: Format,  # noqa: A002 - the path's word
    *,
    version: Version = None,
) -> Response:
    """Give a version as a file: made and compared with the service's own predictions when it is first asked for."""
    return await _file(request, running, _of_model(name, version, owner), format)


@router.get(
    "/models/{name}/exports/{format}/report",
    operation_id="get_model_export_report",
    summary="Tell how an export of a registered model was verified",
    responses=_REPORT,
    tags=["models"],
)
async def report_of_model(
    request: Request,
    running: Running,
    owner: Owner,
    name: str,
    format: Format,  # noqa: A002 - the path's word
    *,
    version: Version = None,
) -> Response:
    """Tell what was compared and how large the largest difference is; the export is made if it is not there yet."""
    return await _report(request, running, _of_model(name, version, owner), format)


# What both doors lead to.


def _of_job(job_id: str, owner: str) -> Find:
    def find(session: Session) -> Subject:
        job = service.get(session, job_id, owner=owner)
        stored = service.parameters_of(session, job)
        return Subject(
            id=job.id,
            title=job.id,
            job_id=job.id,
            spec_text=repository.spec_text(session, [job.seq])[job.seq],
            parameters=stored.data,
            parameters_path=f"/v1/jobs/{job.id}/parameters",
            engine=(job.engine or {}).get("name"),
            device=job.device,
            environment=job.environment,
            stop_reason=job.stop_reason,
            result=job.result,
        )

    return find


def _of_model(name: str, version: str | None, owner: str) -> Find:
    def find(session: Session) -> Subject:
        found = registry.find_version(session, name, version=version, owner=owner)
        artifact = registry.artifact_of(session, found.digest)
        lineage = found.lineage
        environment = lineage.get("environment") or {}
        return Subject(
            id=found.id,
            title=f"{name}-{found.number}",
            job_id=found.job_id,
            spec_text=artifact.spec_text,
            parameters=artifact.parameters,
            parameters_path=f"/v1/models/{name}/exports/safetensors?version={found.number}",
            engine=(lineage.get("engine") or {}).get("name"),
            device=environment.get("device"),
            environment=environment,
            stop_reason=lineage.get("stop_reason"),
            result=found.result,
            is_job_there=found.job_id in repository.still_there(session, [found.job_id]),
        )

    return find


def _listed(running: Context, find: Find, *, base: str, query: str = "") -> Response:
    try:
        with running.database.read() as session:
            subject = find(session)
        spec = subject.spec()
        reasons = {name: reason_against(name, subject, spec) for name in ExportFormat}
    except (StateConflict, NoParameters) as error:
        reasons = dict.fromkeys(ExportFormat, error.message)
    data = [
        {
            "object": "export",
            "format": name,
            "media_type": form.media_type,
            "about": form.about,
            "available": reasons[name] is None,
            "reason": reasons[name],
            "links": {"file": f"{base}/{name}{query}", "report": f"{base}/{name}/report{query}"},
        }
        for name, form in FORMATS.items()
    ]
    return json_response({"object": "list", "data": data, "has_more": False, "next_after": None})


async def _file(request: Request, running: Context, find: Find, name: ExportFormat) -> Response:
    title, exported = await _exported(request, running, find, name)
    form, report = FORMATS[name], exported.report
    headers = {
        "Content-Disposition": f'attachment; filename="{title}.{form.suffix}"',
        "ETag": f'"{report.digest}"',
        VERIFIED_ROWS: str(report.rows),
    }
    if report.largest_difference is not None:
        headers[LARGEST_DIFFERENCE] = repr(report.largest_difference)
    return Response(exported.data, media_type=form.media_type, headers=headers)


async def _report(request: Request, running: Context, find: Find, name: ExportFormat) -> Response:
    _, exported = await _exported(request, running, find, name)
    return json_response({"object": "export_report", **exported.report.model_dump()})


async def _exported(
    request: Request, running: Context, find: Find, name: ExportFormat
) -> tuple[str, Exported]:
    """Give the title of what is exported, and the export."""
    if not FORMATS[name].in_child:
        url = str(request.base_url).rstrip("/")
        return await run_in_threadpool(_made_here, running, find, name, url)
    exporter: Exporter = request.app.state.exporter
    try:
        return await exporter.get(name, lambda: _available(running, find, name))
    except MakerFailed as error:
        logger.error(  # noqa: TRY400 - the report has the traceback
            "an export could not be made", format=name, path=request.url.path, report=error.report
        )
        hint = "The service's log has the details: please report it. Another format may help meanwhile."
        raise ExportFailed(
            f"The `{name}` export failed for a reason that was not foreseen.", hint=hint
        ) from None


def _available(running: Context, find: Find, name: ExportFormat) -> Subject:
    """Look up what is to be exported.

    Raises:
        ExportNotAvailable: The format cannot carry it.
    """
    with running.database.read() as session:
        subject = find(session)
    reason = reason_against(name, subject, subject.spec())
    if reason is not None:
        raise ExportNotAvailable(reason)
    return subject


def _made_here(running: Context, find: Find, name: ExportFormat, url: str) -> tuple[str, Exported]:
    from service.exports.making import made_here

    subject = _available(running, find, name)
    data, report = made_here(name, subject, datasets=running.settings.datasets_dir, url=url)
    return subject.title, Exported(data=data, report=report)
