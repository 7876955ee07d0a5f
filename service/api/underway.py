"""Predictions with a job that has not ended: by the parameters of its newest checkpoint."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.api.predicting import Source
from service.exceptions import CheckpointDamaged, CheckpointNotFound, CheckpointUnusable, StateConflict
from service.jobs import checkpoints, repository
from service.jobs.orm import Checkpoint, Job
from service.settings import Settings
from service.spec.job import JobSpec
from service.storage.checkpoints import CheckpointStore

__all__ = ["CHECKPOINT_EPOCH", "Underway", "newest"]

CHECKPOINT_EPOCH = "Fitd-Checkpoint-Epoch"
"""Header of a prediction that says after which epoch of a training under way it was made."""


@dataclass(frozen=True, slots=True)
class Underway:
    """A checkpoint to predict from.

    Attributes:
        job: The job, which had not ended.
        row: The newest checkpoint that it had.
        settings: Say where its file is.
    """

    job: Job
    row: Checkpoint
    settings: Settings

    @property
    def key(self) -> str:
        """Names what predicts: never anything else. A number alone may come again, after a damaged file."""
        return f"{self.job.id}/{self.row.number}/{self.row.digest}"

    @property
    def source(self) -> Source:
        """What answers say of it."""
        at = {"number": self.row.number, "epoch": self.row.epoch}
        return Source({"job_id": self.job.id, "checkpoint": at}, {CHECKPOINT_EPOCH: str(self.row.epoch)})

    def load(self, session: Session) -> Callable[[], tuple[JobSpec, bytes]]:
        """Read the checkpoint. What is given makes the effective spec of it, and the parameters as the job would leave
        them if it had ended there; it needs no session, and may raise StateConflict.

        Raises:
            CheckpointNotFound: It was replaced meanwhile, or the job has ended: look for the newest once more.
            CheckpointDamaged: The file is not as it was written.
        """
        found = repository.spec_text(session, [self.job.seq])
        if self.job.seq not in found:
            raise CheckpointNotFound(f"The job {self.job.id} was deleted meanwhile.")
        return functools.partial(_fit_at, self._read(session), spec_text=found[self.job.seq], job=self.job)

    def _read(self, session: Session) -> bytes:
        store = CheckpointStore(self.settings.checkpoints_dir, min_free_bytes=self.settings.min_free_bytes)
        try:
            return store.read(self.row.path, self.row.digest)
        except CheckpointDamaged:
            # A row goes before its file: where it is still there, so should the file be.
            if checkpoints.find(session, self.job, self.row.number) is not None:
                raise
            raise CheckpointNotFound(f"Checkpoint {self.row.number} is gone.") from None


def newest(session: Session, job: Job, *, settings: Settings) -> Underway:
    """Look up the newest checkpoint of a job that has not ended.

    Raises:
        StateConflict: There is none yet.
    """
    rows = checkpoints.newest_first(session, job)
    if rows:
        return Underway(job, rows[0], settings)
    seconds = f"{settings.checkpoint_seconds:g} seconds"
    hint = (
        f"The first checkpoint comes after {seconds} of training, or at once with POST …/pause. {_wait(job)}"
    )
    raise StateConflict(f"The job is {job.status}, and has no checkpoint to predict from yet.", hint=hint)


def _fit_at(checkpoint: bytes, *, spec_text: str, job: Job) -> tuple[JobSpec, bytes]:
    from service.inference.underway import parameters_at

    spec = JobSpec.from_text(spec_text)
    try:
        return spec, parameters_at(spec, checkpoint)
    except CheckpointUnusable as error:
        raise StateConflict(error.message, hint=_wait(job)) from None


def _wait(job: Job) -> str:
    return f"GET /v1/jobs/{job.id}?wait=30 answers when the job has ended."
