"""What a job leaves that can be registered, and where it came from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from service.exceptions import NoParameters, StateConflict
from service.jobs import repository as jobs
from service.jobs import service as job_service
from service.jobs.lifecycle import Status, StopReason
from service.jobs.orm import Job
from service.registry.orm import Artifact
from service.spec.job import JobSpec
from service.spec.stored import StoredData

__all__ = ["Fit", "NewVersion", "fit_of"]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a version will hold.

    Attributes:
        artifact: Its parameters and its spec.
        inputs: The columns that a prediction needs.
        outputs: The columns that it gives.
        result: Of the job.
        lineage: Where it came from.
    """

    artifact: Artifact
    inputs: Sequence[dict[str, Any]]
    outputs: Sequence[dict[str, Any]]
    result: dict[str, Any] | None
    lineage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a job left.

    Attributes:
        job: The job, which has ended; in no session that matters.
        spec_text: Its effective spec.
        parameters: Its trained tensors, with the preparation.
    """

    job: Job
    spec_text: str
    parameters: bytes

    def version(self) -> NewVersion:
        """Give what a version of it holds. The parameters are loaded: make it before a transaction begins.

        Raises:
            NoParameters: There are groups, and none of them has a model.
        """
        from service.inference.grouped import predictor_of
        from service.inference.signature import signature_of

        spec = JobSpec.from_text(self.spec_text)
        signature = signature_of(predictor_of(spec, self.parameters))
        if not signature.outputs:
            raise NoParameters("None of the job's groups has a model.", hint="Let some of them be trained.")
        columns = (signature.inputs, signature.outputs)
        return NewVersion(self.artifact(), *columns, self.job.result, self.lineage(spec))

    def artifact(self) -> Artifact:
        """Give what predicts. Equal parameters with equal specs have one digest."""
        parts = (self.parameters, self.spec_text.encode())
        together = "\n".join(hashlib.sha256(part).hexdigest() for part in parts)
        digest = hashlib.sha256(together.encode()).hexdigest()
        return Artifact(digest=digest, spec_text=self.spec_text, parameters=self.parameters)

    def lineage(self, spec: JobSpec) -> dict[str, Any]:
        """Tell where the parameters came from, for the time when the job is gone.

        Args:
            spec: The parsed spec; parsing megabytes takes a while, and whoever registers has done it already.
        """
        job, data = self.job, spec.data
        stored = {"id": data.id, "digest": data.digest} if isinstance(data, StoredData) else None
        return {
            "job_id": job.id,
            "sweep_id": job.sweep_id,
            "rerun_of": job.rerun_of,
            "init_job_id": job.init_job_id,
            "dataset": stored,
            "data_type": data.type,
            "split_digest": _split(job.result or {}).get("digest"),
            "seed": job.seed,
            "engine": job.engine,
            "environment": job.environment,
            "stop_reason": job.stop_reason,
            "started_at": _moment(job.started_at),
            "finished_at": _moment(job.finished_at),
        }


def _split(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("split") or {}


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def fit_of(session: Session, job_id: str, *, owner: str) -> Fit:
    """Read what a job left.

    A job that was cancelled counts: its owner stopped it, as early stopping would have, and its parameters are those
    of its last epoch. One that failed does not: what it left is not fit for use.

    Raises:
        JobNotFound: There is no such job, or it is somebody else's.
        StateConflict: It has not ended, or has failed.
        NoParameters: It ended without any.
    """
    job = job_service.get(session, job_id, owner=owner)
    if job.status == Status.FAILED:
        raise _failed(job)
    stored = job_service.parameters_of(session, job)
    return Fit(job, jobs.spec_text(session, [job.seq])[job.seq], stored.data)


def _failed(job: Job) -> StateConflict:
    error = job.error or {}
    what = (
        "its training diverged" if job.stop_reason == StopReason.DIVERGED else str(error.get("message", ""))
    )
    message = f"The job failed, so there is no fit to register: {what.rstrip('.')}."
    return StateConflict(message, hint=str(error.get("hint", "")) or "Register a job that succeeded.")
