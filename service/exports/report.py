"""What is told of an exported file beside the file itself."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Exported", "Report"]


class Report(BaseModel):
    """How a file was verified."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    format: str
    verified: bool
    """Whether the file was loaded and held against the service's own predictions before it was handed out."""
    how: str
    """What was compared, in words."""
    rows: int
    """Rows that were predicted with both; 0 where nothing was predicted."""
    largest_difference: float | None
    """The largest difference of two numbers, in the units of their column."""
    largest_relative_difference: float | None
    """The largest of these differences, each as a share of the largest number in its column: what is bounded."""
    tolerance: float | None
    """What `largest_relative_difference` may be; above it the export fails."""
    bytes: int
    digest: str
    """SHA-256 of the file, in hexadecimal."""
    versions: dict[str, str]
    """Of what made and loaded it."""


class Exported(BaseModel):
    """An exported file and its report."""

    model_config = ConfigDict(frozen=True)

    data: bytes
    report: Report
