"""The rows of a dataset, as they are stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from service.api.context import Accept, Owner, Running
from service.api.datasets import store_of
from service.api.negotiation import CSV, NPZ, negotiate
from service.api.problems import documented
from service.datasets import service
from service.exceptions import InvalidRequest, NotAcceptable, Problem
from service.spec.columns import did_you_mean
from service.tables.files import open_dataset
from service.tables.frame import Frame
from service.tables.writing import as_csv, as_npz

__all__ = ["router"]

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_WRITERS: Mapping[str, Callable[[Frame, Sequence[str]], Iterator[bytes]]] = {NPZ: as_npz, CSV: as_csv}
_SUFFIXES = {NPZ: "npz", CSV: "csv"}


@router.get(
    "/{dataset_id}/content",
    operation_id="get_dataset_content",
    summary="Download the rows of a dataset",
    response_class=Response,
    responses={
        200: {
            "content": {
                NPZ: {"schema": {"type": "string", "format": "binary"}},
                CSV: {"schema": {"type": "string"}},
            },
            "description": "The columns.",
        },
        **documented(401, 404, 406, 422),
    },
)
def content(
    running: Running,
    owner: Owner,
    dataset_id: str,
    *,
    column: Annotated[
        list[str],
        Query(
            default_factory=list,
            max_length=1000,
            description="Only this column; repeatable. All when left out.",
        ),
    ],
    accept: Accept = None,
) -> Response:
    """Stream the columns as they were read: an npz file, or CSV. Columns of free text are not stored, and left out."""
    media = negotiate(accept, (NPZ, CSV))
    with running.database.read() as session:
        digest = service.get(session, dataset_id, owner=owner).digest
    frame = open_dataset(store_of(running).folder(digest))
    names = _chosen(frame, column)
    if media == CSV and any(frame.schema.by_name[name].shape for name in names):
        raise NotAcceptable("CSV has no room for arrays.", hint=f"Send Accept: {NPZ}.")
    headers = {
        "Content-Disposition": f'attachment; filename="{dataset_id}.{_SUFFIXES[media]}"',
        "ETag": f'"{digest}"',
    }
    return StreamingResponse(_WRITERS[media](frame, names), media_type=media, headers=headers)


def _chosen(frame: Frame, wanted: Sequence[str]) -> list[str]:
    """Give the names of the columns, each once.

    Raises:
        InvalidRequest: There is no such column, or its values are not stored.
    """
    unknown = [name for name in wanted if name not in frame.arrays]
    if unknown:
        problems = [
            Problem(
                None,
                "unknown_column",
                f"The dataset has no column `{name[:80]}` of numbers, categories or arrays.",
                did_you_mean(name[:80], frame.arrays),
                "column",
            )
            for name in unknown[:20]
        ]
        raise InvalidRequest(problems)
    return list(dict.fromkeys(wanted)) or list(frame.arrays)
