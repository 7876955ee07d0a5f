"""The rows of checkpoints: recorded with the history up to them, two kept, none after the end."""

import pytest

from service.jobs.lifecycle import Status
from tests.jobs.desk import CANCELLED, ELSEWHERE, FAILED, HERE, SUCCEEDED, Desk, progress


def test_a_checkpoint_and_the_history_up_to_it_are_one_write(desk: Desk) -> None:
    ref = desk.running()
    assert desk.keep(ref, progress(1, 4), number=1, epoch=4) == (Status.RUNNING, [])
    (row,) = desk.checkpoints(ref.id)
    assert (row.number, row.attempt, row.epoch, row.path) == (1, 1, 4, f"{ref.id}/1-1.ckpt")
    assert desk.epochs(ref.id) == [1, 2, 3, 4]
    assert desk.job(ref.id).seconds == 1.5


def test_the_two_newest_are_kept_and_the_files_of_the_others_are_named(desk: Desk) -> None:
    ref = desk.running()
    for number in range(1, 4):
        kept = desk.keep(ref, progress(number, 1), number=number, epoch=number)
    assert kept == (Status.RUNNING, [f"{ref.id}/1-1.ckpt"])
    assert [one.number for one in desk.checkpoints(ref.id)] == [3, 2]


@pytest.mark.parametrize("ended", [SUCCEEDED, FAILED, CANCELLED], ids=lambda one: one.status)
def test_none_is_kept_after_the_end(desk: Desk, ended: object) -> None:
    ref = desk.running()
    desk.keep(ref, progress(1, 1), number=1, epoch=1)
    desk.finish(ref, ended, progress(2, 1))  # type: ignore[arg-type]
    assert desk.checkpoints(ref.id) == []


def test_none_is_kept_of_a_job_that_fails_for_its_crashes(desk: Desk) -> None:
    ref = desk.running()
    desk.keep(ref, progress(1, 1), number=1, epoch=1)
    assert desk.crashed(ref, max_crashes=1) == Status.FAILED
    assert desk.checkpoints(ref.id) == []


def test_crashes_with_progress_in_between_are_forgiven(desk: Desk) -> None:
    job_id = desk.submit()
    for number in range(1, 21):
        (ref,) = desk.claim()
        assert desk.keep(ref, progress(number, 1), number=number, epoch=number)
        assert desk.crashed(ref, max_crashes=3) == Status.QUEUED
    assert desk.job(job_id).attempt == 20


def test_only_crashes_in_a_row_without_progress_make_a_job_fail(desk: Desk) -> None:
    desk.submit()
    outcomes = []
    for number in (1, None, None, 2, None, None, None):
        (ref,) = desk.claim()
        if number is not None:
            desk.keep(ref, progress(number, 1), number=number, epoch=number)
        outcomes.append(desk.crashed(ref, max_crashes=3))
        if outcomes[-1] is Status.FAILED:
            break
    # A checkpoint forgets what was before it; the crash after it counts again.
    assert outcomes == [Status.QUEUED] * 2 + [Status.FAILED]


def interrupted(desk: Desk) -> str:
    """A job with history up to epoch 9 and a checkpoint of epoch 4, in the queue again."""
    ref = desk.running()
    desk.keep(ref, progress(1, 4), number=1, epoch=4)
    desk.report(ref, progress(5, 5))
    desk.crashed(ref)
    return ref.id


def test_in_an_equal_environment_the_history_beyond_the_checkpoint_stays(desk: Desk) -> None:
    job_id = interrupted(desk)
    (ref,) = desk.claim()
    before = desk.everything()
    assert desk.resume(ref, HERE, desk.checkpoints(job_id)[0]) == 9
    assert desk.everything() == before


def test_elsewhere_the_history_up_to_the_checkpoint_stays_and_the_rest_is_dropped(desk: Desk) -> None:
    job_id = interrupted(desk)
    (ref,) = desk.claim()
    assert desk.resume(ref, ELSEWHERE, desk.checkpoints(job_id)[0]) == 4
    assert desk.epochs(job_id) == [1, 2, 3, 4]
    assert (desk.job(job_id).epoch, desk.job(job_id).fraction) == (4, 0.5)
    last, _ = desk.events(job_id)[-1]
    assert (last.type, last.data["level"]) == ("log", "warning")
    assert "after epoch 4" in last.data["message"]
    desk.report(ref, progress(5, 2, ELSEWHERE))
    assert desk.epochs(job_id) == [1, 2, 3, 4, 5, 6]


def test_a_chunk_across_the_checkpoint_is_cut(desk: Desk) -> None:
    """An attempt that repeats recorded epochs takes checkpoints in the middle of what an earlier one told at once."""
    job_id = interrupted(desk)
    (ref,) = desk.claim()
    desk.resume(ref, HERE, desk.checkpoints(job_id)[0])
    desk.keep(ref, progress(10, 0), number=2, epoch=7)
    desk.crashed(ref)
    (third,) = desk.claim()
    assert desk.resume(third, ELSEWHERE, desk.checkpoints(job_id)[0]) == 7
    assert desk.epochs(job_id) == list(range(1, 8))
    losses = [h.columns["train_loss"].tolist() for e, h in desk.events(job_id) if e.type == "history"]
    assert losses == [[1 / n for n in (1, 2, 3, 4)], [1 / n for n in (5, 6, 7)]]


def test_a_checkpoint_that_was_passed_over_is_forgotten_and_told(desk: Desk) -> None:
    ref = desk.running()
    desk.keep(ref, progress(1, 2), number=1, epoch=2)
    desk.keep(ref, progress(3, 2), number=2, epoch=4)
    desk.crashed(ref)
    (second,) = desk.claim()
    start = desk.begin(second)
    assert start is not None
    assert [one.number for one in start.checkpoints] == [2, 1]
    assert desk.resume(second, HERE, start.checkpoints[1], ["The newest is damaged."]) == 4
    assert [one.number for one in desk.checkpoints(ref.id)] == [1]
    last, _ = desk.events(ref.id)[-1]
    assert last.data["message"] == "The newest is damaged."
    assert desk.keep(second, progress(5, 0), number=2, epoch=3)  # Its number is free again.
