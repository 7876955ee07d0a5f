"""Datasets: upload, list, describe, look into, delete."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from service.api.context import Context, Owner, Running
from service.api.dataset_schemas import Dataset as DatasetOut
from service.api.dataset_schemas import DatasetList, Preview
from service.api.dataset_views import dataset_view, preview_rows, summary_view
from service.api.pages import listed
from service.api.problems import BodyTooLarge, UnsupportedMediaType, documented
from service.api.views import json_response
from service.datasets import repository, service
from service.datasets.orm import Dataset
from service.exceptions import DatasetInUse, DatasetNotFound, InvalidRequest, Problem
from service.jobs.uses import job_that_needs
from service.predictions.expiry import prediction_that_needs
from service.spec.schema import Schema
from service.sweeps.expiry import sweep_that_needs
from service.tables.disk import full_disk_told
from service.tables.files import open_dataset, read_manifest
from service.tables.orders import Budget, Delimiter, Format, Header, ReadOptions, ReadOrder, digest_of
from service.tables.parsing import ReaderFailed, read_in_child
from service.tables.sources import unreadable
from service.tables.store import DatasetStore, Workspace
from service.tables.unpacking import check_room

__all__ = ["FORMATS", "Upload", "dataset_of", "receive", "router", "store_of", "sweep"]

logger = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

FORMATS: dict[str, Format] = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.arrow.file": "arrow",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-npy": "npy",
    "application/x-npz": "npz",
    "application/x-idx": "idx",
}
_ONLY_FOR: dict[str, tuple[Format, ...]] = {
    "header": ("csv",),
    "delimiter": ("csv",),
    "category": ("csv", "ndjson"),
    "column": ("npy", "idx"),
}
_CURL = "curl --data-binary @table.csv -H 'Content-Type: text/csv'"
_INSTEAD = {
    "": "",
    "application/x-www-form-urlencoded": f"curl sends this type unless told another: {_CURL}. ",
    "multipart/form-data": f"Send the file itself as the body, not as a form: {_CURL}. ",
}
_WRITE_BYTES = 2**20
_DATASET: dict[str, Any] = {"model": DatasetOut}
_EXAMPLES = {
    "text/csv": {"example": "x,color,y\n0.5,red,9.6\n0.7,blue,10.4\n"},
}
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Path of the dataset."}}


def store_of(running: Context) -> DatasetStore:
    """Give the folder of all datasets."""
    return DatasetStore(running.settings.datasets_dir)


def sweep(running: Context) -> None:
    """Remove what uploads left behind that ended with their process. Others may be uploading meanwhile."""
    store = store_of(running)
    with store.exclusive(), running.database.read() as session:
        swept = store.sweep(repository.digests(session))
    if swept:
        logger.info("removed leftovers of uploads", folders=swept)


@router.post(
    "",
    operation_id="upload_dataset",
    summary="Upload a dataset",
    status_code=201,
    responses={
        200: {**_DATASET, "description": "The same was uploaded before: this is it.", "headers": _LOCATION},
        201: {**_DATASET, "description": "The dataset.", "headers": _LOCATION},
        **documented(401, 404, 413, 415, 422, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file itself. Compressed with gzip it is unpacked.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}, **_EXAMPLES.get(kind, {})}
                for kind in FORMATS
            },
        }
    },
)
async def upload(  # noqa: PLR0913 - each is a query parameter
    request: Request,
    running: Running,
    owner: Owner,
    *,
    name: Annotated[str | None, Query(min_length=1, max_length=200, description="For people.")] = None,
    header: Annotated[Header, Query(description="CSV: whether the first line holds the names.")] = "auto",
    delimiter: Annotated[Delimiter, Query(description="CSV: what stands between two fields.")] = "auto",
    column: Annotated[
        str | None, Query(min_length=1, max_length=200, description="npy and IDX: name of the column.")
    ] = None,
    category: Annotated[
        list[str],
        Query(
            default_factory=list,
            max_length=100,
            description="CSV and JSON Lines: this column is text even if it looks like numbers; repeatable.",
        ),
    ],
    join: Annotated[
        str | None,
        Query(description="Id of a dataset with the same rows: the columns of both make a new dataset."),
    ] = None,
) -> Response:
    """Read a file into columns: the body is the file, its Content-Type says what it is."""
    options = ReadOptions(
        format=_format(request),
        header=header,
        delimiter=delimiter,
        column=column,
        categories=tuple(sorted(set(category))),
        gzip=_is_gzip(request),
    )
    _check_applicable(request, options.format)
    coming = Upload(running=running, owner=owner, name=name, options=options, join=join)
    with full_disk_told():
        try:
            return await _answer(request, coming)
        except ClientDisconnect:
            return Response(status_code=400)  # Nobody is there to read it.


def _format(request: Request) -> Format:
    """Tell the format by the Content-Type.

    Raises:
        UnsupportedMediaType: It is none that is read.
    """
    declared = request.headers.get("content-type", "").split(";", maxsplit=1)[0].strip().lower()
    if declared not in FORMATS:
        what = f"declared as {declared[:80]}" if declared else "sent without a Content-Type"
        known = ", ".join(FORMATS)
        instead = _INSTEAD.get(declared, f"For CSV: {_CURL}. ")
        raise UnsupportedMediaType(f"The body is {what}.", hint=f"{instead}Read are {known}.")
    return FORMATS[declared]


def _is_gzip(request: Request) -> bool:
    """Tell whether the sender compressed the body on its way.

    Raises:
        UnsupportedMediaType: It is compressed by other than gzip.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        message = f"The body is compressed with {encoding[:40]}, which is not read."
        raise UnsupportedMediaType(message, hint="Send it as it is, or compressed with gzip.")
    return encoding != "identity"


