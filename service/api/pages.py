"""Lists: pages that end early where what they show is large."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from fastapi import Response

from service.api.views import json_response

__all__ = ["fitting", "listed"]

PAGE_BYTES = 8 * 2**20
"""A page of jobs or sweeps with large inline data ends early: its specs together are not larger than this."""


Row = TypeVar("Row")
Key = TypeVar("Key")


def fitting(
    rows: Sequence[Row], sizes: Mapping[Key, int], *, by: Callable[[Row], Key] = attrgetter("seq")
) -> Sequence[Row]:
    """Give the first rows whose specs together fit into a page; at least one.

    Args:
        rows: In the order of the list.
        sizes: Characters of each spec.
        by: Gives the key of a row's spec among the sizes.
    """
    together = itertools.accumulate(sizes[by(row)] for row in rows)
    return rows[: max(1, sum(size <= PAGE_BYTES for size in together))]


def listed(data: Sequence[Mapping[str, Any]], *, has_more: bool, by: str = "id") -> Response:
    """Answer with a page.

    Args:
        data: What it shows.
        has_more: Whether more follow.
        by: Whoever wants the next page sends this field of the last entry.
    """
    next_after = str(data[-1][by]) if has_more else None
    return json_response({"object": "list", "data": data, "has_more": has_more, "next_after": next_after})
