"""What workers do with jobs: every write is fenced, and crashes are counted."""

import hashlib
from collections.abc import Callable

import pytest

from service.jobs import queue, repository, service, workers
from service.jobs.attempts import Ended, JobRef
from service.jobs.lifecycle import TRANSITIONS, Status
from tests.jobs.desk import CANCELLED, ELSEWHERE, FAILED, HERE, OWNER, SUCCEEDED, Desk, progress


def test_jobs_are_claimed_in_the_order_submitted(desk: Desk) -> None:
    ids = [desk.submit() for _ in range(5)]
    assert [ref.id for ref in desk.claim(2)] == ids[:2]
    assert [ref.id for ref in desk.claim(10)] == ids[2:]
    assert desk.claim(10) == []


def test_a_job_that_was_given_back_keeps_its_place(desk: Desk) -> None:
    ids = [desk.submit() for _ in range(3)]
    (first,) = desk.claim()
    desk.let_go(first)
    assert [ref.id for ref in desk.claim(3)] == ids


def test_a_claim_starts_the_job_under_a_new_attempt(desk: Desk) -> None:
    ref = desk.running()
    job = desk.job(ref.id)
    assert (job.status, job.attempt, job.worker_id) == ("running", 1, "worker_a")
    started = job.started_at
    assert started is not None
    desk.let_go(ref)
    assert desk.claim() == [JobRef(ref.id, 2)]
    assert desk.job(ref.id).started_at == started


def test_a_worker_can_look_before_it_claims(desk: Desk) -> None:
    def anything() -> bool:
        with desk.database.read() as session:
            return queue.anything_queued(session)

    assert not anything()
    desk.submit()
    assert anything()
    desk.claim()
    assert not anything()


def test_a_report_records_progress_and_history(desk: Desk) -> None:
    ref = desk.running()
    assert desk.report(ref, progress(1, 3)) == Status.RUNNING
    assert desk.report(ref, progress(4, 2)) == Status.RUNNING
    job = desk.job(ref.id)
    assert (job.epoch, job.fraction, job.train_loss, job.device) == (5, 0.5, 1 / 5, "cpu")
    assert desk.epochs(ref.id) == [1, 2, 3, 4, 5]


def test_a_report_without_a_completed_epoch_changes_only_the_progress(desk: Desk) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 2))
    desk.report(ref, progress(3, 0))
    assert desk.job(ref.id).epoch == 2
    assert desk.epochs(ref.id) == [1, 2]


@pytest.mark.parametrize("ended", [SUCCEEDED, FAILED, CANCELLED], ids=lambda ended: ended.status)
def test_finishing_records_result_history_and_parameters_at_once(desk: Desk, ended: Ended) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 2))
    assert desk.finish(ref, ended, progress(3, 2))
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason) == (ended.status, ended.stop_reason)
    assert (job.result, job.error, job.worker_id) == (ended.result, ended.error, None)
    assert job.finished_at is not None
    assert job.epoch == 4
    assert desk.epochs(ref.id) == [1, 2, 3, 4]
    assert desk.parameters(ref.id) == ended.parameters


def test_the_digest_of_the_parameters_is_kept(desk: Desk) -> None:
    ref = desk.running()
    desk.finish(ref)
    with desk.database.read() as session:
        found = repository.parameters(session, service.get(session, ref.id, owner=OWNER))
    assert found is not None
    assert found.digest == hashlib.sha256(b"tensors").hexdigest()


# Every way in which a worker writes for a job.
WRITES: dict[str, Callable[[Desk, JobRef], object]] = {
    "report": lambda desk, ref: desk.report(ref, progress(1, 2)),
    "report without epochs": lambda desk, ref: desk.report(ref, progress(1, 0)),
    "finish": lambda desk, ref: desk.finish(ref, SUCCEEDED, progress(1, 2)),
    "finish without progress": lambda desk, ref: desk.finish(ref, SUCCEEDED),
    "finish failed": lambda desk, ref: desk.finish(ref, FAILED),
    "let go": lambda desk, ref: desk.let_go(ref),
    "keep": lambda desk, ref: desk.keep(ref, progress(1, 2), number=9, epoch=2),
    "keep without epochs": lambda desk, ref: desk.keep(ref, progress(1, 0), number=9, epoch=0),
    "overdue": lambda desk, ref: desk.overdue(ref),
    "crashed": lambda desk, ref: desk.crashed(ref),
    "crashed for good": lambda desk, ref: desk.crashed(ref, max_crashes=1),
    "resume elsewhere": lambda desk, ref: desk.resume(ref, ELSEWHERE),
}
EVERY_WRITE = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def taken_over(desk: Desk) -> tuple[JobRef, JobRef]:
    """A job whose first attempt has lost it to a second one, which runs and has recorded an epoch."""
    stale = desk.running()
    desk.let_go(stale)
    (current,) = desk.claim(worker_id="worker_b")
    desk.report(current, progress(1, 1))
    return stale, current


