"""Waiting for a job's news without asking the database again and again."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

from service.doorbell import UNDER_WAY, Listener

__all__ = ["Changes", "News"]


class Changes:
    """Wakes whoever waits for a job when the doorbell names it, and everybody when the service stops."""

    def __init__(self, *, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._waiting: defaultdict[str, set[News]] = defaultdict(set)
        self.stopping = False

    @contextlib.asynccontextmanager
    async def hearing(self, listener: Listener) -> AsyncIterator[None]:
        """Listen to the doorbell while the block runs."""
        loop = asyncio.get_running_loop()
        loop.add_reader(listener, lambda: self._wake(listener.messages()))
        try:
            yield
        finally:
            loop.remove_reader(listener)

    def stop(self) -> None:
        """Let all waiting end now: the service is going away."""
        self.stopping = True
        self._wake(set(self._waiting))

    @contextlib.contextmanager
    def of(self, job_id: str, *, end_only: bool = False) -> Iterator["News"]:
        """Watch one job. What happens after this call is not missed, so look at the job after it.

        Args:
            job_id: The job.
            end_only: Sleep through its progress.
        """
        news = News(poll_seconds=self._poll_seconds, end_only=end_only)
        self._waiting[job_id].add(news)
        try:
            yield news
        finally:
            self._waiting[job_id].discard(news)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _wake(self, messages: set[str]) -> None:
        for message in messages:
            under_way = message.endswith(UNDER_WAY)
            for news in self._waiting.get(message.removesuffix(UNDER_WAY), ()):
                if not (under_way and news.end_only):
                    news.wake()


class News:
    """What a waiter holds: wakes at news of its job, or after the polling time in case a ring was lost."""

    def __init__(self, *, poll_seconds: float, end_only: bool) -> None:
        self.end_only = end_only
        self._event = asyncio.Event()
        self._poll_seconds = poll_seconds

    def wake(self) -> None:
        """Let the waiter look."""
        self._event.set()

    async def wait(self, until: float | None = None) -> None:
        """Wait for news, but no longer than the polling time, nor than to the moment `until` on the monotonic clock."""
        timeout = self._poll_seconds if until is None else min(self._poll_seconds, until - time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), max(0.0, timeout))
        self._event.clear()
