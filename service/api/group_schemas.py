"""What callers see of the groups of a job."""

from typing import Literal

from service.api.schemas import JobError, PartRows, Weights, Wire

__all__ = ["Group", "GroupList"]


class Group(Wire):
    """One group of a job, and its model."""

    group: str | int
    """What its rows have in the column of the groups."""
    status: Literal["succeeded", "failed", "skipped"]
    stop_reason: str | None
    """Why its training ended, as of a job; null where its turn never came."""
    rows: PartRows
    epochs: int
    """Completed ones."""
    train_loss: float | None
    """Of its final parameters over all its training rows; null where it has no model."""
    dev_loss: float | None
    test_loss: float | None
    coefficients: Weights | dict[str, Weights] | None
    """Of a linear model: by input name, in raw units; with several outputs, by output name first."""
    intercept: float | Weights | None
    error: JobError | None
    """Why it has no model."""


class GroupList(Wire):
    """A page of the groups, in ascending order."""

    object: Literal["list"]
    data: list[Group]
    has_more: bool
    next_after: str | None
    """Send it as `after` for the next page."""
