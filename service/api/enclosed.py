"""Jobs whose rows come beside the spec: a form with a part `spec` (JSON) and a part `data` (a file).

The file becomes a dataset, and the spec names it: what is stored is a spec as any other, which says by digest on
which rows it was trained.
"""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import orjson
from fastapi import Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool

from service.api import datasets
from service.api.bodies import too_large
from service.api.context import Context
from service.api.forms import Form, Part
from service.api.problems import UnsupportedMediaType
from service.exceptions import InvalidRequest, InvalidSpec, Problem
from service.jobs import service
from service.jobs.library import DatabaseLibrary
from service.jobs.service import Texts
from service.spec.intake import parse, read
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.spec.stored import StoredData
from service.tables.disk import full_disk_told
from service.tables.matrices import split_into_npz
from service.tables.orders import Format, ReadOptions, digest_of
from service.tables.store import Workspace

__all__ = ["Enclosed", "enclosed"]

_TO_COME = "ds_enclosed"
"""Stands for the dataset while the spec is checked that comes before it."""
_OWN_FIELDS = ("columns", "rows", "id", "digest")
_BEGINNINGS: dict[bytes, Format] = {
    b"\x93NUMPY": "npy",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"PAR1": "parquet",
    b"PK\x03\x04": "npz",
}
"""Of files whose type curl does not know."""
_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".parquet": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".idx": "idx",
}


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A submission whose rows came with it.

    Attributes:
        body: The spec, its data the dataset that was made of the rows.
        plan: Of the effective spec.
        texts: What is kept; its digest is that of the spec and of the rows as they were sent.
    """

    body: bytes
    plan: Plan
    texts: Texts


async def enclosed(request: Request, running: Context, owner: str, key: str | None) -> Enclosed | str:
    """Receive a spec and its rows.

    Args:
        request: With the form.
        running: The service.
        owner: Who sends it.
        key: The Idempotency-Key, if any.

    Returns:
        What is to be submitted; or the id of the job that the same was submitted for before, under the same key.

    Raises:
        InvalidRequest: The form is broken, or does not have the two parts in their order.
        InvalidSpec: With every problem of the spec.
        InvalidDataset: The file cannot be read as a table.
        IdempotencyConflict: The key was used for something else.
    """
    form = Form(request.stream(), request.headers.get("content-type", ""))
    with full_disk_told():
        async with contextmanager_in_threadpool(datasets.store_of(running).workspace()) as workspace:
            sent = await _spec_of(form, running.settings.limits.max_body_bytes)
            # Before megabytes of rows are waited for.
            spec = await run_in_threadpool(_checked, sent, running)
            part = await _expected(form, "data")
            sha256 = await datasets.receive(request, form.content(), workspace, running)
            await _nothing_more(form)
            kind = _kind(part, workspace)
            if kind == "npy":
                sha256 = await run_in_threadpool(_as_columns, workspace, spec)
            options = ReadOptions(format="npz" if kind == "npy" else kind)
            digest = _digest(sent, digest_of(sha256, options))
            known = await run_in_threadpool(_known, running, owner, key, digest)
            if known is not None:
                return known
            upload = datasets.Upload(running=running, owner=owner, name=spec.name, options=options, join=None)
            dataset, _, _ = await datasets.dataset_of(request, upload, workspace, sha256=sha256)
    return await run_in_threadpool(_planned, running, owner, _with_dataset(sent, dataset.id), digest)


async def _spec_of(form: Form, max_bytes: int) -> bytes:
    await _expected(form, "spec")
    held = bytearray()
    async for piece in form.content():
        held += piece
        if len(held) > max_bytes:
            raise too_large(max_bytes)
    return bytes(held)


async def _expected(form: Form, name: str) -> Part:
    part = await form.part()
    if part is None or part.name != name:
        what = "There is no part" if part is None else f"The part `{part.name[:80]}` stands in the place of"
        raise _refused(f"{what} `{name}`.")
    return part


async def _nothing_more(form: Form) -> None:
    part = await form.part()
    if part is not None:
        raise _refused(f"There is a part `{part.name[:80]}` after `data`.")


def _refused(message: str) -> InvalidRequest:
    hint = "Send two parts, the spec first: curl -F spec=@spec.json -F data=@rows.arrow."
    return InvalidRequest([Problem(None, "invalid_form", message, hint)])


def _checked(sent: bytes, running: Context) -> JobSpec:
    """Check all of a spec that can be checked before its rows are there."""
    return read(_with_dataset(sent, _TO_COME), running.settings.limits)


def _with_dataset(sent: bytes, dataset_id: str) -> bytes:
    """Put a dataset into a spec that leaves the rows out.

    Raises:
        InvalidSpec: It is no JSON object, or does not leave them out.
    """
    spec = _object(sent)
    data = spec.get("data", {})
    if isinstance(data, dict):
        _check_left_out(data)
        spec["data"] = {**data, "type": "dataset", "id": dataset_id}
    return orjson.dumps(spec)


def _object(sent: bytes) -> dict[str, Any]:
    try:
        spec = orjson.loads(sent)
    except orjson.JSONDecodeError as error:
        message = f"The part `spec` is not valid JSON: {error}."
        hint = "JSON wants double quotes around names, no comma before } or ], and no NaN."
        raise InvalidSpec([Problem("", "invalid_json", message, hint)]) from None
    if not isinstance(spec, dict):
        message = "The part `spec` is no JSON object."
        raise InvalidSpec([Problem("", "wrong_type", message, "Send an object, in braces.")])
    return spec


def _check_left_out(data: dict[str, Any]) -> None:
    found = [
        Problem(
            f"/data/{name}",
            "incompatible_fields",
            "The rows come in the part `data`.",
            "Leave the field out.",
        )
        for name in _OWN_FIELDS
        if name in data
    ]
    if data.get("type", "inline") not in ("inline", "dataset"):
        message = "The rows come in the part `data`."
        found.append(
            Problem("/data/type", "incompatible_fields", message, "Leave the field out, or say `inline`.")
        )
    if found:
        raise InvalidSpec(found)


def _kind(part: Part, workspace: Workspace) -> Format:
    """Tell the format of the file: by its type, its first bytes, or how its name ends.

    Raises:
        UnsupportedMediaType: None of them says it.
    """
    if part.media in datasets.FORMATS:
        return datasets.FORMATS[part.media]
    with workspace.upload.open("rb") as file:
        beginning = file.read(8)
    ending = PurePosixPath(part.filename.lower()).suffix
    found = next((kind for start, kind in _BEGINNINGS.items() if beginning.startswith(start)), None)
    found = found or _ENDINGS.get(ending)
    if found is None:
        declared = f"declared as {part.media[:80]}" if part.media else "sent without a type"
        hint = f"Say it: curl -F 'data=@rows.csv;type=text/csv'. Read are {', '.join(datasets.FORMATS)}."
        raise UnsupportedMediaType(f"The part `data` is {declared}.", hint=hint)
    return found


def _as_columns(workspace: Workspace, spec: JobSpec) -> str:
    """Turn an npy file into one with a column for each name, and give its SHA-256."""
    split = workspace.root / "split"
    split_into_npz(workspace.upload, split, names=_names(spec))
    split.replace(workspace.upload)
    with workspace.upload.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(spec: JobSpec) -> tuple[str, ...]:
    """List the columns that a spec names: those to predict from, those to predict, and then the others."""
    data = spec.data
    if not isinstance(data, StoredData):
        return ()
    inputs = (name for names in data.roles().values() for name in names)
    lengths = (data.lengths.input, data.lengths.target) if data.lengths else ()
    weight = (data.weight,) if data.weight else ()
    return tuple(dict.fromkeys((*inputs, *data.target_names, *weight, *lengths, *spec.evaluation.reserved)))


def _digest(sent: bytes, dataset: str) -> str:
    """Sum up what was sent. The boundary between the parts is another each time, and says nothing."""
    spec = hashlib.sha256(sent).hexdigest()
    return hashlib.sha256(f"fitd form 1\n{spec}\n{dataset}".encode()).hexdigest()


def _known(running: Context, owner: str, key: str | None, digest: str) -> str | None:
    if key is None:
        return None
    with running.database.read() as session:
        job = service.repeated(session, owner=owner, key=key, digest=digest)
        return None if job is None else job.id


def _planned(running: Context, owner: str, body: bytes, digest: str) -> Enclosed:
    with running.database.read() as session:
        plan = parse(body, running.settings.limits, DatabaseLibrary(session, owner))
    return Enclosed(body, plan, Texts.of(plan, body, digest=digest))
