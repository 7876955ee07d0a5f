"""All SQL about datasets. Functions take a session and never commit."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.datasets.orm import Dataset, DatasetSchema

__all__ = [
    "delete",
    "digests",
    "digests_of",
    "everything",
    "find",
    "find_by_digest",
    "hold",
    "insert",
    "page",
    "schema_text",
]


def insert(session: Session, dataset: Dataset, *, schema: str) -> Dataset:
    """Add a dataset, and its schema unless another owner has the same."""
    if session.get(DatasetSchema, dataset.digest) is None:
        session.add(DatasetSchema(digest=dataset.digest, content=schema))
        session.flush()
    session.add(dataset)
    session.flush()
    return dataset


def find(session: Session, dataset_id: str, *, owner: str, keep: bool = False) -> Dataset | None:
    """Look a dataset of an owner up by its id.

    Args:
        session: Any session.
        dataset_id: The dataset.
        owner: Whose.
        keep: Let nobody delete it before this transaction ends. SQLite's writers wait for each other anyway.
    """
    query = sa.select(Dataset).where(Dataset.id == dataset_id, Dataset.owner == owner)
    return session.scalar(query.with_for_update(read=True) if keep else query)


def find_by_digest(session: Session, digest: str, *, owner: str) -> Dataset | None:
    """Look up the dataset that an owner made of the same upload before."""
    return session.scalar(sa.select(Dataset).where(Dataset.owner == owner, Dataset.digest == digest))


def schema_text(session: Session, digest: str) -> str:
    """Read a schema, as JSON text."""
    return session.scalars(sa.select(DatasetSchema.content).where(DatasetSchema.digest == digest)).one()


def page(session: Session, *, owner: str, limit: int, before: Dataset | None) -> Sequence[Dataset]:
    """List datasets, newest first, from the one uploaded before `before` on."""
    query = sa.select(Dataset).where(Dataset.owner == owner).order_by(Dataset.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(Dataset.seq < before.seq)
    return session.scalars(query).all()


def delete(session: Session, dataset: Dataset) -> bool:
    """Remove a dataset; tell whether nobody else has the same, so that its files can go."""
    session.execute(sa.delete(Dataset).where(Dataset.seq == dataset.seq))
    if session.scalar(sa.select(Dataset.seq).where(Dataset.digest == dataset.digest).limit(1)) is not None:
        return False
    session.execute(sa.delete(DatasetSchema).where(DatasetSchema.digest == dataset.digest))
    return True


def digests(session: Session) -> frozenset[str]:
    """Name all datasets of all owners."""
    return frozenset(session.scalars(sa.select(DatasetSchema.digest)))


def everything(session: Session) -> Sequence[Dataset]:
    """List all datasets of all owners, oldest first."""
    return session.scalars(sa.select(Dataset).order_by(Dataset.seq)).all()


def hold(session: Session, seqs: Collection[int]) -> Sequence[Dataset]:
    """Take datasets in order to remove them: no job can be submitted for them before this transaction ends.

    PostgreSQL: one that a job being submitted holds on to is passed over. SQLite's writers wait for each other anyway.
    """
    query = sa.select(Dataset).where(Dataset.seq.in_(seqs)).order_by(Dataset.seq)
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def digests_of(session: Session, dataset_ids: Collection[str]) -> dict[str, str]:
    """Give the digests of some datasets by their ids, those that are there."""
    query = sa.select(Dataset.id, Dataset.digest).where(Dataset.id.in_(dataset_ids))
    return dict(session.execute(query).all())
