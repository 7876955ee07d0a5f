"""What a spec may refer to: the datasets and the earlier jobs of its sender, in the database."""

from sqlalchemy.orm import Session

from service.datasets import service as datasets
from service.exceptions import DatasetNotFound
from service.jobs import repository
from service.spec.schema import Schema

__all__ = ["DatabaseLibrary"]


class DatabaseLibrary:
    """Looks up what belongs to one owner."""

    def __init__(self, session: Session, owner: str) -> None:
        self._session = session
        self._owner = owner

    def dataset(self, dataset_id: str) -> tuple[Schema, str] | None:
        """Give a dataset's schema and digest, or None if the owner has no such dataset."""
        try:
            return datasets.schema_of(self._session, dataset_id, owner=self._owner)
        except DatasetNotFound:
            return None

    def has_parameters(self, job_id: str) -> bool:
        """Tell whether the owner has a job with this id that left parameters."""
        job = repository.find(self._session, job_id, owner=self._owner)
        return job is not None and repository.parameters(self._session, job) is not None
