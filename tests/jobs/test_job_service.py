"""What a client can do with jobs: submit, look, list, cancel, delete."""

import threading
from collections.abc import Callable

import pytest

from service.exceptions import (
    IdempotencyConflict,
    InvalidRequest,
    JobNotFound,
    NoParameters,
    StateConflict,
)
from service.jobs import queue, repository, service
from service.jobs.attempts import Ended
from service.jobs.lifecycle import Status
from service.jobs.repository import JobFilter
from service.spec.job import JobSpec
from tests.conftest import TUTORIAL
from tests.jobs.desk import CANCELLED, FAILED, OWNER, SUCCEEDED, Desk, progress

NO_SEED = {"training": {"epochs": 5}}


def test_a_new_job_is_queued_with_its_first_event(desk: Desk) -> None:
    job = desk.job(desk.submit(name="first", metadata={"team": "a"}))
    assert (job.status, job.attempt, job.crashes, job.epoch, job.version) == ("queued", 0, 0, 0, 1)
    assert (job.name, job.seed, job.epochs) == ("first", 0, 3000)
    assert job.id.startswith("job_")
    assert job.created_at.utcoffset() is not None
    assert desk.told_statuses(job.id) == ["queued"]


def test_the_effective_spec_and_the_metadata_are_kept(desk: Desk) -> None:
    job = desk.job(desk.submit(metadata={"b": "2", "a": "1"}, **NO_SEED))
    with desk.database.read() as session:
        text = repository.spec_text(session, [job.seq])[job.seq]
        assert repository.metadata_of(session, [job.seq, 999]) == {job.seq: {"a": "1", "b": "2"}, 999: {}}
    assert JobSpec.model_validate_json(text).training.seed == job.seed


def test_two_jobs_have_two_ids(desk: Desk) -> None:
    assert desk.submit() != desk.submit()


def test_a_key_with_the_same_body_gives_the_first_job_again(desk: Desk) -> None:
    first = desk.submit(key="k", **NO_SEED)
    assert desk.submit(key="k", **NO_SEED) == first
    assert desk.told_statuses(first) == ["queued"]


def test_a_key_with_another_body_is_refused(desk: Desk) -> None:
    desk.submit(key="k")
    with pytest.raises(IdempotencyConflict):
        desk.submit(key="k", name="another")


def test_another_owner_may_use_the_same_key(desk: Desk) -> None:
    assert desk.submit(key="k") != desk.submit(key="k", owner="another", name="other body")


def test_a_repeat_after_the_job_ended_gives_the_ended_job(desk: Desk) -> None:
    job_id = desk.submit(key="k")
    desk.finish(*desk.claim())
    assert desk.submit(key="k") == job_id
    assert desk.status(job_id) == "succeeded"


def test_twenty_threads_with_one_key_make_one_job(desk: Desk) -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.append(desk.submit(key="k", **NO_SEED))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 20
    assert len(set(ids)) == 1
    assert len(desk.everything()["jobs"]) == 1


def test_a_job_of_another_owner_is_not_there(desk: Desk) -> None:
    job_id = desk.submit(owner="another")
    with pytest.raises(JobNotFound):
        desk.job(job_id)
    with pytest.raises(JobNotFound):
        desk.cancel(job_id)
    with pytest.raises(JobNotFound):
        desk.delete(job_id)


def listed(
    desk: Desk, *, limit: int = 100, after: str | None = None, **only: object
) -> tuple[list[str], bool]:
    with desk.database.read() as session:
        jobs, more = service.list_jobs(session, owner=OWNER, limit=limit, after=after, only=JobFilter(**only))
        return [job.id for job in jobs], more


def test_jobs_are_listed_newest_first_without_those_of_others(desk: Desk) -> None:
    ids = [desk.submit() for _ in range(3)]
    desk.submit(owner="another")
    assert listed(desk) == (ids[::-1], False)


def test_no_jobs_are_an_empty_list(desk: Desk) -> None:
    assert listed(desk) == ([], False)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_hold_every_job_once_although_new_ones_come(desk: Desk, limit: int) -> None:
    ids = [desk.submit() for _ in range(7)]
    found: list[str] = []
    after, more = None, True
    while more:
        page, more = listed(desk, limit=limit, after=after)
        assert len(page) <= limit
        found += page
        after = page[-1]
        desk.submit()
    assert found == ids[::-1]


def test_a_cursor_whose_job_was_deleted_or_never_was_is_refused(desk: Desk) -> None:
    job_id = desk.submit()
    desk.cancel(job_id)
    desk.delete(job_id)
    others = desk.submit(owner="another")
    for cursor in (job_id, "job_never", others):
        with pytest.raises(InvalidRequest) as error:
            listed(desk, after=cursor)
        assert error.value.problems[0].code == "unknown_cursor"
        assert error.value.problems[0].parameter == "after"


def test_filters_keep_what_meets_all_of_them(desk: Desk) -> None:
    a = desk.submit(name="a", metadata={"team": "x", "site": "1"})
    b = desk.submit(name="a", metadata={"team": "x", "site": "2"})
    c = desk.submit(name="c", metadata={"team": "y", "site": "1"})
    desk.cancel(b)
    assert listed(desk, name="a")[0] == [b, a]
    assert listed(desk, statuses=[Status.QUEUED])[0] == [c, a]
    assert listed(desk, statuses=[Status.QUEUED, Status.CANCELLED])[0] == [c, b, a]
    assert listed(desk, metadata={"team": "x"})[0] == [b, a]
    assert listed(desk, metadata={"team": "x", "site": "1"})[0] == [a]
    assert listed(desk, metadata={"site": "1"}, name="c", statuses=[Status.QUEUED])[0] == [c]
    assert listed(desk, metadata={"1": "site"})[0] == []
    assert listed(desk, name="A")[0] == []