def _check_applicable(request: Request, kind: Format) -> None:
    """Refuse a parameter that would be ignored."""
    problems = [
        Problem(
            None,
            "not_applicable",
            f"`{name}` says nothing about {kind}.",
            f"It is for {' and '.join(_ONLY_FOR[name])}: leave it out.",
            name,
        )
        for name in _ONLY_FOR
        if name in request.query_params and kind not in _ONLY_FOR[name]
    ]
    if problems:
        raise InvalidRequest(problems)


@dataclass(frozen=True, slots=True)
class Upload:
    """What was asked for: whose dataset, how it is called, how it is read, what it is joined to."""

    running: Context
    owner: str
    name: str | None
    options: ReadOptions
    join: str | None


async def _answer(request: Request, coming: Upload) -> Response:
    """Receive the body, have it read unless the same was read before, and answer with the dataset."""
    base = await run_in_threadpool(_digest_of_base, coming) if coming.join else None
    async with contextmanager_in_threadpool(store_of(coming.running).workspace()) as workspace:
        sha256 = await receive(request, request.stream(), workspace, coming.running)
        dataset, schema, created = await dataset_of(request, coming, workspace, sha256=sha256, base=base)
    headers = {"Location": f"/v1/datasets/{dataset.id}"}
    return json_response(dataset_view(dataset, schema), 201 if created else 200, headers)


async def dataset_of(
    request: Request, coming: Upload, workspace: Workspace, *, sha256: str, base: str | None = None
) -> tuple[Dataset, Schema, bool]:
    """Make a dataset of an uploaded file, unless the same was read before.

    Args:
        request: Whose sender waits for it.
        coming: What was asked for.
        workspace: Where the file is.
        sha256: Of the file.
        base: Digest of the dataset to join.

    Returns:
        The dataset, its columns, and whether it is new.

    Raises:
        ClientDisconnect: Nobody waits any more.
        InvalidDataset: The file cannot be read as a table.
        DatasetTooLarge: It needs more than is allowed.
    """
    digest = digest_of(sha256, coming.options, join=base)
    found = (
        await run_in_threadpool(_register, coming, digest) if store_of(coming.running).has(digest) else None
    )
    if found is None:
        order = _order(coming, workspace, digest=digest, sha256=sha256)
        if not await _read(request, order):
            raise ClientDisconnect
        found = await run_in_threadpool(_publish, coming, order, base)
    return found


