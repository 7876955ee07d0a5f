"""The cache of predictors is bounded and forgets what was used longest ago."""

import threading
from typing import cast

import pytest

from service.inference.cache import PredictorCache
from service.inference.predictor import Predictor


class Builder:
    """Counts what it builds; what it builds is only kept, never used."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def ask(self, cache: PredictorCache, key: str) -> Predictor:
        def build() -> Predictor:
            self.built.append(key)
            return cast("Predictor", object())

        return cache.get(key, build)


def test_what_is_known_is_not_built_again() -> None:
    cache, builder = PredictorCache(size=2), Builder()
    assert builder.ask(cache, "a") is builder.ask(cache, "a")
    assert builder.built == ["a"]


def test_the_one_used_longest_ago_makes_room() -> None:
    cache, builder = PredictorCache(size=2), Builder()
    for key in ("a", "b", "a", "c"):
        builder.ask(cache, key)
    assert builder.built == ["a", "b", "c"]
    builder.ask(cache, "a")
    assert builder.built == ["a", "b", "c"]
    builder.ask(cache, "b")
    assert builder.built == ["a", "b", "c", "b"]


@pytest.mark.parametrize("size", [1, 3, 10])
def test_it_never_holds_more_than_its_size(size: int) -> None:
    cache, builder = PredictorCache(size=size), Builder()
    for key in range(20):
        builder.ask(cache, str(key))
        assert len(cache._predictors) <= size


def test_a_build_that_fails_leaves_nothing_behind() -> None:
    def fail() -> Predictor:
        raise LookupError

    cache, builder = PredictorCache(size=2), Builder()
    with pytest.raises(LookupError):
        cache.get("a", fail)
    builder.ask(cache, "a")
    assert builder.built == ["a"]


def test_many_threads_share_it() -> None:
    cache, builder = PredictorCache(size=3), Builder()

    def use(offset: int) -> None:
        for i in range(200):
            builder.ask(cache, str((i + offset) % 5))

    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache._predictors) == 3


def test_those_who_ask_for_the_same_wait_for_one_build() -> None:
    cache, built, everybody = PredictorCache(size=3), [], threading.Barrier(5)
    found: list[Predictor] = []

    def build() -> Predictor:
        built.append("a")
        # The others have asked meanwhile, or ask now: none of them may build.
        return cast("Predictor", object())

    def ask() -> None:
        everybody.wait()
        found.append(cast("Predictor", cache.get("a", build)))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ["a"]
    assert len({id(one) for one in found}) == 1
    assert cache.known("a") is found[0]
    assert cache.known("b") is None


def test_those_who_wait_for_a_build_that_fails_see_why() -> None:
    cache, begun, may_fail = PredictorCache(size=3), threading.Event(), threading.Event()
    seen: list[str] = []

    def fail() -> Predictor:
        begun.set()
        may_fail.wait(10)
        raise LookupError("broken")

    def ask() -> None:
        try:
            cache.get("a", fail)
        except LookupError as error:
            seen.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    may_fail.set()
    for thread in threads:
        thread.join()
    assert seen == ["broken"] * 3
