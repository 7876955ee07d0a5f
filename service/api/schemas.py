"""What the API answers, as models for its OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.lifecycle import Status, StopReason
from service.spec.job import JobSpec
from service.spec.values import Cell, Values

__all__ = [
    "CheckpointList",
    "Event",
    "EventMessage",
    "History",
    "Job",
    "JobList",
    "Parameters",
    "Prediction",
    "PredictionRequest",
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
    seconds: float
    """Training time so far, all attempts together; waiting and pauses do not count."""
    eta_seconds: float | None
    """Training time that the rest will take at the pace so far, as of the last report."""
    train_loss: float | None
    """Loss of the last recorded epoch."""
    dev_loss: float | None


class Queue(Wire):
    """Where a queued job stands."""

    jobs_ahead: int
    """Jobs that a worker takes before this one."""


Weights = dict[str, float | None]


class Truth(Wire):
    """The parameters behind synthetic data, and how far the fit is from them."""

    coefficients: Weights
    intercept: float
    difference: "Difference"


class Difference(Wire):
    """True parameters minus fitted ones."""

    coefficients: Weights
    intercept: float | None


class PartRows(Wire):
    """How many rows each part has."""

    train: int
    dev: int
    test: int


class SplitOut(Wire):
    """Which rows were for what."""

    rows: PartRows
    digest: str | None
    """SHA-256 over one byte for each row of the data: 0 train, 1 dev, 2 test, 255 left out; null where each group
    is split by itself."""


Metrics = dict[str, Any]
"""Metrics by name: numbers, null where undefined; a confusion matrix is a list of rows."""


class Run(Wire):
    """One of several trainings of a job."""

    kind: Literal["restart", "fold", "final", "training"]
    seed: int
    first_epoch: int
    """Number of its first epoch in the job's history."""
    epochs: int
    stop_reason: str
    train_loss: float | None
    dev_loss: float | None
    metrics: dict[str, Metrics]


class Summary(Wire):
    """A figure over all folds."""

    mean: float
    std: float
    """Standard deviation, with n - 1 in the denominator."""
    folds: int


class LossSummary(Wire):
    """Losses of many groups in short."""

    min: float
    median: float
    mean: float
    max: float


class GroupsSummary(Wire):
    """The groups of a job in short: `GET …/groups` has each of them."""

    column: str
    """What tells them apart."""
    count: int
    succeeded: int
    """Groups that have a model."""
    failed: int
    """Groups that could not be trained on; the others are none the worse for it."""
    skipped: int
    """Groups whose turn had not come when the job was ended before its time."""
    losses: dict[str, LossSummary | None]
    """By part (`train`, `dev`, `test`), over the groups that have a model."""


class Result(Wire):
    """What came out."""

    train_loss: float | None
    """Loss of the final parameters over all training rows."""
    dev_loss: float | None
    """The same over the dev rows; null where there are none."""
    test_loss: float | None
    """The same over the test rows, which nothing else has looked at."""
    metrics: dict[str, Metrics]
    """By part (`train`, `dev`, `test`), then by name; in raw units."""
    coefficients: Weights | dict[str, Weights] | None = None
    """Of a linear model: by input name, in raw units; with several outputs, by output name first."""
    intercept: float | Weights | None = None
    truth: Truth | None = None
    """Of synthetic data whose formula the model can take on."""
    classes: list[str | float] | None = None
    """In the order of the network's outputs and of a confusion matrix."""
    kept_epoch: int
    """Epoch of the history whose parameters the job has."""
    split: SplitOut
    runs: list[Run] | None = None
    """All trainings, where there are several."""
    kept_run: int | None = None
    """Which of them the parameters are from, counted from 1."""
    groups: GroupsSummary | None = None
    """Where each group has a model of its own: how many have. The losses are then means over these groups."""
    cross_validation: dict[str, Summary] | None = None
    """Dev loss (`loss`) and dev metrics over the folds."""
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


class Cause(Wire):
    """Why a job changed its state, where the state alone does not say it."""

    code: str
    """`requested`, `runner_died`, `worker_died`, `worker_silent`, `worker_stopped`, `claim_lost`, `killed` or `restored`."""
    message: str