def _digest_of_base(coming: Upload) -> str:
    with coming.running.database.read() as session:
        return service.get(session, coming.join or "", owner=coming.owner).digest


async def receive(
    request: Request, chunks: AsyncIterator[bytes], workspace: Workspace, running: Context
) -> str:
    """Write a file to the disk as it comes, and give its SHA-256. No more than a megabyte is held.

    Args:
        request: It may say how large its body is.
        chunks: The file.
        workspace: Where it is written to.
        running: Says how large a file may be.

    Raises:
        BodyTooLarge: It has more bytes than an upload may have.
        OSError: The disk is full.
    """
    limit = running.settings.limits.max_upload_bytes
    declared = request.headers.get("content-length", "0")
    expected = int(declared) if declared.isdecimal() else 0
    if expected > limit:
        raise _too_large(limit)
    keep_free = running.settings.min_free_bytes
    await run_in_threadpool(check_room, workspace.root, expected, keep_free=keep_free)
    digest, size, held = hashlib.sha256(), 0, bytearray()
    with workspace.upload.open("wb") as file:

        def write(chunk: bytearray) -> None:
            check_room(workspace.root, len(chunk), keep_free=keep_free)
            digest.update(chunk)
            file.write(chunk)

        async for chunk in chunks:
            held += chunk
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            if len(held) >= _WRITE_BYTES:
                await run_in_threadpool(write, held)
                held = bytearray()
        await run_in_threadpool(write, held)
    return digest.hexdigest()


def _too_large(limit: int) -> BodyTooLarge:
    hint = (
        "Send fewer rows, or the table in a smaller format such as Parquet, or ask the operator to raise "
        "max_upload_bytes. It holds for the file as sent and as unpacked (GET /v1/capabilities tells all limits)."
    )
    return BodyTooLarge(f"The body is larger than {limit:,} bytes.", hint=hint)


def _order(coming: Upload, workspace: Workspace, *, digest: str, sha256: str) -> ReadOrder:
    settings = coming.running.settings
    budget = Budget(
        max_rows=settings.limits.max_rows,
        max_columns=_max_columns(coming.running),
        max_unpacked_bytes=settings.limits.max_upload_bytes,
        max_stored_bytes=settings.limits.max_dataset_bytes,
        keep_free_bytes=settings.min_free_bytes,
        memory_bytes=settings.parse_memory_bytes,
        seconds=settings.parse_seconds,
    )
    return ReadOrder(
        source=workspace.upload.resolve(),
        folder=workspace.columns.resolve(),
        digest=digest,
        sha256=sha256,
        options=coming.options,
        budget=budget,
    )


def _max_columns(running: Context) -> int:
    return running.settings.limits.max_features + 1  # The target.


async def _read(request: Request, order: ReadOrder) -> bool:
    """Have the file read by a process of its own, and say whether it was: False when the caller has gone."""
    async with request.app.state.parsing:
        try:
            return await read_in_child(order, gone=request.is_disconnected)
        except ReaderFailed as error:
            logger.error("a file could not be read", sha256=order.sha256, report=error.report)  # noqa: TRY400 - the report has the traceback
            hint = "The service's log has the details: please report it. Another format may help meanwhile."
            raise unreadable("The file cannot be read, for a reason that was not foreseen.", hint) from None


def _publish(coming: Upload, order: ReadOrder, base: str | None) -> tuple[Dataset, Schema, bool]:
    """Make what was read a dataset: the files in their place first, then the row that names them."""
    store = store_of(coming.running)
    with store.exclusive():
        if base is not None:
            if not store.has(base):
                raise DatasetNotFound("The dataset to join was deleted meanwhile.")
            store.join(order.folder, base, max_columns=_max_columns(coming.running))
        store.publish(order.folder, order.digest)
        return _registered(coming, store, order.digest)


