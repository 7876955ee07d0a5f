"""The body of `POST /v1/predictions`: which model, which dataset, and which of its columns the result repeats."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from service.exceptions import InvalidRequest, Problem
from service.spec.base import NO_NUL, NOT_IN_SCHEMA, ColumnName, SpecModel
from service.spec.problems import problems_of

__all__ = ["BatchPredictionOrder", "DatasetToPredict", "read"]

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_NUL), NOT_IN_SCHEMA]


class DatasetToPredict(SpecModel):
    """The rows to predict."""

    type: Literal["dataset"]
    id: Name
    """Id of an uploaded dataset, as in `ds_…`."""


class BatchPredictionOrder(SpecModel):
    """What to predict, and with what: a job that has ended, or a registered model."""

    job: Name | None = None
    """Id of a job that left parameters."""
    model: Name | None = None
    """Name of a registered model, instead of a job."""
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | Name | None = None
    """Of the model: a number, an alias, or `latest`. Left out: the alias `champion` where there is one, else the newest."""
    data: DatasetToPredict
    keep: Annotated[tuple[ColumnName, ...], Field(max_length=100)] = ()
    """Columns of the dataset that the result repeats, such as an id."""


def read(body: bytes) -> BatchPredictionOrder:
    """Read an order from JSON.

    Raises:
        InvalidRequest: With every problem that was found, by JSON Pointer.
    """
    try:
        order = BatchPredictionOrder.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(problems_of(error, BatchPredictionOrder)) from None
    problems = [*_source_problems(order), *_keep_problems(order)]
    if problems:
        raise InvalidRequest(problems)
    return order


def _source_problems(order: BatchPredictionOrder) -> list[Problem]:
    if (order.job is None) == (order.model is None):
        hint = 'As in {"job": "job_…"} or {"model": "calibration", "version": 2}.'
        code = "missing" if order.job is None else "incompatible_fields"
        return [Problem("", code, "A prediction needs either a job or a model, and not both.", hint)]
    if order.job is not None and order.version is not None:
        message = "`version` says nothing about a job: it is for registered models."
        return [Problem("/version", "incompatible_fields", message, "Leave it out.")]
    return []


def _keep_problems(order: BatchPredictionOrder) -> list[Problem]:
    return [
        Problem(f"/keep/{place}", "duplicate_column", f"`{name}` is named twice.", "Name each column once.")
        for place, name in enumerate(order.keep)
        if name in order.keep[:place]
    ]
