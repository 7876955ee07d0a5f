"""What predicts: the parameters of a job, or those of a version of a registered model."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.exceptions import InvalidRequest, JobNotFound, ModelNotFound, Problem
from service.jobs import repository as job_repository
from service.jobs import service as jobs
from service.predictions.order import BatchPredictionOrder
from service.registry import service as registry

__all__ = ["Source", "source_of"]


@dataclass(frozen=True, slots=True)
class Source:
    """A trained model, and where it is from.

    Attributes:
        spec: The effective spec, as JSON text.
        parameters: The trained tensors, as safetensors bytes.
        digest: SHA-256 of the parameters; of a version, its own.
        job_id: The job, where one was named.
        model_name: The registered model, where one was named.
        model_version: Number of its version.
        model_id: Of the version.
    """

    spec: str
    parameters: bytes
    digest: str
    job_id: str | None = None
    model_name: str | None = None
    model_version: int | None = None
    model_id: str | None = None


def source_of(session: Session, order: BatchPredictionOrder, *, owner: str) -> Source:
    """Look up the model that an order names.

    Raises:
        InvalidRequest: There is no such job or model.
        StateConflict: The job has not ended yet.
        NoParameters: It ended without any.
    """
    return _of_job(session, order.job, owner=owner) if order.job else _of_model(session, order, owner=owner)


def _of_job(session: Session, job_id: str, *, owner: str) -> Source:
    try:
        job = jobs.get(session, job_id, owner=owner)
    except JobNotFound as error:
        raise InvalidRequest([Problem("/job", "unknown_job", error.message, error.hint)]) from None
    stored = jobs.parameters_of(session, job)
    spec = job_repository.spec_text(session, [job.seq])[job.seq]
    return Source(spec, stored.data, stored.digest, job_id=job.id)


def _of_model(session: Session, order: BatchPredictionOrder, *, owner: str) -> Source:
    asked = None if order.version is None else str(order.version)
    try:
        version = registry.find_version(session, order.model or "", version=asked, owner=owner)
        artifact = registry.artifact_of(session, version.digest)
    except ModelNotFound as error:
        raise InvalidRequest([Problem("/model", "unknown_model", error.message, error.hint)]) from None
    return Source(
        artifact.spec_text,
        artifact.parameters,
        version.digest,
        model_name=order.model,
        model_version=version.number,
        model_id=version.id,
    )