def _register(coming: Upload, digest: str) -> tuple[Dataset, Schema, bool] | None:
    """Name a dataset whose files are there already; None when they have just been removed."""
    store = store_of(coming.running)
    with store.exclusive():
        return _registered(coming, store, digest) if store.has(digest) else None


def _registered(coming: Upload, store: DatasetStore, digest: str) -> tuple[Dataset, Schema, bool]:
    manifest = read_manifest(store.folder(digest))
    with coming.running.database.write() as session:
        dataset, created = service.register(session, manifest, owner=coming.owner, name=coming.name)
    return dataset, manifest.table, created


@router.get(
    "",
    operation_id="list_datasets",
    summary="List datasets, newest first",
    responses={200: {"model": DatasetList}, **documented(401, 422)},
)
def list_datasets(
    running: Running,
    owner: Owner,
    *,
    limit: Annotated[int, Query(ge=1, le=100, description="Datasets in one page.")] = 20,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
) -> Response:
    """List datasets by cursor, without their columns."""
    with running.database.read() as session:
        datasets, has_more = service.list_datasets(session, owner=owner, limit=limit, after=after)
    data = [summary_view(dataset) for dataset in datasets]
    return listed(data, has_more=has_more)


@router.get(
    "/{dataset_id}",
    operation_id="get_dataset",
    summary="Get a dataset",
    responses={200: _DATASET, **documented(401, 404, 422)},
)
def get(running: Running, owner: Owner, dataset_id: str) -> Response:
    """Describe a dataset with the figures of its columns."""
    with running.database.read() as session:
        dataset = service.get(session, dataset_id, owner=owner)
        schema, _ = service.schema_of(session, dataset_id, owner=owner)
    return json_response(dataset_view(dataset, schema))


@router.get(
    "/{dataset_id}/preview",
    operation_id="preview_dataset",
    summary="Look at the first rows of a dataset",
    responses={200: {"model": Preview}, **documented(401, 404, 422)},
)
def preview(
    running: Running,
    owner: Owner,
    dataset_id: str,
    *,
    rows: Annotated[int, Query(ge=1, le=100, description="How many rows.")] = 10,
) -> Response:
    """Give the first rows as they were read."""
    with running.database.read() as session:
        digest = service.get(session, dataset_id, owner=owner).digest
    frame = open_dataset(store_of(running).folder(digest))
    return json_response({"object": "preview", "dataset_id": dataset_id, "rows": preview_rows(frame, rows)})


@router.delete(
    "/{dataset_id}",
    operation_id="delete_dataset",
    summary="Delete a dataset that no job needs",
    status_code=204,
    responses={204: {"description": "The dataset is gone."}, **documented(401, 404, 409)},
)
def delete(running: Running, owner: Owner, dataset_id: str) -> Response:
    """Remove a dataset. Jobs that have ended keep their results."""
    store = store_of(running)
    with store.exclusive():
        with running.database.write() as session:
            unused = service.delete(session, service.get(session, dataset_id, owner=owner))
            # Asked after the row is gone: a job that is submitted at this moment was seen or will find no dataset.
            job_id = job_that_needs(session, dataset_id)
            if job_id is not None:
                hint = f"Wait for the job's end, or cancel it with POST /v1/jobs/{job_id}/cancel."
                raise DatasetInUse(f"The job {job_id} needs the dataset and has not ended.", hint=hint)
            sweep_id = sweep_that_needs(session, dataset_id)
            if sweep_id is not None:
                hint = f"Wait for the sweep's end, or cancel it with POST /v1/sweeps/{sweep_id}/cancel."
                raise DatasetInUse(f"The sweep {sweep_id} needs the dataset and has not ended.", hint=hint)
            prediction_id = prediction_that_needs(session, dataset_id)
            if prediction_id is not None:
                hint = f"Wait for its end, or cancel it with POST /v1/predictions/{prediction_id}/cancel."
                message = f"The prediction {prediction_id} needs the dataset and has not ended."
                raise DatasetInUse(message, hint=hint)
        if unused is not None:
            store.remove(unused)
    return Response(status_code=204)