def test_the_jobs_ahead_are_those_that_wait_longer(desk: Desk) -> None:
    ids = [desk.submit() for _ in range(3)]
    desk.claim(1)
    with desk.database.read() as session:
        jobs = [service.get(session, job_id, owner=OWNER) for job_id in ids]
        assert [queue.jobs_ahead(session, job) for job in jobs[1:]] == [0, 1]


def test_cancelling_a_queued_job_ends_it_at_once(desk: Desk) -> None:
    job_id = desk.submit()
    assert desk.cancel(job_id) == "cancelled"
    job = desk.job(job_id)
    assert job.stop_reason == "cancelled"
    assert job.cancel_requested_at is not None
    assert job.finished_at is not None
    assert desk.claim() == []


def test_cancelling_a_running_job_asks_its_worker(desk: Desk) -> None:
    ref = desk.running()
    assert desk.cancel(ref.id) == "cancelling"
    assert desk.job(ref.id).finished_at is None
    assert desk.report(ref, progress(1, 1)) == Status.CANCELLING


def test_cancelling_twice_changes_nothing_more(desk: Desk) -> None:
    ref = desk.running()
    desk.cancel(ref.id)
    before = desk.everything()
    assert desk.cancel(ref.id) == "cancelling"
    assert desk.everything() == before


@pytest.mark.parametrize("ended", [SUCCEEDED, FAILED, CANCELLED], ids=lambda ended: ended.status)
def test_a_job_that_has_ended_cannot_be_cancelled(desk: Desk, ended: Ended) -> None:
    ref = desk.running()
    desk.finish(ref, ended)
    before = desk.everything()
    with pytest.raises(StateConflict) as error:
        desk.cancel(ref.id)
    assert ended.status in error.value.message
    assert desk.everything() == before


@pytest.mark.parametrize("ended", [SUCCEEDED, FAILED, CANCELLED], ids=lambda ended: ended.status)
def test_the_first_commit_wins_when_a_cancelled_job_ends_otherwise(desk: Desk, ended: Ended) -> None:
    ref = desk.running()
    desk.cancel(ref.id)
    assert desk.finish(ref, ended)
    assert desk.status(ref.id) == ended.status


def queued(desk: Desk) -> str:
    return desk.submit()


def running(desk: Desk) -> str:
    return desk.running().id


def cancelling(desk: Desk) -> str:
    job_id = desk.running().id
    desk.cancel(job_id)
    return job_id


@pytest.mark.parametrize("state", [queued, running, cancelling])
def test_a_job_that_has_not_ended_cannot_be_deleted(desk: Desk, state: Callable[[Desk], str]) -> None:
    job_id = state(desk)
    before = desk.everything()
    with pytest.raises(StateConflict) as error:
        desk.delete(job_id)
    assert "cancel" in error.value.hint
    assert desk.everything() == before


def test_deleting_takes_everything_that_the_job_owns_and_nothing_else(desk: Desk) -> None:
    desk.submit(name="stays")
    stays = desk.owned_rows()
    ref = desk.running(metadata={"a": "b"})
    desk.report(ref, progress(1, 3))
    desk.finish(ref)
    # A job that has ended has no checkpoints any more.
    assert all(desk.owned_rows()[table] > count for table, count in stays.items() if table != "checkpoints")

    desk.delete(ref.id)
    assert [row for table, rows in desk.everything().items() if table == "job_specs" for row in rows]
    # The other job was claimed meanwhile, which added one event to it.
    assert desk.owned_rows() == {**stays, "job_events": stays["job_events"] + 1}
    with pytest.raises(JobNotFound):
        desk.job(ref.id)


def test_a_number_of_a_deleted_job_is_never_given_again(desk: Desk) -> None:
    job_id = desk.submit()
    seq = desk.job(job_id).seq
    last_event = desk.events(job_id)[-1][0].id
    desk.cancel(job_id)
    desk.delete(job_id)
    again = desk.submit()
    assert desk.job(again).seq > seq
    assert desk.events(again)[0][0].id > last_event


def test_parameters_are_given_when_there_are_some(desk: Desk) -> None:
    def ask(job_id: str) -> bytes:
        with desk.database.read() as session:
            return service.parameters_of(session, service.get(session, job_id, owner=OWNER)).data

    ref = desk.running()
    with pytest.raises(StateConflict):
        ask(ref.id)
    desk.finish(ref)
    assert ask(ref.id) == b"tensors"
    failed = desk.running()
    desk.finish(failed, FAILED)
    with pytest.raises(NoParameters):
        ask(failed.id)


def test_every_change_raises_the_version(desk: Desk) -> None:
    versions = []
    ref = desk.running()
    versions.append(desk.job(ref.id).version)
    desk.report(ref, progress(1, 1))
    versions.append(desk.job(ref.id).version)
    desk.cancel(ref.id)
    versions.append(desk.job(ref.id).version)
    desk.finish(ref)
    versions.append(desk.job(ref.id).version)
    assert versions == sorted(set(versions))


def test_the_body_is_kept_as_it_was_sent(desk: Desk) -> None:
    job_id = desk.submit(name="größe")
    sent = desk.everything()["job_specs"][0]
    assert str(TUTORIAL["data"]["rows"]) in sent[1]
    assert desk.job(job_id).name == "größe"
