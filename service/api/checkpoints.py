"""A job's checkpoints: which there are, and their files."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from service.api.context import Owner, Running
from service.api.negotiation import SAFETENSORS
from service.api.problems import documented
from service.api.schemas import CheckpointList
from service.api.views import checkpoint_view, json_response
from service.jobs import service
from service.storage.checkpoints import CheckpointStore

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["results"])


@router.get(
    "/{job_id}/checkpoints",
    operation_id="list_checkpoints",
    summary="List the checkpoints of a job",
    responses={200: {"model": CheckpointList}, **documented(401, 404)},
)
def checkpoints(running: Running, owner: Owner, job_id: str) -> Response:
    """List the points from which the job can go on, the newest first; a job that has ended has none."""
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        data = [checkpoint_view(job, row) for row in service.checkpoints_of(session, job)]
    return json_response({"object": "list", "data": data, "has_more": False, "next_after": None})


@router.get(
    "/{job_id}/checkpoints/{number}",
    operation_id="get_checkpoint",
    summary="Download a checkpoint",
    response_class=Response,
    responses={
        200: {
            "content": {SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}},
            "description": "The file: tensors by name, and all else as JSON in its metadata.",
        },
        **documented(401, 404, 422),
    },
)
def checkpoint(
    running: Running,
    owner: Owner,
    job_id: str,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the checkpoint.")],
) -> Response:
    """Give the file of a checkpoint, as the training would read it."""
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        row = service.checkpoint_of(session, job, number)
    settings = running.settings
    store = CheckpointStore(settings.checkpoints_dir, min_free_bytes=settings.min_free_bytes)
    data = store.read(row.path, row.digest)
    name = f'attachment; filename="{job_id}-{number}.safetensors"'
    headers = {"Content-Disposition": name, "ETag": f'"{row.digest}"'}
    return Response(data, media_type=SAFETENSORS, headers=headers)
