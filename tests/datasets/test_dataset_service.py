"""Rows of datasets: owners, digests and the list."""

import pytest
import sqlalchemy as sa

from service.datasets import repository, service
from service.datasets.orm import Dataset, DatasetSchema
from service.db import Database
from service.exceptions import DatasetNotFound, InvalidRequest
from service.jobs.lifecycle import Status
from service.jobs.orm import Job
from service.jobs.uses import job_that_needs
from service.spec.schema import Column, Schema
from service.tables.files import Manifest
from service.tables.orders import ReadOptions
from tests.jobs.desk import Desk

TABLE = Schema(rows=3, columns=(Column(name="c", kind="category", dtype="str", values=("a\0", "ü")),))


def manifest(digest: str = "d" * 64) -> Manifest:
    return Manifest(
        digest=digest,
        options=ReadOptions(format="csv"),
        source_sha256="0" * 64,
        source_bytes=12,
        table=TABLE,
        files=(),
    )


def register(database: Database, *, owner: str = "ann", digest: str = "d" * 64) -> tuple[Dataset, bool]:
    with database.write() as session:
        return service.register(session, manifest(digest), owner=owner, name="first")


def delete(database: Database, dataset_id: str, *, owner: str = "ann") -> str | None:
    with database.write() as session:
        return service.delete(session, service.get(session, dataset_id, owner=owner))


def test_the_same_upload_gives_the_same_dataset(database: Database) -> None:
    first, created = register(database)
    again, created_again = register(database)
    assert (created, created_again) == (True, False)
    assert first.id == again.id
    assert first.id.startswith("ds_")
    assert (first.rows, first.column_count, first.uploaded_bytes) == (3, 1, 12)


def test_another_owner_has_a_dataset_of_its_own_with_the_same_files(database: Database) -> None:
    mine, _ = register(database)
    theirs, created = register(database, owner="bob")
    assert created
    assert mine.id != theirs.id
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(DatasetSchema)) == 1
        with pytest.raises(DatasetNotFound):
            service.get(session, theirs.id, owner="ann")
        with pytest.raises(DatasetNotFound):
            service.schema_of(session, theirs.id, owner="ann")
    assert delete(database, mine.id) is None
    assert delete(database, theirs.id, owner="bob") == "d" * 64
    with database.read() as session:
        assert repository.digests(session) == frozenset()


def test_the_schema_comes_back_as_it_was(database: Database) -> None:
    dataset, _ = register(database)
    with database.read() as session:
        assert service.schema_of(session, dataset.id, owner="ann") == (TABLE, "d" * 64)


def test_the_list_is_newest_first_and_goes_on_after_a_cursor(database: Database) -> None:
    ids = [register(database, digest=str(number) * 64)[0].id for number in range(5)]
    register(database, owner="bob")
    with database.read() as session:
        page, more = service.list_datasets(session, owner="ann", limit=2, after=None)
        assert ([one.id for one in page], more) == (ids[:2:-1], True)
        rest, more = service.list_datasets(session, owner="ann", limit=3, after=page[-1].id)
        assert ([one.id for one in rest], more) == (ids[2::-1], False)
        with pytest.raises(InvalidRequest):
            service.list_datasets(session, owner="bob", limit=3, after=ids[0])


@pytest.mark.parametrize("status", list(Status))
def test_a_job_that_has_not_ended_needs_its_dataset(database: Database, status: Status) -> None:
    job_id = Desk(database).submit()
    with database.write() as session:
        session.execute(sa.update(Job).values(dataset_id="ds_1", status=status))
    with database.read() as session:
        ended = status in {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}
        assert job_that_needs(session, "ds_1") == (None if ended else job_id)
        assert job_that_needs(session, "ds_2") is None
