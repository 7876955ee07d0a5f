"""What the API answers, as models for its OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.lifecycle import Status, StopReason
from service.spec.job import JobSpec
from service.spec.limits import Limits

__all__ = [
    "Capabilities",
    "Event",
    "EventMessage",
    "Health",
    "History",
    "Job",
    "JobList",
    "Parameters",
    "Prediction",
    "PredictionRequest",
    "Readiness",
    "Validation",
]


class Wire(BaseModel):
    """An answer: its fields are documented by the strings beneath them."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Progress(Wire):
    """How far a training is."""

    epoch: int
    """Epochs whose history is recorded."""
    epochs: int
    """Epochs in all."""
    fraction: float
    """Share of the training that is done, from 0 to 1."""
    eta_seconds: float | None
    """Seconds that the rest will take at the pace so far, as of the last report."""
    train_loss: float | None
    """Loss of the last recorded epoch."""
    dev_loss: float | None


class Queue(Wire):
    """Where a queued job stands."""

    jobs_ahead: int
    """Jobs that a worker takes before this one."""


class Result(Wire):
    """What came out."""

    train_loss: float | None
    """Loss of the final parameters over all training rows."""
    dev_loss: float | None
    test_loss: float | None
    metrics: dict[str, float]
    coefficients: dict[str, float] | None = None
    """Of a linear model: by feature name, in raw units."""
    intercept: float | None = None
    warnings: list["JobError"]
    """What makes the fit doubtful, such as a loss that grew."""


class JobError(Wire):
    """What is wrong with a job, and what to do about it."""

    code: str
    """Stable name in snake_case."""
    message: str
    hint: str


class EffectiveSpec(JobSpec):
    """The spec with every default and every choice of the service filled in: sent again, it repeats the fit."""


class Job(Wire):
    """One request to train, with its life cycle."""

    id: str
    object: Literal["job"]
    name: str | None
    status: Status
    terminal: bool
    """Whether the job has ended, so that no client needs a list of states."""
    stop_reason: StopReason | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    queue: Queue | None
    """Only while the job is queued."""
    attempt: int
    """How often a worker has taken the job."""
    device: str | None
    seed: int
    spec: EffectiveSpec
    result: Result | None
    error: JobError | None
    metadata: dict[str, str]
    links: dict[str, str]
    """Paths of what belongs to the job."""


class JobList(Wire):
    """A page of jobs, newest first."""

    object: Literal["list"]
    data: list[Job]
    has_more: bool
    next_after: str | None
    """Send it as `after` to get the next page."""


class Advice(Wire):
    """Something that works but is rarely meant."""

    pointer: str
    code: str
    message: str


class Validation(Wire):
    """What a job would be, without running it."""

    object: Literal["validation"]
    valid: Literal[True]
    spec: EffectiveSpec
    parameters: int
    """Trained numbers."""
    peak_bytes: int
    """Estimated memory at its peak."""
    estimated_seconds: float
    """Estimated training time on the workers at hand, without the queue; within a factor of about three."""
    warnings: list[Advice]


Series = list[float | None]


class HistoryColumns(BaseModel):
    """Series of one length. Metrics follow under their own names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Series]

    epoch: list[int]
    train_loss: Series
    dev_loss: Series
    learning_rate: Series


class History(Wire):
    """The per-epoch series of a job."""

    object: Literal["history"]
    job_id: str
    columns: HistoryColumns


class Tensor(Wire):
    """One trained tensor."""

    shape: list[int]
    dtype: str
    values: Any
    """Nested lists; NaN and infinities as null."""


class Parameters(Wire):
    """What was trained."""

    object: Literal["parameters"]
    job_id: str
    coefficients: dict[str, float | None] | None
    """Of a linear model: by feature name, in raw units."""
    intercept: float | None
    tensors: dict[str, Tensor]
    """By state-dict name."""


Number = Annotated[float, Field(allow_inf_nan=False)]


class PredictionRequest(BaseModel):
    """Rows to predict, by column or by row."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    columns: dict[str, Annotated[list[Number], Field(fail_fast=True)]] | None = None
    """The values of each feature, all of one length."""
    rows: Annotated[list[dict[str, Number]], Field(fail_fast=True)] | None = None
    """One object for each row."""


class Prediction(Wire):
    """The predictions, in the form in which the rows were sent."""

    object: Literal["prediction"]
    job_id: str
    columns: dict[str, Series] | None = None
    rows: list[dict[str, float | None]] | None = None


class StatusEvent(Wire):
    """The job changed its state."""

    type: Literal["status"]
    at: datetime
    status: Status
    terminal: bool
    stop_reason: StopReason | None
    attempt: int
    error: JobError | None


class HistoryEvent(Wire):
    """More epochs are recorded."""

    type: Literal["history"]
    at: datetime
    columns: HistoryColumns


class LogEvent(Wire):
    """Something worth knowing happened."""

    type: Literal["log"]
    at: datetime
    level: str
    message: str


Event = Annotated[StatusEvent | HistoryEvent | LogEvent, Field(discriminator="type")]


class EventMessage(Wire):
    """One message of the event stream."""

    id: str
    """Send the last one as `Last-Event-ID` to go on after it."""
    event: Literal["status", "history", "log"]
    """The event's type once more, for `EventSource.addEventListener`."""
    data: Annotated[
        str,
        Field(
            json_schema_extra={
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": "#/components/schemas/Event"},
            }
        ),
    ]
    """An Event as JSON."""


class CapabilityEntry(Wire):
    """Something that a spec can name."""

    name: str
    summary: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """JSON Schema of its parameters."""


class Capabilities(Wire):
    """Everything that this service can do."""

    object: Literal["capabilities"]
    version: str
    models: list[CapabilityEntry]
    losses: list[CapabilityEntry]
    optimizers: list[CapabilityEntry]
    data: list[CapabilityEntry]
    distributions: list[CapabilityEntry]
    noise: list[CapabilityEntry]
    training: list[CapabilityEntry]
    schedulers: list[CapabilityEntry]
    metrics: list[CapabilityEntry]
    plots: list[str]
    devices: list[str]
    """Devices of the workers that are alive."""
    limits: Limits


class Health(Wire):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Wire):
    """Whether jobs would be accepted and trained now."""

    ready: bool
    checks: dict[str, str]
    """`ok`, or what is missing."""
