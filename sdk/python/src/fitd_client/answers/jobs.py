"""Answers about jobs: their life, their result, and what they leave."""

from datetime import datetime
from typing import Any

from pydantic_core import from_json

from fitd_client.answers.base import Answer, Warned, WhatIsWrong

__all__ = [
    "Cause",
    "Checkpoint",
    "CheckpointPlace",
    "Difference",
    "Engine",
    "Event",
    "Group",
    "GroupsSummary",
    "History",
    "HistoryEvent",
    "Job",
    "LogEvent",
    "LossSummary",
    "Parameters",
    "PartRows",
    "Prediction",
    "Progress",
    "Queue",
    "Result",
    "Run",
    "SplitOut",
    "StatusEvent",
    "Summary",
    "SweepPlace",
    "Tensor",
    "Transition",
    "Truth",
    "Validation",
    "event_of",
]

Weights = dict[str, float | None]
Series = list[float | None]
Metrics = dict[str, Any]


class Progress(Answer):
    """How far a training is."""

    epoch: int
    """Epochs whose history is recorded."""
    epochs: int
    """Epochs in all."""
    fraction: float
    """Share of the training that is done, from 0 to 1."""
    seconds: float
    """Training time so far; waiting and pauses do not count."""
    eta_seconds: float | None
    """Training time that the rest will take at the pace so far."""
    train_loss: float | None
    """Loss of the last recorded epoch."""
    dev_loss: float | None


class Queue(Answer):
    """Where a queued job stands."""

    jobs_ahead: int


class Difference(Answer):
    """True parameters minus fitted ones."""

    coefficients: Weights
    intercept: float | None


class Truth(Answer):
    """The parameters behind synthetic data, and how far the fit is from them."""

    coefficients: Weights
    intercept: float
    difference: Difference


class PartRows(Answer):
    """How many rows each part has."""

    train: int
    dev: int
    test: int


class SplitOut(Answer):
    """Which rows were for what."""

    rows: PartRows
    digest: str | None


class Run(Answer):
    """One of several trainings of a job."""

    kind: str
    seed: int
    first_epoch: int
    epochs: int
    stop_reason: str
    train_loss: float | None
    dev_loss: float | None
    metrics: dict[str, Metrics]


class Summary(Answer):
    """A figure over all folds."""

    mean: float
    std: float
    folds: int


class LossSummary(Answer):
    """Losses of many groups in short."""

    min: float
    median: float
    mean: float
    max: float


class GroupsSummary(Answer):
    """The groups of a job in short."""

    column: str
    count: int
    succeeded: int
    failed: int
    skipped: int
    losses: dict[str, LossSummary | None]


class Result(Answer):
    """What came out."""

    train_loss: float | None
    """Loss of the final parameters over all training rows."""
    dev_loss: float | None
    test_loss: float | None
    metrics: dict[str, Metrics]
    """By part (`train`, `dev`, `test`), then by name; in raw units."""
    coefficients: Weights | dict[str, Weights] | None = None
    """Of a linear model: by input name, in raw units; with several outputs, by output name first."""
    intercept: float | Weights | None = None
    truth: Truth | None = None
    classes: list[str | float] | None = None
    """In the order of the network's outputs."""
    kept_epoch: int
    """Epoch whose parameters the job has."""
    split: SplitOut
    runs: list[Run] | None = None
    kept_run: int | None = None
    groups: GroupsSummary | None = None
    cross_validation: dict[str, Summary] | None = None
    warnings: list[WhatIsWrong]
    """What makes the fit doubtful."""


class Cause(Answer):
    """Why a job changed its state, where the state alone does not say it."""

    code: str
    message: str


class Transition(Answer):
    """A change of state."""

    status: str
    at: datetime
    attempt: int
    cause: Cause | None


class SweepPlace(Answer):
    """Where in a sweep a job is."""

    id: str
    trial: int


class Engine(Answer):
    """What makes the steps of a training."""

    name: str
    reason: str


