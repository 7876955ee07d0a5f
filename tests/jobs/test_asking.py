"""What an owner may ask of a job in each state, and what becomes of it."""

import pytest

from service.exceptions import StateConflict
from service.jobs import attempts, queue, repository, service
from service.jobs.attempts import JobRef
from service.jobs.lifecycle import CANCEL, PAUSE, RESUME, Status
from tests.jobs.desk import OWNER, STOPPED, SUCCEEDED, Desk, progress

VERBS = {"cancel": CANCEL, "pause": PAUSE, "resume": RESUME}


def put(desk: Desk, status: Status) -> str:
    """A job in a state, whichever way it got there."""
    job_id = desk.submit()
    with desk.database.write() as session:
        assert repository.touch(session, job_id, sources=frozenset(Status), status=status)
    return job_id


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_each_verb_does_in_each_state_what_its_table_says(desk: Desk, verb: str, status: Status) -> None:
    job_id = put(desk, status)
    target = VERBS[verb].get(status)
    if target is None:
        with pytest.raises(StateConflict, match=f"The job is {status}") as error:
            desk.ask(verb, job_id)
        assert error.value.hint
        assert desk.status(job_id) == status
    else:
        assert desk.ask(verb, job_id) == desk.status(job_id) == target


def test_a_paused_job_is_not_claimed_until_it_is_resumed_and_then_has_its_old_place(desk: Desk) -> None:
    first, second = desk.submit(), desk.submit()
    assert desk.pause(first) == "paused"
    assert [ref.id for ref in desk.claim(1)] == [second]
    assert desk.claim(1) == []
    third = desk.submit()
    assert desk.unpause(first) == "queued"
    assert [ref.id for ref in desk.claim(2)] == [first, third]


def test_a_running_job_is_paused_when_its_worker_lets_go_and_goes_on_under_a_new_attempt(desk: Desk) -> None:
    ref = desk.running()
    assert desk.pause(ref.id) == "pausing"
    assert desk.report(ref, progress(1, 3)) == Status.PAUSING
    assert desk.keep(ref, progress(4, 0), number=1, epoch=3, reason="pause") == (Status.PAUSING, [])
    assert desk.let_go(ref) == Status.PAUSED
    assert desk.job(ref.id).worker_id is None
    desk.unpause(ref.id)
    (second,) = desk.claim()
    assert second == JobRef(ref.id, 2)
    start = desk.begin(second)
    assert start is not None
    assert [(one.number, one.epoch, one.reason) for one in start.checkpoints] == [(1, 3, "pause")]


def test_a_pause_that_is_called_off_in_time_leaves_the_job_running(desk: Desk) -> None:
    ref = desk.running()
    desk.pause(ref.id)
    assert desk.unpause(ref.id) == "running"
    assert desk.report(ref, progress(1, 1)) == Status.RUNNING
    assert desk.let_go(ref) == Status.QUEUED  # As after any stop of its worker.


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_job_that_finishes_before_it_hears_has_finished(desk: Desk, verb: str) -> None:
    ref = desk.running()
    desk.ask(verb, ref.id)
    assert desk.finish(ref, SUCCEEDED)
    assert desk.status(ref.id) == "succeeded"


def test_a_process_that_dies_while_its_job_is_to_pause_leaves_it_paused(desk: Desk) -> None:
    ref = desk.running()
    desk.pause(ref.id)
    assert desk.crashed(ref, max_crashes=1) == Status.PAUSED


def test_a_paused_job_can_be_cancelled_and_its_checkpoints_go(desk: Desk) -> None:
    ref = desk.running()
    desk.keep(ref, progress(1, 2), number=1, epoch=2)
    desk.pause(ref.id)
    desk.let_go(ref)
    assert desk.cancel(ref.id) == "cancelled"
    assert desk.checkpoints(ref.id) == []
    assert desk.job(ref.id).stop_reason == "cancelled"


def test_jobs_of_a_higher_priority_are_taken_first_and_counted_as_ahead(desk: Desk) -> None:
    low, high, normal, later = (desk.submit(priority=p) for p in (-5, 7, 0, 0))

    def ahead(job_id: str) -> int:
        with desk.database.read() as session:
            return queue.jobs_ahead(session, service.get(session, job_id, owner=OWNER))

    assert [ahead(job_id) for job_id in (high, normal, later, low)] == [0, 1, 2, 3]
    assert [ref.id for ref in desk.claim(10)] == [high, normal, later, low]


def test_every_change_of_state_is_told_with_its_date_and_its_cause(desk: Desk) -> None:
    ref = desk.running()
    desk.crashed(ref)
    (second,) = desk.claim()
    desk.let_go(second)
    desk.pause(ref.id)
    with desk.database.read() as session:
        seq = service.get(session, ref.id, owner=OWNER).seq
        told = repository.transitions(session, [seq])[seq]
    causes = [(event.status, event.cause and event.cause["code"]) for event in told]
    assert causes == [
        ("queued", None),
        ("running", None),
        ("queued", "runner_died"),
        ("running", None),
        ("queued", "worker_stopped"),
        ("paused", "requested"),
    ]
    assert told[4].cause == STOPPED
    dates = [event.at for event in told]
    assert dates == sorted(dates)


def test_a_job_with_a_limit_of_time_is_claimed_with_what_is_left_of_it(desk: Desk) -> None:
    spec = {"training": {"epochs": 3, "seed": 0, "max_seconds": 10.0}}
    ref = desk.running(**spec)
    desk.report(ref, progress(1, 1))  # After 1.5 seconds, it says.
    desk.let_go(ref)
    with desk.database.write() as session:
        ((claim,),) = attempts.claim(session, worker_id="worker_a", slots=1)
    assert claim.seconds_left == 8.5


def test_a_job_that_had_to_be_ended_when_its_time_was_over_has_failed_with_a_cure(desk: Desk) -> None:
    ref = desk.running(training={"epochs": 3, "seed": 0, "max_seconds": 10.0})
    assert desk.overdue(ref) == Status.FAILED
    job = desk.job(ref.id)
    assert (job.stop_reason, job.error and job.error["code"]) == ("max_runtime", "max_runtime")
    assert job.error is not None
    assert job.error["hint"]


@pytest.mark.parametrize("asked", ["cancel", "pause"])
def test_an_overdue_job_that_was_asked_to_stop_goes_where_it_was_asked_to_go(desk: Desk, asked: str) -> None:
    ref = desk.running()
    desk.ask(asked, ref.id)
    assert desk.overdue(ref) == {"cancel": Status.CANCELLED, "pause": Status.PAUSED}[asked]
