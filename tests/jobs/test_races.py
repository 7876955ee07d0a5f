"""Two transactions at the same time: the second waits or passes over, and decides on what the first has committed."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy.orm import Session

from service.datasets import service as datasets
from service.datasets.orm import Dataset
from service.db import Database
from service.exceptions import IdempotencyConflict, InvalidSpec, StateConflict
from service.jobs import attempts, service
from service.jobs.library import DatabaseLibrary
from service.jobs.uses import job_that_needs
from service.spec.plan import Plan
from service.spec.schema import Column, Schema
from service.tables.files import Manifest
from service.tables.orders import ReadOptions
from tests.conftest import TUTORIAL
from tests.jobs.desk import CAUSE, OWNER, Desk
from tests.spec.specs import body_of, parsed

Result = TypeVar("Result")
TABLE = Schema(
    rows=3,
    columns=tuple(
        Column(name=name, kind="number", dtype="float64", minimum=-1.0, maximum=1.0, mean=0.0, std=1.0)
        for name in ("x", "y")
    ),
)


def meanwhile(
    desk: Desk, first: Callable[[Session], object], second: Callable[[], Result], *, commit: bool = True
) -> Future[Result]:
    """Do the first in a transaction that is still open when the second begins, then end it."""
    with ThreadPoolExecutor(1) as pool:
        with desk.database.write() as session:
            first(session)
            future = pool.submit(second)
            time.sleep(0.2)
            if not commit:
                session.rollback()
        return future


def submitting(key: str, **changes: object) -> Callable[[Session], str]:
    spec = {**TUTORIAL, **changes}
    plan, body = parsed(spec), body_of(spec)
    return lambda session: service.submit(session, plan=plan, body=body, owner=OWNER, idempotency_key=key).id


def test_a_key_that_is_on_its_way_gives_the_job_that_comes_of_it(desk: Desk) -> None:
    first: list[str] = []
    second = meanwhile(desk, lambda s: first.append(submitting("k")(s)), lambda: desk.submit(key="k"))
    assert [second.result()] == first
    assert desk.owned_rows()["job_specs"] == 1


def test_a_key_whose_first_job_came_to_nothing_makes_one(desk: Desk) -> None:
    second = meanwhile(desk, submitting("k"), lambda: desk.submit(key="k"), commit=False)
    assert desk.status(second.result()) == "queued"
    assert desk.told_statuses(second.result()) == ["queued"]


def test_a_key_that_is_on_its_way_with_another_body_is_refused(desk: Desk) -> None:
    second = meanwhile(desk, submitting("k"), lambda: desk.submit(key="k", name="other"))
    with pytest.raises(IdempotencyConflict):
        second.result()


def test_a_cancel_that_meets_a_claim_stops_the_worker_instead_of_the_queue(desk: Desk) -> None:
    job_id = desk.submit()
    second = meanwhile(
        desk,
        lambda session: attempts.claim(session, worker_id="worker_a", slots=1),
        lambda: desk.cancel(job_id),
    )
    assert second.result() == "cancelling"
    assert desk.job(job_id).worker_id == "worker_a"
    assert desk.told_statuses(job_id) == ["queued", "running", "cancelling"]


def test_a_claim_that_meets_a_cancel_gets_nothing(desk: Desk) -> None:
    job_id = desk.submit()
    second = meanwhile(desk, lambda s: service.cancel(s, job_id, owner=OWNER), desk.claim)
    assert second.result() == []
    assert desk.told_statuses(job_id) == ["queued", "cancelled"]


def test_a_cancel_that_meets_the_end_is_told_so(desk: Desk) -> None:
    ref = desk.running()
    second = meanwhile(
        desk,
        lambda session: attempts.crashed(session, ref, max_crashes=1, cause=CAUSE),
        lambda: desk.cancel(ref.id),
    )
    with pytest.raises(StateConflict, match="failed"):
        second.result()


def test_two_workers_never_get_one_job(desk: Desk) -> None:
    ids = {desk.submit() for _ in range(3)}
    first: list[list[attempts.Claim]] = []
    second = meanwhile(
        desk,
        lambda session: first.extend(attempts.claim(session, worker_id="worker_a", slots=1, together=2)),
        lambda: desk.claim(2, "worker_b"),
    )
    claimed = [*(claim.ref for bundle in first for claim in bundle), *second.result()]
    assert {ref.id for ref in claimed} == ids
    assert len(claimed) == 3


def test_a_worker_does_not_wait_for_what_another_is_taking(desk: Desk) -> None:
    if desk.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite's writers wait for each other")
    ids = [desk.submit() for _ in range(2)]
    with desk.database.write() as session:
        ((first,),) = attempts.claim(session, worker_id="worker_a", slots=1, together=1)
        (second,) = desk.claim(1, "worker_b")
    assert [first.ref.id, second.id] == ids


def starting_from(desk: Desk, source: str) -> tuple[Plan, bytes]:
    spec = {**TUTORIAL, "model": {"type": "linear", "init_from": source}}
    with desk.database.read() as session:
        return parsed(spec, library=DatabaseLibrary(session, OWNER)), body_of(spec)


def test_a_job_to_start_from_is_not_deleted_under_the_one_that_does(desk: Desk) -> None:
    source = desk.running()
    desk.finish(source)
    plan, body = starting_from(desk, source.id)
    second = meanwhile(
        desk,
        lambda session: service.submit(session, plan=plan, body=body, owner=OWNER),
        lambda: desk.delete(source.id),
    )
    with pytest.raises(StateConflict, match="starts from"):
        second.result()
    assert desk.parameters(source.id)


def test_a_job_that_starts_from_one_that_is_being_deleted_is_refused(desk: Desk) -> None:
    source = desk.running()
    desk.finish(source)
    plan, body = starting_from(desk, source.id)

    def submit() -> str:
        with desk.database.write() as session:
            return service.submit(session, plan=plan, body=body, owner=OWNER).id

    second = meanwhile(desk, lambda session: service.delete(session, source.id, owner=OWNER), submit)
    with pytest.raises(InvalidSpec):
        second.result()


def dataset(database: Database) -> Dataset:
    manifest = Manifest(
        digest="d" * 64,
        options=ReadOptions(format="csv"),
        source_sha256="0" * 64,
        source_bytes=12,
        table=TABLE,
        files=(),
    )
    with database.write() as session:
        return datasets.register(session, manifest, owner=OWNER, name=None)[0]


def training_on(desk: Desk, found: Dataset) -> Callable[[Session], str]:
    spec = {**TUTORIAL, "data": {"type": "dataset", "id": found.id, "features": ["x"], "target": "y"}}
    with desk.database.read() as session:
        plan = parsed(spec, library=DatabaseLibrary(session, OWNER))
    return lambda session: service.submit(session, plan=plan, body=body_of(spec), owner=OWNER).id


def deleting(found: Dataset) -> Callable[[Session], str | None]:
    """As the API does: the row first, then the question who needs it."""

    def delete(session: Session) -> str | None:
        datasets.delete(session, datasets.get(session, found.id, owner=OWNER))
        return job_that_needs(session, found.id)

    return delete


def in_a_transaction(desk: Desk, action: Callable[[Session], Result]) -> Callable[[], Result]:
    def act() -> Result:
        with desk.database.write() as session:
            return action(session)

    return act


def test_whoever_deletes_a_dataset_sees_the_job_that_is_on_its_way(desk: Desk) -> None:
    found = dataset(desk.database)
    job_ids: list[str] = []
    submit = training_on(desk, found)
    second = meanwhile(desk, lambda s: job_ids.append(submit(s)), in_a_transaction(desk, deleting(found)))
    assert [second.result()] == job_ids


def test_a_job_on_a_dataset_that_is_being_deleted_is_refused(desk: Desk) -> None:
    found = dataset(desk.database)
    second = meanwhile(desk, deleting(found), in_a_transaction(desk, training_on(desk, found)))
    with pytest.raises(InvalidSpec):
        second.result()
