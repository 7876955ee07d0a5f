"""Answers are remembered for a moment, searched for once, and forgotten when asked."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.api.recent import Recent


class Desk:
    """Looks things up; counts how often, and keeps everybody waiting until it is told to answer."""

    def __init__(self) -> None:
        self.at = 0.0
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.answer = "first"
        self.recent: Recent[str, str] = Recent(seconds=1.0, size=2, clock=lambda: self.at)

    def find(self, key: str) -> Callable[[], Awaitable[str]]:
        async def find() -> str:
            self.asked.append(key)
            answer = self.answer
            await self.open.wait()
            if answer == "error":
                raise LookupError(key)
            return f"{answer} {key}"

        return find

    async def get(self, key: str = "a") -> str:
        return await self.recent.get(key, self.find(key))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_an_answer_is_given_again_until_it_is_old() -> None:
    async def story() -> None:
        desk = Desk()
        assert [await desk.get(), await desk.get()] == ["first a", "first a"]
        assert desk.asked == ["a"]
        desk.at, desk.answer = 1.0, "second"
        assert await desk.get() == "second a"
        assert desk.asked == ["a", "a"]

    asyncio.run(story())


def test_a_busy_name_is_looked_up_beside_the_answer() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.get()
        desk.at, desk.answer = 0.5, "second"
        assert await desk.get() == "first a"
        await settle()
        assert await desk.get() == "second a"
        # The age counts from the moment at which it began to be looked for.
        desk.at = 1.4
        assert desk.recent.known("a", desk.find("a")) == "second a"

    asyncio.run(story())


def test_all_who_ask_at_once_wait_for_one_search() -> None:
    async def story() -> None:
        desk = Desk()
        desk.open.clear()
        asking = [asyncio.ensure_future(desk.get()) for _ in range(9)]
        await settle()
        asking[0].cancel()
        await settle()
        desk.open.set()
        assert await asyncio.gather(*asking[1:]) == ["first a"] * 8
        assert desk.asked == ["a"]

    asyncio.run(story())


def test_errors_are_not_remembered() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.get()
        desk.at, desk.answer = 0.6, "error"
        assert await desk.get() == "first a"
        await settle()
        with pytest.raises(LookupError):
            await desk.get()
        desk.answer = "third"
        assert await desk.get() == "third a"

    asyncio.run(story())


def test_what_was_looked_for_before_a_change_is_not_kept() -> None:
    async def story() -> None:
        desk = Desk()
        desk.open.clear()
        early = asyncio.ensure_future(desk.get())
        await settle()
        desk.recent.forget()
        desk.answer = "second"
        late = asyncio.ensure_future(desk.get())
        await settle()
        desk.open.set()
        assert [await early, await late] == ["first a", "second a"]
        assert await desk.get() == "second a"

    asyncio.run(story())


def test_it_never_remembers_more_than_its_size() -> None:
    async def story() -> None:
        desk = Desk()
        for key in ("a", "b", "c"):
            await desk.get(key)
        assert desk.recent.known("a", desk.find("a")) is None
        assert desk.recent.known("c", desk.find("c")) == "first c"

    asyncio.run(story())
