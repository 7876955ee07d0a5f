"""How time is taken: medians of rounds in which everything has its turn."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

__all__ = ["Clock", "interleaved", "medians", "timed"]

Given = ParamSpec("Given")
Value = TypeVar("Value")


class Clock:
    """Adds up seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time of a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started

    def of(self, call: Callable[Given, Value]) -> Callable[Given, Value]:
        """Give the same call, its time added."""

        def clocked(*given: Given.args, **named: Given.kwargs) -> Value:
            with self.running():
                return call(*given, **named)

        return clocked


def timed(call: Callable[[], Value]) -> tuple[float, Value]:
    """Give the seconds that a call takes, and what it gives."""
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def interleaved(
    calls: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int, *, at_least: float = 0.0
) -> dict[str, list[float]]:
    """Do each call once a round, in turn: a busy moment of the machine hits all of them.

    Args:
        calls: Each gives seconds by name.
        rounds: How often each has its turn.
        at_least: Seconds of a turn: what takes less is called again and again. Once after something that fills
            the processor's caches, it would tell of the caches.

    Returns:
        All seconds by name.
    """
    found: dict[str, list[float]] = {}
    for call in [*calls.values()] * rounds:
        until = time.perf_counter() + at_least
        while True:
            for name, seconds in call().items():
                found.setdefault(name, []).append(seconds)
            if time.perf_counter() >= until:
                break
    return found


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Give the median of each."""
    return {name: statistics.median(values) for name, values in found.items()}
