"""What the API answers about datasets, as models for its OpenAPI document."""

from datetime import datetime
from typing import Any, Literal

from service.api.schemas import Wire
from service.spec.schema import ColumnKind, Unit
from service.tables.orders import Format

__all__ = ["Dataset", "DatasetList", "Preview"]


class DatasetColumn(Wire):
    """One column. Figures leave missing values out; they are null where there is nothing to say them of."""

    name: str
    kind: ColumnKind
    """`number`, `category` (text of few values), `array` (an image or a vector in each row), or `text`, which
    is free text and not kept."""
    dtype: str
    """Number format of the values, such as `float64` or `uint8`; `str` for categories and text."""
    shape: list[int]
    """Shape of one row's value: empty but for arrays."""
    unit: Unit | None
    """What the numbers are, where the upload said it: those of dates are seconds since 1970, in UTC."""
    missing: int
    """Rows without a value."""
    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    """Standard deviation over the rows, with n in the denominator."""
    distinct: int | None
    """How many distinct values there are; null where they were not counted, as for measurements."""
    values: list[str | float] | None
    """The distinct values in ascending order: the first 100 categories; numbers where they are at most 20, as
    classes are. Null otherwise."""


class DatasetSummary(Wire):
    """An uploaded table, without its columns."""

    id: str
    object: Literal["dataset"]
    name: str | None
    created_at: datetime
    format: Format
    """What was uploaded."""
    rows: int
    column_count: int
    bytes: int
    """Size of the columns as they are kept."""
    uploaded_bytes: int
    """Size of the upload."""
    digest: str
    """Names the content: the same upload, read the same way, has the same digest."""
    links: dict[str, str]
    """Paths of what belongs to the dataset."""


class Dataset(DatasetSummary):
    """An uploaded table: immutable."""

    columns: list[DatasetColumn]


class DatasetList(Wire):
    """A page of datasets, newest first."""

    object: Literal["list"]
    data: list[DatasetSummary]
    has_more: bool
    next_after: str | None
    """Send as `after` for the next page."""


class Preview(Wire):
    """The first rows of a dataset."""

    object: Literal["preview"]
    dataset_id: str
    rows: list[dict[str, Any]]
    """One object for each row. A missing value is null, and so is free text, which is not kept. Seconds since 1970
    are shown as text in ISO 8601, in UTC. An array of more than 100 numbers is told by its `shape`, `minimum` and
    `maximum`."""
