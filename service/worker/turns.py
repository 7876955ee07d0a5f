"""Whose turn it is: a training that has held its slot for long gives it up to who has waited for long."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.jobs.attempts import JobRef
from service.jobs.queue import InLine

__all__ = ["Turns"]


@dataclass(frozen=True, slots=True)
class _Held:
    priority: int
    since: float


class Turns:
    """Watches what this worker's slots are busy with, and the first of the queue.

    It ages both by its own clock, so that no wall clock takes a place away: whoever is first is taken to have waited
    since he was first seen there.
    """

    def __init__(self, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with idle slots and an empty queue.

        Args:
            seconds: So long a job may hold its slot while another waits, and be the first of the queue while others
                hold theirs; 0 lets every job run to its end.
            clock: Seconds that only go up.
        """
        self._seconds = seconds
        self._clock = clock
        self._held: dict[JobRef, _Held] = {}
        self._first: str | None = None
        self._first_since = 0.0

    def begin(self, ref: JobRef, *, priority: int) -> None:
        """Note that an attempt has got a slot."""
        self._held[ref] = _Held(priority, self._clock())

    def end(self, ref: JobRef) -> None:
        """Note that an attempt has left its slot, or has been asked to."""
        self._held.pop(ref, None)

    @property
    def is_watching(self) -> bool:
        """Whether it matters who is first in the queue."""
        return self._seconds > 0 and bool(self._held)

    def who_gives_way(self, first: InLine | None) -> JobRef | None:
        """Tell who is to give his slot up now; each is told once, and the next not before the same time has gone by.

        Args:
            first: Of the queue, at this moment.
        """
        now = self._clock()
        if first is None or first.id != self._first:
            self._first, self._first_since = first and first.id, now
        if first is None or now - self._first_since <= self._seconds:
            return None
        ref = self._longest(now, first.priority)
        if ref is not None:
            self._first_since = now
        return ref

    def _longest(self, now: float, priority: int) -> JobRef | None:
        """Find the attempt that has held its slot for longest, and for too long; none of a higher priority."""
        held: Iterable[tuple[float, JobRef]] = (
            (one.since, ref)
            for ref, one in self._held.items()
            if one.priority <= priority and now - one.since > self._seconds
        )
        return min(held, key=lambda one: one[0], default=(0.0, None))[1]
