"""The table of transitions makes sense as a whole."""

import pytest

from service.jobs.lifecycle import ACTIVE, TERMINAL, TRANSITIONS, Status, sources_of


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


def test_only_a_queued_job_is_claimed() -> None:
    assert sources_of(Status.RUNNING) == {Status.QUEUED}
