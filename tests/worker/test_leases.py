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


def watched(watch: LeaseWatch, clock: Clock, beats: dict[str, int], seconds: float) -> set[str]:
    """Look on every second, at beats that stand still, and give who is dead in the end."""
    for _ in range(round(seconds)):
        clock.seconds += 1
        dead = watch.dead(beats)
    return dead


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
    assert watched(watch, clock, {"a": 5}, 20) == set()
    assert watched(watch, clock, {"a": 5}, 1) == {"a"}


def test_a_beat_begins_a_new_lease(watch: LeaseWatch, clock: Clock) -> None:
    for beat in range(10):
        assert watched(watch, clock, {"a": beat}, 19) == set()
    assert watched(watch, clock, {"a": 9}, 1) == set()
    assert watched(watch, clock, {"a": 9}, 2) == {"a"}


def test_each_worker_has_a_lease_of_its_own(watch: LeaseWatch, clock: Clock) -> None:
    watched(watch, clock, {"a": 1, "b": 1}, 15)
    assert watched(watch, clock, {"a": 2, "b": 1}, 10) == {"b"}


def test_a_worker_that_was_restored_from_a_backup_with_a_lower_count_is_alive(
    watch: LeaseWatch, clock: Clock
) -> None:
    watched(watch, clock, {"a": 7}, 15)
    assert watched(watch, clock, {"a": 3}, 15) == set()


def test_a_worker_that_went_and_came_back_is_watched_anew(watch: LeaseWatch, clock: Clock) -> None:
    watched(watch, clock, {"a": 1}, 15)
    watched(watch, clock, {}, 15)
    assert watched(watch, clock, {"a": 1}, 15) == set()


def test_an_observer_that_could_not_look_blames_nobody_who_beats_soon_after(
    watch: LeaseWatch, clock: Clock
) -> None:
    """The database was away for an hour: nobody could beat, and somebody is the first to look again."""
    watched(watch, clock, {"a": 1, "b": 1}, 2)
    clock.seconds += 3600
    assert watch.dead({"a": 1, "b": 1}) == set()
    assert watched(watch, clock, {"a": 2, "b": 1}, 6) == set()
    assert watched(watch, clock, {"a": 2, "b": 1}, 6) == {"b"}


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_the_wall_clock_decides_nothing(jump: int, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = LeaseWatch(lease_seconds=20)
    watch.dead({"a": 1})
    moved = time.time() + jump
    monkeypatch.setattr(time, "time", lambda: moved)
    assert watch.dead({"a": 1}) == set()
