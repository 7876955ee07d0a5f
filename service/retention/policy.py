"""Which datasets may go. No database and no files here: rules alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Candidate", "unused"]

GRACE_SECONDS = 3600.0
"""A dataset that was uploaded or used so lately stays even when there is no room: a job may be about to name it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dataset and its last use.

    Attributes:
        seq: Names the row.
        digest: Names the files, which several rows may share.
        size: Bytes of the files.
        last_use: When it was uploaded, or the last job that trained on it ended, in seconds since 1970;
            None while one has not ended.
    """

    seq: int
    digest: str
    size: int
    last_use: float | None


def unused(candidates: Iterable[Candidate], *, at: float, max_idle: float, max_bytes: int) -> list[int]:
    """Choose the datasets that may go.

    Args:
        candidates: All datasets of all owners.
        at: The present, in seconds since 1970.
        max_idle: Seconds without use after which one goes; 0: being idle is no reason.
        max_bytes: While all files together are larger, those go that were unused for longest; 0: size is no reason.

    Returns:
        Their `seq`.
    """
    everything = list(candidates)
    idle = [one for one in everything if max_idle and _idle_for(one, at) > max_idle]
    left = [one for one in everything if one not in idle]
    return [one.seq for one in (*idle, *(_beyond(left, at, max_bytes) if max_bytes else ()))]


def _idle_for(one: Candidate, at: float) -> float:
    return 0.0 if one.last_use is None else at - one.last_use


def _beyond(candidates: Sequence[Candidate], at: float, max_bytes: int) -> list[Candidate]:
    """Choose until the rest fits. Files go with the last row that names them, so rows of one digest go together."""
    groups: dict[str, list[Candidate]] = {}
    for one in candidates:
        groups.setdefault(one.digest, []).append(one)
    total = sum(group[0].size for group in groups.values())
    chosen: list[Candidate] = []
    for group in sorted(groups.values(), key=lambda rows: _group_idle_for(rows, at), reverse=True):
        if total <= max_bytes or _group_idle_for(group, at) <= GRACE_SECONDS:
            break
        chosen += group
        total -= group[0].size
    return chosen


def _group_idle_for(group: Iterable[Candidate], at: float) -> float:
    return min(_idle_for(one, at) for one in group)
