"""Who gives a slot up, and when: by the worker's own clock, and nobody twice."""

from service.jobs.attempts import JobRef
from service.jobs.queue import InLine
from service.worker.turns import Turns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


LONG, SHORT = JobRef("long", 1), JobRef("short", 1)


def waiting(job_id: str = "waiting", priority: int = 0) -> InLine:
    return InLine(seq=9, id=job_id, priority=priority, shape=None, attempt=0)


def at(clock: Clock, turns: Turns, now: float, first: InLine | None) -> JobRef | None:
    clock.now = now
    return turns.who_gives_way(first)


def test_the_one_that_has_trained_longest_gives_way_when_both_times_are_over() -> None:
    clock = Clock()
    turns = Turns(seconds=10, clock=clock)
    turns.begin(LONG, priority=0)
    clock.now = 1.0
    turns.begin(SHORT, priority=0)
    assert at(clock, turns, 5, waiting()) is None
    assert at(clock, turns, 14.9, waiting()) is None
    assert at(clock, turns, 15.1, waiting()) == LONG


def test_a_job_that_has_just_begun_is_left_alone() -> None:
    clock = Clock()
    turns = Turns(seconds=10, clock=clock)
    at(clock, turns, 0, waiting())
    clock.now = 8.0
    turns.begin(LONG, priority=0)
    assert at(clock, turns, 12, waiting()) is None
    assert at(clock, turns, 18.1, waiting()) == LONG


def test_the_time_counts_anew_for_each_who_comes_first() -> None:
    clock = Clock()
    turns = Turns(seconds=10, clock=clock)
    turns.begin(LONG, priority=0)
    at(clock, turns, 1, waiting("a"))
    assert at(clock, turns, 10, waiting("b")) is None
    assert at(clock, turns, 19, waiting("b")) is None
    assert at(clock, turns, 20.1, waiting("b")) == LONG


def test_nobody_is_asked_twice_and_the_next_not_at_once() -> None:
    clock = Clock()
    turns = Turns(seconds=10, clock=clock)
    for ref in (LONG, SHORT):
        turns.begin(ref, priority=0)
    at(clock, turns, 1, waiting())
    assert at(clock, turns, 12, waiting()) == LONG
    turns.end(LONG)
    assert at(clock, turns, 13, waiting()) is None
    assert at(clock, turns, 22.1, waiting()) == SHORT


def test_a_higher_priority_gives_way_to_nobody_below() -> None:
    clock = Clock()
    turns = Turns(seconds=10, clock=clock)
    turns.begin(LONG, priority=1)
    at(clock, turns, 0, waiting())
    assert at(clock, turns, 100, waiting()) is None
    at(clock, turns, 100, waiting("urgent", priority=1))
    assert at(clock, turns, 111, waiting("urgent", priority=1)) == LONG


def test_an_empty_queue_asks_nobody_and_zero_seconds_switch_it_off() -> None:
    clock = Clock()
    turns = Turns(seconds=10, clock=clock)
    turns.begin(LONG, priority=0)
    assert at(clock, turns, 100, None) is None
    off = Turns(seconds=0, clock=clock)
    off.begin(LONG, priority=0)
    assert turns.is_watching
    assert not off.is_watching
