"""What callers can do with datasets. Nothing here commits: whoever opened the session does."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from service.datasets import repository
from service.datasets.orm import Dataset
from service.db import drawn_id, now
from service.exceptions import DatasetNotFound, InvalidRequest, Problem
from service.spec.schema import Schema
from service.tables.files import Manifest

__all__ = ["delete", "get", "known", "list_datasets", "register", "schema_of"]


def known(session: Session, digest: str, *, owner: str) -> Dataset | None:
    """Look up what an owner made of the same upload before."""
    return repository.find_by_digest(session, digest, owner=owner)


def register(session: Session, manifest: Manifest, *, owner: str, name: str | None) -> tuple[Dataset, bool]:
    """Give an owner a dataset whose files are there.

    The same upload twice gives the dataset of the first time, with the name that it had.

    Args:
        session: A writing session.
        manifest: What the files are.
        owner: Whose dataset it is.
        name: For people.

    Returns:
        The dataset, and whether it is new.
    """
    before = repository.find_by_digest(session, manifest.digest, owner=owner)
    if before is not None:
        return before, False
    dataset = Dataset(
        id=drawn_id("ds"),
        owner=owner,
        name=name,
        digest=manifest.digest,
        format=manifest.options.format,
        rows=manifest.table.rows,
        column_count=len(manifest.table.columns),
        stored_bytes=manifest.stored_bytes,
        uploaded_bytes=manifest.source_bytes,
        created_at=now(),
    )
    return repository.insert(session, dataset, schema=manifest.table.model_dump_json()), True


def get(session: Session, dataset_id: str, *, owner: str, keep: bool = False) -> Dataset:
    """Look up a dataset.

    Args:
        session: Any session.
        dataset_id: The dataset.
        owner: Whose.
        keep: Let nobody delete it before this transaction ends.

    Raises:
        DatasetNotFound: There is none with this id, or it is somebody else's.
    """
    dataset = repository.find(session, dataset_id, owner=owner, keep=keep)
    if dataset is None:
        raise DatasetNotFound(f"There is no dataset `{dataset_id[:80]}`.")
    return dataset


def schema_of(session: Session, dataset_id: str, *, owner: str) -> tuple[Schema, str]:
    """Tell the columns of a dataset, and the digest that names its folder.

    Raises:
        DatasetNotFound: There is none with this id, or it is somebody else's.
    """
    dataset = get(session, dataset_id, owner=owner)
    return Schema.model_validate_json(repository.schema_text(session, dataset.digest)), dataset.digest


def list_datasets(
    session: Session, *, owner: str, limit: int, after: str | None
) -> tuple[Sequence[Dataset], bool]:
    """List datasets, newest first.

    Args:
        session: Any session.
        owner: Whose datasets.
        limit: At most so many.
        after: Id of the last dataset of the page before.

    Returns:
        The datasets, and whether more follow.

    Raises:
        InvalidRequest: `after` is not the id of a dataset.
    """
    cursor = None if after is None else repository.find(session, after, owner=owner)
    if after is not None and cursor is None:
        hint = "Send the `next_after` of the page before; if that dataset was deleted, start again without `after`."
        raise InvalidRequest(
            [Problem(None, "unknown_cursor", f"`{after[:80]}` is not a dataset.", hint, "after")]
        )
    found = repository.page(session, owner=owner, limit=limit + 1, before=cursor)
    return found[:limit], len(found) > limit


def delete(session: Session, dataset: Dataset) -> str | None:
    """Remove a dataset.

    Returns:
        The digest whose files nobody needs any more; None where somebody else has the same dataset.
    """
    return dataset.digest if repository.delete(session, dataset) else None
