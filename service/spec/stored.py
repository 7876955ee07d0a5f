"""Rows of an uploaded dataset."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from service.exceptions import Problem
from service.spec.limits import Limits
from service.spec.selection import Selection

__all__ = ["StoredData"]


class StoredData(Selection):
    """Rows uploaded before: `POST /v1/datasets` gives the id."""

    type: Literal["dataset"]
    id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """Id of the dataset, as in `ds_…`."""
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The dataset's own digest (SHA-256), which the service fills in; sent along, it must be the same."""

    def problems(self, limits: Limits) -> list[Problem]:  # noqa: ARG002 - the signature of every section
        """Nothing can be told before the dataset is looked up."""
        return []
