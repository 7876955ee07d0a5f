"""What a spec may refer to beyond itself."""

from typing import Protocol

from service.spec.schema import Schema

__all__ = ["EmptyLibrary", "Library"]


class Library(Protocol):
    """Looks up datasets and earlier jobs for the caller who sent the spec."""

    def dataset(self, dataset_id: str, /) -> tuple[Schema, str] | None:
        """Give a dataset's schema and digest, or None if the caller has no such dataset."""
        ...

    def has_parameters(self, job_id: str, /) -> bool:
        """Tell whether the caller has a job with this id that left parameters."""
        ...


class EmptyLibrary:
    """Where there are neither datasets nor earlier jobs."""

    def dataset(self, _: str, /) -> None:
        """Give nothing."""

    def has_parameters(self, _: str, /) -> bool:
        """Tell that there are none."""
        return False
