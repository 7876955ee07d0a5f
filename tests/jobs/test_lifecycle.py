"""The table of transitions makes sense as a whole."""

from collections.abc import Mapping

import pytest

from service.jobs.lifecycle import (
    ACTIVE,
    CANCEL,
    LET_GO,
    PAUSE,
    RESUME,
    TERMINAL,
    TRANSITIONS,
    Status,
    sources_of,
)


def reachable_from(start: Status) -> set[Status]:
    found, new = set(), {start}
    while new:
        found |= new
        new = {target for status in new for target in TRANSITIONS[status]} - found
    return found


def test_every_state_is_in_the_table() -> None:
    assert TRANSITIONS.keys() == set(Status)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state(status: Status) -> None:
    assert TRANSITIONS[status] == frozenset()


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
def test_every_other_state_has_an_exit_and_none_leads_to_itself(status: Status) -> None:
    assert TRANSITIONS[status]
    assert status not in TRANSITIONS[status]


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_a_job_that_a_worker_holds_can_end_in_every_way(status: Status) -> None:
    assert TRANSITIONS[status] >= TERMINAL


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
def test_every_job_can_still_be_cancelled(status: Status) -> None:
    assert Status.CANCELLED in reachable_from(status)


def test_every_state_is_reached_from_the_queue() -> None:
    assert reachable_from(Status.QUEUED) == set(Status)


@pytest.mark.parametrize("status", list(Status))
def test_the_sources_of_a_state_are_those_that_list_it(status: Status) -> None:
    assert sources_of(status) == {source for source in Status if status in TRANSITIONS[source]}


def test_a_job_runs_from_the_queue_or_when_its_pause_is_called_off() -> None:
    assert sources_of(Status.RUNNING) == {Status.QUEUED, Status.PAUSING}


@pytest.mark.parametrize("ways", [CANCEL, PAUSE, RESUME, LET_GO], ids=["cancel", "pause", "resume", "let go"])
def test_what_is_asked_follows_the_table(ways: Mapping[Status, Status]) -> None:
    assert all(target is source or target in TRANSITIONS[source] for source, target in ways.items())


def test_every_state_that_a_worker_holds_has_a_place_to_be_let_go_to() -> None:
    assert LET_GO.keys() == ACTIVE
    assert not set(LET_GO.values()) & ACTIVE


def test_every_state_that_is_not_terminal_can_be_cancelled_at_once_or_in_time() -> None:
    assert CANCEL.keys() == set(Status) - TERMINAL
