"""Several jobs for one slot: who goes together, and what becomes of each."""

import pytest

from service.jobs import attempts
from service.jobs.attempts import JobRef
from service.jobs.lifecycle import Status
from tests.jobs.desk import FAILED, SUCCEEDED, Desk, progress

OTHER = {"loss": {"type": "L1Loss"}}
"""A change that makes another shape."""


def ids(bundles: list[list[JobRef]]) -> list[list[str]]:
    return [[ref.id for ref in bundle] for bundle in bundles]


def test_where_no_more_wait_than_there_are_slots_each_gets_one(desk: Desk) -> None:
    waiting = [desk.submit() for _ in range(2)]
    assert ids(desk.claim_together(slots=3)) == [[one] for one in waiting]


def test_a_long_queue_of_one_shape_is_shared_out_among_the_slots(desk: Desk) -> None:
    waiting = [desk.submit() for _ in range(5)]
    assert ids(desk.claim_together(slots=2)) == [waiting[:3], waiting[3:]]
    assert all(desk.job(one).status == "running" for one in waiting)
    assert desk.told_statuses(waiting[4]) == ["queued", "running"]


def test_no_more_go_together_than_is_allowed(desk: Desk) -> None:
    waiting = [desk.submit() for _ in range(5)]
    assert ids(desk.claim_together(together=3)) == [waiting[:3]]


def test_only_jobs_of_one_shape_go_together_in_the_order_of_the_queue(desk: Desk) -> None:
    alike = [desk.submit()]
    other = desk.submit(**OTHER)
    alike += [desk.submit() for _ in range(2)]
    assert ids(desk.claim_together()) == [alike]
    assert ids(desk.claim_together()) == [[other]]


def test_a_priority_is_not_passed_over(desk: Desk) -> None:
    low = [desk.submit() for _ in range(2)]
    high = desk.submit(priority=1)
    assert ids(desk.claim_together()) == [[high]]
    assert ids(desk.claim_together()) == [low]


def test_what_has_run_before_goes_on_alone(desk: Desk) -> None:
    first = desk.submit()
    desk.let_go(*desk.claim())
    rest = [desk.submit() for _ in range(2)]
    assert ids(desk.claim_together()) == [[first]]
    assert ids(desk.claim_together()) == [rest]


def test_a_job_that_trains_alone_is_claimed_alone(desk: Desk) -> None:
    big = {"optimizer": {"type": "Adam"}, "training": {"epochs": 1_000_000, "seed": 0}}
    large = [desk.submit(**big) for _ in range(3)]
    assert ids(desk.claim_together()) == [large[:1]]


def test_each_attempt_of_a_bundle_has_a_number_and_an_end_of_its_own(desk: Desk) -> None:
    for _ in range(4):
        desk.submit()
    ((good, bad, back, gone),) = desk.claim_together()
    with desk.database.write() as session:
        assert attempts.finish(session, good, progress(1, 2), SUCCEEDED)
        assert attempts.finish(session, bad, progress(1, 1), FAILED)
        assert not attempts.finish(session, JobRef(gone.id, 2), progress(1, 2), SUCCEEDED)
    desk.cancel(gone.id)
    assert desk.let_go(back) == Status.QUEUED
    assert desk.let_go(gone) == Status.CANCELLED
    assert [desk.status(ref.id) for ref in (good, bad, back, gone)] == [
        "succeeded",
        "failed",
        "queued",
        "cancelled",
    ]
    assert (desk.epochs(good.id), desk.epochs(bad.id), desk.epochs(back.id)) == ([1, 2], [1], [])


def test_what_attempts_begin_with_is_read_at_once_without_what_is_lost(desk: Desk) -> None:
    for _ in range(3):
        desk.submit()
    ((first, second, lost),) = desk.claim_together()
    desk.let_go(lost)
    with desk.database.read() as session:
        begun = attempts.begin(session, [first, second, lost])
    assert set(begun) == {first, second}
    assert all('"SGD"' in start.spec for start in begun.values())


@pytest.mark.parametrize("rows", [4, 6000])
def test_a_lone_first_attempt_is_handed_its_spec_with_the_claim_unless_it_is_long(
    desk: Desk, rows: int
) -> None:
    columns = {"x": [float(i) for i in range(rows)], "y": [float(i % 7) for i in range(rows)]}
    desk.submit(data={"type": "inline", "columns": columns, "target": "y"})
    with desk.database.write() as session:
        ((claim,),) = attempts.claim(session, worker_id="worker_a", slots=1)
    assert (claim.start is not None) == (rows == 4)
    if claim.start is not None:
        assert claim.start == desk.begin(claim.ref)


def test_who_gives_way_goes_behind_those_who_wait_and_before_those_who_come(desk: Desk) -> None:
    long = desk.submit()
    (ref,) = desk.claim()
    waiting = [desk.submit(), desk.submit(priority=-1)]
    assert desk.give_way(ref) == Status.QUEUED
    later = desk.submit()
    assert [one.id for one in desk.claim(10)] == [waiting[0], long, later, waiting[1]]
    job = desk.job(long)
    assert (job.crashes, job.attempt, job.turn) == (0, 2, 1)


def test_who_gives_way_again_goes_behind_those_who_came_before(desk: Desk) -> None:
    first, second = desk.running(), desk.running()
    desk.give_way(second)
    third = desk.submit()
    desk.give_way(first)
    assert [one.id for one in desk.claim(10)] == [second.id, third, first.id]


def test_who_is_cancelled_while_giving_way_is_cancelled(desk: Desk) -> None:
    ref = desk.running()
    desk.cancel(ref.id)
    assert desk.give_way(ref) == Status.CANCELLED
