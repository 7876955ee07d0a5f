"""The models of a job with groups, as a table: JSON by pages, CSV or Arrow as a whole."""

import csv
import io
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Response

from service.api.context import Accept, Owner, Running
from service.api.group_schemas import GroupList
from service.api.negotiation import ARROW, CSV, JSON, negotiate
from service.api.problems import documented
from service.api.views import json_response
from service.exceptions import InvalidRequest, NoGroups, Problem
from service.jobs import repository, service
from service.spec.job import JobSpec

if TYPE_CHECKING:
    from service.training.groups.models import GroupModels

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["results"])

PAGE = 100
MAX_PAGE = 1000


class GroupStatus(StrEnum):
    """What became of a group."""

    SUCCEEDED = "succeeded"
    """It has a model."""
    FAILED = "failed"
    """It could not be trained on."""
    SKIPPED = "skipped"
    """Its turn had not come when the job was ended before its time."""


@router.get(
    "/{job_id}/groups",
    operation_id="get_groups",
    summary="Get the models of all groups",
    responses={
        200: {
            "model": GroupList,
            "content": {
                CSV: {"schema": {"type": "string"}},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
            "description": "The groups.",
        },
        **documented(401, 404, 406, 409, 422),
    },
)
def groups(  # noqa: PLR0913 - one argument for each query parameter
    running: Running,
    owner: Owner,
    job_id: str,
    *,
    limit: Annotated[
        int | None,
        Query(ge=1, le=MAX_PAGE, description="Groups in one page; left out, 100 in JSON and all else."),
    ] = None,
    after: Annotated[str | None, Query(description="`next_after` of the page before.")] = None,
    status: Annotated[GroupStatus | None, Query(description="Only these groups.")] = None,
    group: Annotated[str | None, Query(description="Only this group.")] = None,
    accept: Accept = None,
) -> Response:
    """Give what became of each group: rows, losses, and a linear model's coefficients in raw units."""
    media = negotiate(accept, (JSON, CSV, ARROW))
    with running.database.read() as session:
        job = service.get(session, job_id, owner=owner)
        spec = JobSpec.from_text(repository.spec_text(session, [job.seq])[job.seq])
        if spec.data.group_by is None:
            raise NoGroups
        stored = service.parameters_of(session, job).data

    from service.training.groups.models import GroupModels
    from service.training.groups.table import columns_of, records_of

    models = GroupModels.from_bytes(stored)
    chosen, has_more = _page(_chosen(models, status, group), _place(after), limit, is_json=media == JSON)
    if media == JSON:
        next_after = str(chosen[-1]) if has_more else None
        data = records_of(models, spec, chosen)
        return json_response({"object": "list", "data": data, "has_more": has_more, "next_after": next_after})
    columns = columns_of(models, spec, chosen)
    return Response(_WRITERS[media](columns), media_type=media)


def _chosen(models: "GroupModels", status: GroupStatus | None, group: str | None) -> list[int]:
    from service.training.groups.table import status_of

    return [
        number
        for number, label in enumerate(models.labels)
        if (group is None or str(label) == group) and (status is None or status_of(models, number) == status)
    ]


def _place(after: str | None) -> int:
    """Read a cursor: the number of the last group of the page before; -1 before the first page."""
    if after is None:
        return -1
    if not after.isdecimal() or len(after) > len(str(2**31)):
        hint = "Send `next_after` of the page before."
        message = f"`{after[:80]}` is no cursor of this list."
        raise InvalidRequest([Problem(None, "unknown_cursor", message, hint, "after")])
    return int(after)


def _page(groups: Sequence[int], after: int, limit: int | None, *, is_json: bool) -> tuple[list[int], bool]:
    left = [group for group in groups if group > after]
    count = limit or (PAGE if is_json else len(left))
    return left[:count], len(left) > count


def _as_csv(columns: Mapping[str, Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(
        ["" if value is None else value for value in row] for row in zip(*columns.values(), strict=True)
    )
    return text.getvalue().encode()


def _as_arrow(columns: Mapping[str, Sequence[Any]]) -> bytes:
    import pyarrow as pa

    texts = {"status", "stop_reason", "error_code", "error_message"}
    usual = {name: pa.string() for name in texts} | {
        f"{part}_loss": pa.float64() for part in ("train", "dev", "test")
    }
    table = pa.table({name: pa.array(values, usual.get(name)) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


_WRITERS = {CSV: _as_csv, ARROW: _as_arrow}
