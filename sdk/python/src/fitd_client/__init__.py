"""Client of fitd, the service that fits models over HTTP.

    from fitd_client import Client

    client = Client("http://127.0.0.1:8000")
    job = client.fit(frame, target="price", wait=True)
    job.predict(more)

`Client` waits for each answer, `AsyncClient` is awaited. Both give handles: of jobs, sweeps, datasets, models and
predictions. What the service answered is in their `answer`, as models of `fitd_client.answers`.
"""

from fitd_client import answers
from fitd_client.batches import AsyncBatchPrediction, BatchPrediction
from fitd_client.client import AsyncClient, Client
from fitd_client.datasets import AsyncDataset, Dataset
from fitd_client.errors import (
    ApiError,
    Conflict,
    FitdError,
    FitdWarning,
    Forbidden,
    InvalidRequest,
    JobFailed,
    LocalServiceError,
    MissingPackage,
    NotFound,
    PredictionFailed,
    Problem,
    RateLimited,
    ServerError,
    SweepFailed,
    TooLarge,
    TransportError,
    Unauthorized,
    Unavailable,
    UnreadableData,
    WaitTimeout,
    WorkFailed,
)
from fitd_client.jobs import AsyncJob, Job
from fitd_client.pictures import Picture
from fitd_client.registry import AsyncModel, Model
from fitd_client.sweeps import AsyncSweep, Sweep
from fitd_client.wire import Retries

__all__ = [
    "ApiError",
    "AsyncBatchPrediction",
    "AsyncClient",
    "AsyncDataset",
    "AsyncJob",
    "AsyncModel",
    "AsyncSweep",
    "BatchPrediction",
    "Client",
    "Conflict",
    "Dataset",
    "FitdError",
    "FitdWarning",
    "Forbidden",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "LocalServiceError",
    "MissingPackage",
    "Model",
    "NotFound",
    "Picture",
    "PredictionFailed",
    "Problem",
    "RateLimited",
    "Retries",
    "ServerError",
    "Sweep",
    "SweepFailed",
    "TooLarge",
    "TransportError",
    "Unauthorized",
    "Unavailable",
    "UnreadableData",
    "WaitTimeout",
    "WorkFailed",
    "answers",
]

__version__ = "0.1.0"
