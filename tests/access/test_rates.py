"""Token buckets: a minute's worth at once, then evenly."""

import pytest

from service.api.rates import Bucket, Buckets
from service.exceptions import RateLimited


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def let_through(bucket: Bucket, tries: int) -> int:
    passed = 0
    for _ in range(tries):
        try:
            bucket.take("It")
        except RateLimited:
            continue
        passed += 1
    return passed


def test_a_minutes_worth_passes_at_once_and_then_its_share() -> None:
    clock = Clock()
    bucket = Bucket(6, clock=clock)
    assert let_through(bucket, 20) == 6
    clock.at += 9.9
    assert let_through(bucket, 20) == 0
    clock.at += 0.2
    assert let_through(bucket, 20) == 1
    clock.at += 3600
    assert let_through(bucket, 20) == 6


def test_retry_after_is_when_it_works_again() -> None:
    clock = Clock()
    bucket = Bucket(5, clock=clock)
    let_through(bucket, 5)
    with pytest.raises(RateLimited) as error:
        bucket.take("This key")
    assert error.value.retry_after == 12
    assert "limit=5, remaining=0, reset=12" in error.value.hint
    clock.at += error.value.retry_after
    bucket.take("This key")


def test_each_key_has_its_own_bucket_and_a_new_rate_a_new_one() -> None:
    buckets = Buckets()
    buckets.take("a", 1)
    buckets.take("b", 1)
    with pytest.raises(RateLimited):
        buckets.take("a", 1)
    buckets.take("a", 2)