class Transition(Wire):
    """A change of state."""

    status: Status
    at: datetime
    attempt: int
    cause: Cause | None


class SweepPlace(Wire):
    """Where in a sweep a job is."""

    id: str
    trial: int


class Engine(Wire):
    """What makes the steps of a training."""

    name: str
    """`eager` is plain torch, the reference; the others compute the same training faster."""
    reason: str
    """Why this one, in a sentence."""


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
    priority: int
    """Jobs of a higher priority are taken from the queue first."""
    attempt: int
    """How often a worker has taken the job."""
    transitions: list[Transition]
    """Every change of state with its date, the newest last; of a job with very many, the newest hundred."""
    rerun_of: str | None
    """The job whose spec this one repeats."""
    sweep: SweepPlace | None
    """The sweep that it is part of, with which alone it is deleted."""
    device: str | None
    engine: Engine | None
    """What makes the steps; null until the training begins."""
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


class Checkpoint(Wire):
    """A point from which a job can go on."""

    object: Literal["checkpoint"]
    job_id: str
    number: int
    """Counts the checkpoints of the job."""
    attempt: int
    reason: Literal["interval", "pause", "drain", "yield"]
    created_at: datetime
    epoch: int
    """Completed epochs at that moment."""
    fraction: float
    """Share of the training that was done, from 0 to 1."""
    digest: str
    """SHA-256 of the file."""
    bytes: int
    """Size of the file."""
    environment: dict[str, Any]
    """What must be equal for going on bit for bit."""
    links: dict[str, str]


class CheckpointList(Wire):
    """The checkpoints of a job, the newest first."""

    object: Literal["list"]
    data: list[Checkpoint]
    has_more: Literal[False]
    next_after: None


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
    coefficients: Weights | dict[str, Weights] | None
    """Of a linear model: by input name, in raw units; with several outputs, by output name first."""
    intercept: float | Weights | None
    groups: list[str | int] | None = None
    """Of a job with groups: those that have a model, in the order of the first axis of each tensor."""
    tensors: dict[str, Tensor]
    """By state-dict name."""


class PredictionRequest(BaseModel):
    """Rows to predict, by column or by row."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    columns: dict[str, Values] | None = None
    """The values of each feature, all of one length: numbers, texts, or arrays; null where one is missing."""
    rows: Annotated[list[dict[str, Cell]], Field(fail_fast=True)] | None = None
    """One object for each row."""


Value = float | str | list[int] | None


class CheckpointPlace(Wire):
    """The checkpoint that a prediction was made from."""

    number: int
    epoch: int
    """Completed epochs at that moment."""


class Prediction(Wire):
    """The predictions in raw units, in the form in which the rows were sent.

    By row, probabilities and standard deviations stand beside the predictions of each row.
    """

    object: Literal["prediction"]
    job_id: str
    """The job that trained the parameters."""
    model: str | None = None
    """The registered model, where one was asked."""
    version: int | None = None
    """The version of that model that predicted."""
    model_id: str | None = None
    """Id of that version."""
    checkpoint: CheckpointPlace | None = None
    """Of a job that has not ended: the newest checkpoint, whose parameters predicted."""
    columns: dict[str, list[Value]] | None = None
    """By target column: numbers, or the classes themselves."""
    probabilities: dict[str, Series] | None = None
    """Of each class, or of yes for each label; only where the loss gives probabilities."""
    std: dict[str, Series] | None = None
    """Standard deviation of each prediction; only of `GaussianNLLLoss`."""
    rows: list["PredictedRow"] | None = None


class PredictedRow(Wire):
    """The prediction of one row: a field for each target column, and these.

    A target column of the same name keeps it: then these are called `probabilities (2)` or `std (2)`.
    """

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, Value | dict[str, float | None]]

    probabilities: dict[str, float | None] | Value = None
    std: dict[str, float | None] | Value = None


class StatusEvent(Wire):
    """The job changed its state."""

    type: Literal["status"]
    at: datetime
    status: Status
    terminal: bool
    stop_reason: StopReason | None
    attempt: int
    error: JobError | None
    cause: Cause | None = None
    """Why, where the state alone does not say it."""


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