@EVERY_WRITE
def test_a_stale_attempt_changes_nothing(desk: Desk, write: Callable[[Desk, JobRef], object]) -> None:
    stale, _ = taken_over(desk)
    before = desk.everything()
    assert not write(desk, stale)
    assert desk.everything() == before


@EVERY_WRITE
def test_a_stale_attempt_cannot_even_end_a_cancel_of_the_next(
    desk: Desk, write: Callable[[Desk, JobRef], object]
) -> None:
    stale, _ = taken_over(desk)
    desk.cancel(stale.id)
    before = desk.everything()
    assert not write(desk, stale)
    assert desk.everything() == before


@EVERY_WRITE
def test_nothing_is_written_for_a_job_that_waits_again(
    desk: Desk, write: Callable[[Desk, JobRef], object]
) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 1))
    desk.crashed(ref)
    before = desk.everything()
    assert not write(desk, ref)
    assert desk.everything() == before


@EVERY_WRITE
def test_nothing_is_written_for_a_job_that_has_ended(
    desk: Desk, write: Callable[[Desk, JobRef], object]
) -> None:
    ref = desk.running()
    desk.finish(ref, SUCCEEDED, progress(1, 3))
    before = desk.everything()
    assert not write(desk, ref)
    assert desk.everything() == before


@EVERY_WRITE
def test_nothing_is_written_for_a_job_that_was_deleted(
    desk: Desk, write: Callable[[Desk, JobRef], object]
) -> None:
    ref = desk.running()
    desk.finish(ref)
    desk.delete(ref.id)
    before = desk.everything()
    assert not write(desk, ref)
    assert desk.everything() == before


@pytest.mark.parametrize("name", ["finish without progress", "let go", "crashed", "resume elsewhere"])
def test_the_current_attempt_does_change_what_a_stale_one_does_not(desk: Desk, name: str) -> None:
    _, current = taken_over(desk)
    before = desk.everything()
    WRITES[name](desk, current)
    assert desk.everything() != before


FENCED_BY_THE_ROW = [
    "report without epochs",
    "keep without epochs",
    "finish without progress",
    "finish failed",
    "let go",
    "crashed",
]


