"""What was found out a moment ago, so that a busy name does not cost a query each time."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Remembers answers for a moment, for one event loop.

    Whoever asks for the same at the same time waits for one search. Who asks for something that is half forgotten
    has it looked up again beside the answer, so that what is asked for all the time is never waited for. An error
    is not remembered.
    """

    def __init__(
        self,
        *,
        seconds: float,
        size: int,
        lasts: Callable[[Value], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without answers.

        Args:
            seconds: An answer is given for so long after the moment at which it began to be looked for.
            size: Answers that are remembered at most.
            lasts: Tells whether an answer may be remembered at all.
            clock: Tells the time.
        """
        self._seconds, self._size, self._lasts, self._clock = seconds, size, lasts, clock
        self._found: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._searches: dict[Key, asyncio.Task[Value]] = {}
        self._age = 0

    def known(self, key: Key, find: Callable[[], Awaitable[Value]]) -> Value | None:
        """Give an answer that is still remembered; None where there is none."""
        entry = self._found.get(key)
        if entry is None:
            return None
        age = self._clock() - entry[0]
        if age >= self._seconds:
            return None
        if age >= self._seconds / 2 and key not in self._searches:
            self._search(key, find)
        return entry[1]

    async def get(self, key: Key, find: Callable[[], Awaitable[Value]]) -> Value:
        """Give an answer, looking for it if it is not remembered; raises whatever `find` raises."""
        known = self.known(key, find)
        return await self.anew(key, find) if known is None else known

    async def anew(self, key: Key, find: Callable[[], Awaitable[Value]]) -> Value:
        """Look for an answer, together with all who do so at this moment."""
        search = self._searches.get(key) or self._search(key, find)
        # Who asked first may go away: the others still wait.
        return await asyncio.shield(search)

    def forget(self) -> None:
        """Forget everything, also what is being looked for at this moment. Any thread may call it."""
        self._age += 1
        self._searches.clear()
        self._found.clear()

    def _search(self, key: Key, find: Callable[[], Awaitable[Value]]) -> asyncio.Task[Value]:
        search = self._searches[key] = asyncio.get_running_loop().create_task(self._searched(key, find))
        search.add_done_callback(_looked_at)
        return search

    async def _searched(self, key: Key, find: Callable[[], Awaitable[Value]]) -> Value:
        # The time is taken before: what changes meanwhile is seen soon enough.
        started, age = self._clock(), self._age
        try:
            value = await find()
        except BaseException:
            self._found.pop(key, None)
            raise
        finally:
            if self._searches.get(key) is asyncio.current_task():
                self._searches.pop(key, None)
        if self._lasts(value):
            self._keep(key, started, value)
        # Looked at afterwards: whoever makes everything forgotten at this moment is heard in any case.
        if age != self._age:
            self._found.pop(key, None)
        return value

    def _keep(self, key: Key, started: float, value: Value) -> None:
        self._found.pop(key, None)
        self._found[key] = started, value
        while len(self._found) > self._size:
            self._found.pop(next(iter(self._found)), None)


def _looked_at(search: "asyncio.Task[Value]") -> None:
    """Take note of an error that nobody waits for any more: asyncio would complain of it."""
    with contextlib.suppress(asyncio.CancelledError):
        search.exception()
