"""Lists: pages that end early where what they show is large."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from fastapi import Response

from service.api.views import json_response

__all__ = ["fitting", "listed"]

PAGE_BYTES = 8 * 2**20
"""A page of jobs or sweeps with large inline data ends early: its specs together are not larger than this."""


class _Row(Protocol):
    seq: Any


Row = TypeVar("Row", bound=_Row)


def fitting(rows: Sequence[Row], sizes: Mapping[int, int]) -> Sequence[Row]:
    """Give the first rows whose specs together fit into a page; at least one.

    Args:
        rows: In the order of the list.
        sizes: Characters of each spec, by `seq`.
    """
    together = itertools.accumulate(sizes[row.seq] for row in rows)
    return rows[: max(1, sum(size <= PAGE_BYTES for size in together))]


def listed(data: Sequence[Mapping[str, Any]], *, has_more: bool) -> Response:
    """Answer with a page; whoever wants the next one sends the id of its last entry."""
    next_after = data[-1]["id"] if has_more else None
    return json_response({"object": "list", "data": data, "has_more": has_more, "next_after": next_after})