class Job(Answer):
    """One request to train, with its life cycle."""

    id: str
    object: str
    name: str | None
    status: str
    """Ask `terminal` whether the job has ended: a newer service may have more states."""
    terminal: bool
    stop_reason: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: Progress
    queue: Queue | None
    priority: int
    attempt: int
    transitions: list[Transition]
    rerun_of: str | None
    sweep: SweepPlace | None
    device: str | None
    engine: Engine | None
    seed: int
    spec: dict[str, Any]
    """The effective spec, with every default."""
    result: Result | None
    error: WhatIsWrong | None
    metadata: dict[str, str]
    links: dict[str, str]


class Validation(Answer):
    """What a job would be, without running it."""

    object: str
    valid: bool
    spec: dict[str, Any]
    parameters: int
    """Trained numbers."""
    peak_bytes: int
    estimated_seconds: float
    warnings: list[Warned]


class Checkpoint(Answer):
    """A point from which a job can go on."""

    object: str
    job_id: str
    number: int
    attempt: int
    reason: str
    created_at: datetime
    epoch: int
    fraction: float
    digest: str
    bytes: int
    environment: dict[str, Any]
    links: dict[str, str]


class History(Answer):
    """The per-epoch series of a job."""

    object: str
    job_id: str
    columns: dict[str, list[float | None]]
    """`epoch`, `train_loss`, `dev_loss`, `learning_rate` and metrics, all of one length."""

    def _repr_html_(self) -> str:
        from fitd_client import notebook

        return notebook.history(self)


class Tensor(Answer):
    """One trained tensor."""

    shape: list[int]
    dtype: str
    values: Any


class Parameters(Answer):
    """What was trained."""

    object: str
    job_id: str
    coefficients: Weights | dict[str, Weights] | None
    intercept: float | Weights | None
    groups: list[str | int] | None = None
    tensors: dict[str, Tensor]
    """By state-dict name."""


class Group(Answer):
    """One group of a job, and its model."""

    group: str | int
    status: str
    stop_reason: str | None
    rows: PartRows
    epochs: int
    train_loss: float | None
    dev_loss: float | None
    test_loss: float | None
    coefficients: Weights | dict[str, Weights] | None
    intercept: float | Weights | None
    error: WhatIsWrong | None


class CheckpointPlace(Answer):
    """Which checkpoint of a job predicted."""

    number: int
    epoch: int


class Prediction(Answer):
    """Predictions in raw units, by column."""

    object: str
    job_id: str
    """The job that trained the parameters."""
    model: str | None = None
    """The registered model, where one was asked."""
    version: int | None = None
    model_id: str | None = None
    checkpoint: CheckpointPlace | None = None
    """Of a job that has not ended: the checkpoint that predicted."""
    columns: dict[str, list[Any]] | None = None
    probabilities: dict[str, Series] | None = None
    std: dict[str, Series] | None = None
    rows: list[dict[str, Any]] | None = None


class Event(Answer):
    """Something that happened to a job; of a kind that this client does not know, unless it is a subclass."""

    type: str
    at: datetime
    id: str = ""
    """Its place in the stream."""


class StatusEvent(Event):
    """The job changed its state."""

    status: str
    terminal: bool
    stop_reason: str | None
    attempt: int
    error: WhatIsWrong | None
    cause: Cause | None = None


class HistoryEvent(Event):
    """More epochs are recorded."""

    columns: dict[str, list[float | None]]


class LogEvent(Event):
    """Something worth knowing happened."""

    level: str
    message: str


_EVENTS: dict[str, type[Event]] = {"status": StatusEvent, "history": HistoryEvent, "log": LogEvent}


def event_of(data: str, *, id: str) -> Event:  # noqa: A002 - the field's name
    """Read one event of a stream.

    Args:
        data: The event as JSON.
        id: Its place in the stream.
    """
    said = from_json(data)
    return _EVENTS.get(said.get("type"), Event).model_validate({**said, "id": id})
