"""The bounds of a submission, asked in the transaction that adds the job."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from service.db import Database
from service.exceptions import QueueFull, QuotaExceeded
from service.jobs import repository, service
from service.jobs.lifecycle import Status
from service.jobs.quotas import UNFINISHED, WAITING, Bounds
from tests.conftest import TUTORIAL
from tests.jobs.desk import SUCCEEDED, Desk
from tests.spec.specs import body_of, parsed


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def submit(desk: Desk, *, owner: str = "somebody", key: str | None = None, **bounds: int) -> str:
    with desk.database.write() as session:
        return service.submit(
            session,
            plan=parsed(TUTORIAL),
            body=body_of(TUTORIAL),
            owner=owner,
            idempotency_key=key,
            bounds=Bounds(**bounds),
        ).id


def test_the_queue_takes_as_many_as_it_may_and_no_more(desk: Desk) -> None:
    for _ in range(3):
        submit(desk, max_queued_jobs=3)
    with pytest.raises(QueueFull) as error:
        submit(desk, owner="another", max_queued_jobs=3)
    assert error.value.retry_after
    desk.claim(1)
    submit(desk, max_queued_jobs=3)


def test_a_paused_job_still_waits(desk: Desk) -> None:
    job_id = submit(desk)
    with desk.database.write() as session:
        repository.move(session, job_id, Status.PAUSED)
    with pytest.raises(QueueFull):
        submit(desk, max_queued_jobs=1)


def test_a_quota_counts_the_unfinished_jobs_of_its_owner(desk: Desk) -> None:
    submit(desk, owner="another")
    first = submit(desk, max_unfinished_jobs=2)
    submit(desk, max_unfinished_jobs=2)
    with pytest.raises(QuotaExceeded):
        submit(desk, max_unfinished_jobs=2)
    (ref,) = [ref for ref in desk.claim(3) if ref.id == first]
    with pytest.raises(QuotaExceeded):
        submit(desk, max_unfinished_jobs=2)
    desk.finish(ref, SUCCEEDED)
    submit(desk, max_unfinished_jobs=2)


def test_a_repetition_is_answered_even_when_nothing_more_is_taken(desk: Desk) -> None:
    first = submit(desk, key="k", max_queued_jobs=1, max_unfinished_jobs=1)
    assert submit(desk, key="k", max_queued_jobs=1, max_unfinished_jobs=1) == first


def test_submissions_side_by_side_do_not_pass_the_bound(desk: Desk) -> None:
    def one(_number: int) -> bool:
        try:
            submit(desk, max_queued_jobs=5)
        except QueueFull:
            return False
        return True

    # Where writers do not queue, those of one moment do not see each other: one of eight threads each.
    most = 5 if desk.database.engine.dialect.name == "sqlite" else 5 + 8 - 1
    with ThreadPoolExecutor(8) as pool:
        assert 5 <= sum(pool.map(one, range(20))) <= most
    assert not one(0)


def test_every_state_is_counted_or_ended() -> None:
    assert WAITING < UNFINISHED
    assert {Status.QUEUED, Status.PAUSED, Status.PAUSING, Status.RUNNING, Status.CANCELLING} == UNFINISHED


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("status IN ('queued', 'paused')", "ix_jobs_queue"),
        ("owner = 'a' AND status IN ('queued', 'running')", "ix_jobs_owner_status"),
    ],
)
def test_counting_reads_an_index_and_no_jobs(desk: Desk, condition: str, index: str) -> None:
    if desk.database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads a table of no rows without any index")
    with desk.database.engine.connect() as connection:
        query = f"EXPLAIN QUERY PLAN SELECT seq FROM jobs WHERE {condition} LIMIT 1 OFFSET 9"  # noqa: S608
        plan = str(connection.exec_driver_sql(query).all())
    assert f"USING COVERING INDEX {index}" in plan