@pytest.mark.parametrize("name", FENCED_BY_THE_ROW)
def test_it_is_the_attempt_in_the_statement_that_holds_a_stale_one_back(
    desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the attempt number in its condition the very same write goes through: the tests above would be red."""
    touch = repository.touch
    stale, _ = taken_over(desk)
    before = desk.everything()
    monkeypatch.setattr(
        repository, "touch", lambda *args, **options: touch(*args, **{**options, "fence": None})
    )
    WRITES[name](desk, stale)
    assert desk.everything() != before


def test_a_stale_attempt_is_not_given_the_spec(desk: Desk) -> None:
    stale, current = taken_over(desk)
    assert desk.begin(stale) is None
    assert desk.begin(JobRef("job_never", 1)) is None
    start = desk.begin(current)
    assert start is not None
    assert '"SGD"' in start.spec
    desk.finish(current)
    assert desk.begin(current) is None


def test_a_job_is_failed_when_its_process_died_too_often(desk: Desk) -> None:
    job_id = desk.submit()
    outcomes = [desk.crashed(*desk.claim(), max_crashes=3) for _ in range(3)]
    assert outcomes == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    job = desk.job(job_id)
    assert (job.crashes, job.attempt, job.stop_reason) == (3, 3, "error")
    assert job.error is not None
    assert job.error["code"] == "worker_crashed"
    assert job.error["hint"]
    assert desk.claim() == []


def test_a_job_that_is_given_back_is_not_counted_as_crashed(desk: Desk) -> None:
    job_id = desk.submit()
    for _ in range(5):
        assert desk.let_go(*desk.claim()) == Status.QUEUED
    assert desk.job(job_id).crashes == 0
    assert desk.job(job_id).attempt == 5
    assert desk.status(job_id) == "queued"


@pytest.mark.parametrize("max_crashes", [1, 3])
def test_a_crash_while_cancelling_ends_the_job_cancelled(desk: Desk, max_crashes: int) -> None:
    ref = desk.running()
    desk.cancel(ref.id)
    assert desk.crashed(ref, max_crashes) == Status.CANCELLED
    assert desk.job(ref.id).stop_reason == "cancelled"


def test_giving_back_a_job_that_is_being_cancelled_ends_it(desk: Desk) -> None:
    ref = desk.running()
    desk.cancel(ref.id)
    assert desk.let_go(ref) == Status.CANCELLED
    assert desk.status(ref.id) == "cancelled"


def test_in_an_equal_environment_the_history_stays(desk: Desk) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 4, HERE))
    desk.crashed(ref)
    (second,) = desk.claim()
    before = desk.everything()
    assert desk.resume(second, dict(HERE)) == 4
    assert desk.everything() == before


def test_in_another_environment_the_history_is_dropped_and_a_log_line_says_so(desk: Desk) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 4, HERE))
    desk.crashed(ref)
    (second,) = desk.claim()
    assert desk.resume(second, ELSEWHERE) == 0
    assert desk.epochs(ref.id) == []
    assert (desk.job(ref.id).epoch, desk.job(ref.id).fraction) == (0, 0.0)
    last, _ = desk.events(ref.id)[-1]
    assert (last.type, last.data["level"], last.attempt) == ("log", "warning", 2)
    assert "history" not in [event.type for event, _ in desk.events(ref.id)]
    desk.report(second, progress(1, 6, ELSEWHERE))
    assert desk.epochs(ref.id) == [1, 2, 3, 4, 5, 6]


def test_an_attempt_that_recorded_nothing_leaves_nothing_to_resume(desk: Desk) -> None:
    desk.crashed(desk.running())
    (second,) = desk.claim()
    assert desk.resume(second, ELSEWHERE) == 0


def test_events_tell_every_change_in_its_order(desk: Desk) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 2))
    desk.crashed(ref)
    (second,) = desk.claim()
    desk.report(second, progress(3, 1))
    desk.cancel(ref.id)
    desk.finish(second, CANCELLED, progress(4, 2))
    events = [event for event, _ in desk.events(ref.id)]
    assert [event.type for event in events] == [
        *["status", "status", "history", "status", "status", "history", "status", "history", "status"]
    ]
    assert desk.told_statuses(ref.id) == ["queued", "running", "queued", "running", "cancelling", "cancelled"]
    assert [event.attempt for event in events] == [0, 1, 1, 1, 2, 2, 2, 2, 2]
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert events[-1].data == {
        "status": "cancelled",
        "terminal": True,
        "stop_reason": "cancelled",
        "attempt": 2,
        "error": None,
        "cause": None,
    }
    assert not any(event.data["terminal"] for event in events[:-1] if event.type == "status")


def test_a_history_event_comes_with_the_epochs_it_tells(desk: Desk) -> None:
    ref = desk.running()
    desk.report(ref, progress(1, 2))
    desk.report(ref, progress(3, 1))
    told = [history for event, history in desk.events(ref.id) if event.type == "history"]
    assert [history.epochs.tolist() for history in told] == [[1, 2], [3]]
    assert told[0].columns["train_loss"].tolist() == [1.0, 0.5]
    assert all(history is None for event, history in desk.events(ref.id) if event.type == "status")


def test_events_can_be_read_in_portions_without_gap_or_repeat(desk: Desk) -> None:
    ref, other = desk.running(), desk.running()
    for epoch in range(1, 5):
        desk.report(ref, progress(epoch, 1))
        desk.report(other, progress(epoch, 1))
    found: list[int] = []
    while portion := desk.events(ref.id, after=found[-1] if found else 0, limit=2):
        found += [event.id for event, _ in portion]
    assert found == [event.id for event, _ in desk.events(ref.id)]
    assert len(found) == 6


def test_a_worker_is_known_while_it_beats(desk: Desk) -> None:
    def beat(worker_id: str) -> bool:
        with desk.database.write() as session:
            return workers.beat(session, worker_id, warm=1, about={"devices": ["cpu"]})

    assert not beat("worker_a")
    with desk.database.write() as session:
        workers.register(session, "worker_a", slots=2)
    assert beat("worker_a")
    assert beat("worker_a")
    with desk.database.write() as session:
        assert workers.beats(session) == {"worker_a": 2}
        (worker,) = workers.listed(session)
        assert (worker.slots, worker.warm, worker.about) == (2, 1, {"devices": ["cpu"]})
        workers.forget(session, "worker_a")
    assert not beat("worker_a")


def test_the_leases_of_a_worker_are_its_active_jobs(desk: Desk) -> None:
    first, second, third = (desk.submit() for _ in range(3))
    desk.claim(2, worker_id="worker_a")
    desk.claim(1, worker_id="worker_b")
    desk.cancel(second)
    desk.submit()
    with desk.database.read() as session:
        assert {ref.id for ref in workers.held_by(session, ["worker_a"])} == {first, second}
        assert {ref.id for ref in workers.held_by(session, ["worker_a", "worker_b"])} == {
            first,
            second,
            third,
        }
        assert [ref.id for ref in workers.asked_to_stop(session, "worker_a")] == [second]
        assert workers.asked_to_stop(session, "worker_b") == []
    desk.finish(JobRef(first, 1))
    with desk.database.read() as session:
        assert {ref.id for ref in workers.held_by(session, ["worker_a"])} == {second}


@pytest.mark.parametrize("source", list(Status))
@pytest.mark.parametrize("target", list(Status))
def test_a_state_changes_only_as_the_table_allows(desk: Desk, source: Status, target: Status) -> None:
    job_id = desk.submit()
    with desk.database.write() as session:
        assert repository.touch(session, job_id, sources=frozenset(Status), status=source)
    with desk.database.write() as session:
        moved = repository.move(session, job_id, target)
    assert (moved is not None) == (target in TRANSITIONS[source])
    assert desk.status(job_id) == (target if moved else source)
    assert len(desk.told_statuses(job_id)) == (2 if moved else 1)
