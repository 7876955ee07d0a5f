"""Who is dead: heartbeats aged by the observer's own clock, so that no wall clock can take a job away."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["LeaseWatch"]


@dataclass(frozen=True, slots=True)
class _Sighting:
    beat: int
    at: float


class LeaseWatch:
    """Remembers when each worker's heartbeat counter was last seen to change."""

    def __init__(self, *, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with no sightings: nobody is taken for dead before a whole lease was watched.

        Args:
            lease_seconds: How long a counter may stand still.
            clock: Seconds that only go up.
        """
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._looked = clock()
        self._watched = 0.0
        self._seen: dict[str, _Sighting] = {}

    def dead(self, beats: Mapping[str, int]) -> set[str]:
        """Give the workers whose counter has stood still for longer than a lease.

        Args:
            beats: The counter of each known worker, as read now.
        """
        at = self._watch()
        self._seen = {worker: self._sighting(worker, beat, at) for worker, beat in beats.items()}
        return {worker for worker, seen in self._seen.items() if at - seen.at > self._lease_seconds}

    def _watch(self) -> float:
        """Tell for how long this observer has watched.

        Of a long time without a look only half a lease counts: while the database was out of reach
        nobody could beat, and whoever looks first afterwards must not take all others for dead.
        """
        at = self._clock()
        self._watched += min(at - self._looked, self._lease_seconds / 2)
        self._looked = at
        return self._watched

    def _sighting(self, worker: str, beat: int, at: float) -> _Sighting:
        before = self._seen.get(worker)
        return before if before is not None and before.beat == beat else _Sighting(beat, at)
