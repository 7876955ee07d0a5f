"""The bounds of a job, checked by arithmetic before anything is built."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.exceptions import Problem

__all__ = ["MAX_GROUPS", "Limits", "over_limit"]

MAX_GROUPS = 100_000
"""Groups of one job, whatever the operator allows: as many texts as a column can hold and still be one of categories."""


class Limits(BaseModel):
    """How large a job may be. The operator sets them; `GET /v1/capabilities` tells them."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    max_body_bytes: int = 32 * 2**20
    """Bytes of one request body, uploads of datasets aside."""
    max_upload_bytes: int = 2 * 2**30
    """Bytes of one uploaded dataset, as sent and as unpacked."""
    max_dataset_bytes: int = 8 * 2**30
    """Bytes of one dataset as it is kept: each number of a CSV file takes eight."""
    max_rows: int = 10_000_000
    """Rows of one table."""
    max_features: int = 10_000
    """Feature columns of one table."""
    max_groups: Annotated[int, Field(ge=1, le=MAX_GROUPS)] = MAX_GROUPS
    """Groups of one job, each with a model of its own."""
    max_epochs: int = 1_000_000
    """Passes over the training rows."""
    max_steps: int = 1_000_000_000
    """Optimizer updates: epochs times batches in an epoch."""
    max_parameters: int = 100_000_000
    """Trained numbers of one model."""
    max_job_bytes: int = 2 * 2**30
    """Estimated peak memory of one job, data included."""
    max_training_bytes: Annotated[int, Field(ge=0)] = 4 * 2**30
    """Memory that one training, or one batch prediction, on the CPU may take beyond that of its idle process, held to on Linux; 0 for no bound."""
    max_seconds: float = 7 * 86_400.0
    """Training time of one job, all attempts together."""
    max_history_points: int = 20_000_000
    """Numbers in the history of one job: epochs times series."""
    max_queued_jobs: Annotated[int, Field(ge=1)] = 10_000
    """Jobs of all owners together that wait for a worker, paused ones included; a submission beyond it gets 429."""
    max_unfinished_predictions: Annotated[int, Field(ge=1)] = 1000
    """Batch predictions of all owners together that have not ended: each keeps a copy of its model so long. A submission beyond it gets 429."""
    max_sweep_trials: Annotated[int, Field(ge=1)] = 1000
    """Trials of one sweep, those of all rungs together."""
    max_sweep_bytes: Annotated[int, Field(ge=1)] = 256 * 2**20
    """Bytes of the specs of all trials of one sweep together: rows that are sent along count once for each."""


def over_limit(pointer: str, what: str, value: float, limit: float) -> list[Problem]:
    """Give the problem of a value above its limit, or nothing."""
    if value <= limit:
        return []
    message = f"The job has {value:,} {what}; the limit is {limit:,}."
    hint = "Make it smaller, or ask the operator to raise the limit (GET /v1/capabilities tells all limits)."
    return [Problem(pointer, "limit_exceeded", message, hint)]
