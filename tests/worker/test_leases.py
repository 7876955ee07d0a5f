"""A worker is dead when its heartbeat counter stands still for a lease of the observer's own clock."""

import time

import pytest

from service.worker.leases import LeaseWatch


class Clock:
    """Seconds that go on when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LeaseWatch:
    return LeaseWatch(lease_seconds=20, clock=clock)


def test_nobody_is_dead_at_first_sight(watch: LeaseWatch) -> None:
    assert watch.dead({"a": 0, "b": 99}) == set()


def test_nobody_is_dead_before_a_whole_lease_was_watched(watch: LeaseWatch, clock: Clock) -> None:
    watch.dead({"a": 5})
    clock.seconds += 20
    assert watch.dead({"a": 5}) == set()
    clock.seconds += 0.1
    assert watch.dead({"a": 5}) == {"a"}


def test_a_beat_begins_a_new_lease(watch: LeaseWatch, clock: Clock) -> None:
    for beat in range(10):
        assert watch.dead({"a": beat}) == set()
        clock.seconds += 19
    assert watch.dead({"a": 9}) == set()
    clock.seconds += 2
    assert watch.dead({"a": 9}) == {"a"}


def test_each_worker_has_a_lease_of_its_own(watch: LeaseWatch, clock: Clock) -> None:
    watch.dead({"a": 1, "b": 1})
    clock.seconds += 15
    watch.dead({"a": 2, "b": 1})
    clock.seconds += 10
    assert watch.dead({"a": 2, "b": 1}) == {"b"}


def test_a_worker_that_was_restored_from_a_backup_with_a_lower_count_is_alive(
    watch: LeaseWatch, clock: Clock
) -> None:
    watch.dead({"a": 7})
    clock.seconds += 15
    watch.dead({"a": 3})
    clock.seconds += 15
    assert watch.dead({"a": 3}) == set()


def test_a_worker_that_went_and_came_back_is_watched_anew(watch: LeaseWatch, clock: Clock) -> None:
    watch.dead({"a": 1})
    clock.seconds += 15
    watch.dead({})
    clock.seconds += 15
    assert watch.dead({"a": 1}) == set()


def test_a_stopped_observer_blames_only_those_that_stand_still_when_it_looks_again(
    watch: LeaseWatch, clock: Clock
) -> None:
    watch.dead({"a": 1, "b": 1})
    clock.seconds += 3600
    assert watch.dead({"a": 2, "b": 1}) == {"b"}


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_the_wall_clock_decides_nothing(jump: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = LeaseWatch(lease_seconds=20)
    watch.dead({"a": 1})
    moved = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: moved)
    assert watch.dead({"a": 1}) == set()
