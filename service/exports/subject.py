"""What is exported: one trained model, as the database keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.spec.job import JobSpec

__all__ = ["Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A trained model.

    Attributes:
        id: Of what owns it: a job, or a model's version.
        title: Its name for people and for files: the job's id, or a model's name and version.
        job_id: The job that trained it.
        spec_text: The effective spec.
        parameters: Its trained tensors and its preparation in the safetensors format.
        parameters_path: Where the service gives them.
        engine: What made the steps; None where it is not known.
        device: Where it was trained.
        environment: What the training ran on: versions, processor, threads; None where it is not known.
        stop_reason: Why the training ended.
        result: The job's result.
        is_job_there: Whether the job can still be asked for; the model of a version outlives it.
    """

    id: str
    title: str
    job_id: str
    spec_text: str
    parameters: bytes
    parameters_path: str
    engine: str | None = None
    device: str | None = None
    environment: Mapping[str, Any] | None = None
    stop_reason: str | None = None
    result: Mapping[str, Any] | None = None
    is_job_there: bool = True

    def spec(self) -> JobSpec:
        """Read the effective spec; rows that were sent along are among it."""
        return JobSpec.from_text(self.spec_text)
