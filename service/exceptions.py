"""Everything that can go wrong, named once. This module imports nothing of the service."""

from dataclasses import dataclass

__all__ = [
    "BackupFailed",
    "BackupUnusable",
    "CheckpointDamaged",
    "CheckpointNotFound",
    "CheckpointUnusable",
    "ColumnMismatch",
    "CrossOrigin",
    "DatabaseBusy",
    "DatabaseNotReady",
    "DatasetDamaged",
    "DatasetInUse",
    "DatasetNotFound",
    "DatasetTooLarge",
    "DiskFull",
    "Forbidden",
    "IdempotencyConflict",
    "InvalidDataset",
    "InvalidRequest",
    "InvalidSpec",
    "JobNotFound",
    "KeyNotFound",
    "LeaseLost",
    "ModelInUse",
    "ModelNotFound",
    "NoParameters",
    "NoResult",
    "NotAcceptable",
    "PictureNotAvailable",
    "PredictionNotFound",
    "Problem",
    "QueueFull",
    "QuotaExceeded",
    "RangeNotSatisfiable",
    "RateLimited",
    "RestoreRefused",
    "ResultDamaged",
    "ServiceError",
    "StartupFailed",
    "StateConflict",
    "StorageBusy",
    "SweepNotFound",
    "TrainingFailed",
    "WrongHost",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request.

    Attributes:
        pointer: JSON Pointer (RFC 6901) into the body, or None for a query parameter.
        code: Stable name in snake_case, for programs.
        message: What is wrong, for people.
        hint: What to do about it; empty when the message already says it.
        parameter: Name of the query parameter or header, when the problem is not in the body.
    """

    pointer: str | None
    code: str
    message: str
    hint: str = ""
    parameter: str | None = None


class ServiceError(Exception):
    """The service could not do what was asked.

    Attributes:
        retry_after: Seconds after which it may be worth asking again; None where waiting does not help.
    """

    code = "service_error"
    hint = ""
    retry_after: int | None = None

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, retry_after: int | None = None
    ) -> None:
        self.message = message or (self.__doc__ or "").split("\n", maxsplit=1)[0]
        self.hint = self.hint if hint is None else hint
        self.retry_after = self.retry_after if retry_after is None else retry_after
        super().__init__(self.message)


class InvalidRequest(ServiceError):
    """The request has problems."""

    code = "invalid_request"

    def __init__(self, problems: list[Problem], message: str | None = None) -> None:
        if message is None:
            message = (
                problems[0].message if len(problems) == 1 else f"The request has {len(problems)} problems."
            )
        super().__init__(message, hint=problems[0].hint if len(problems) == 1 else None)
        self.problems = problems


class InvalidSpec(InvalidRequest):
    """The job spec has problems."""

    code = "invalid_spec"


class ColumnMismatch(InvalidRequest):
    """The rows do not have the columns that the model was trained on."""

    code = "column_mismatch"


class JobNotFound(ServiceError):
    """There is no job with this id."""

    code = "job_not_found"
    hint = "GET /v1/jobs lists the jobs. A deleted job is gone for good."


class SweepNotFound(ServiceError):
    """There is no sweep with this id."""

    code = "sweep_not_found"
    hint = "GET /v1/sweeps lists the sweeps. A deleted sweep is gone for good."


class PredictionNotFound(ServiceError):
    """There is no batch prediction with this id."""

    code = "prediction_not_found"
    hint = "GET /v1/predictions lists the predictions. A deleted prediction is gone for good."


class NoResult(ServiceError):
    """The prediction has no result to give."""

    code = "no_result"


class RangeNotSatisfiable(ServiceError):
    """The range lies beyond the end of the file."""

    code = "range_not_satisfiable"
    hint = "Ask without Range, or for bytes that the file has: `result.bytes` tells how many these are."


class ResultDamaged(ServiceError):
    """The file of the result is not as it was written."""

    code = "result_damaged"
    hint = "Delete the prediction and submit it again; the operator should look at the disk."


class ModelNotFound(ServiceError):
    """There is no such model, or it has no such version or alias."""

    code = "model_not_found"
    hint = "GET /v1/models lists the models; GET /v1/models/{name}/versions lists the versions of one."


class ModelInUse(ServiceError):
    """Something points to the version of the model."""

    code = "model_in_use"


class InvalidDataset(InvalidRequest):
    """The uploaded file cannot be read as a table."""

    code = "invalid_dataset"

    def __init__(self, problems: list[Problem], message: str | None = None) -> None:
        if message is None and len(problems) > 1:
            message = f"The file has {len(problems)} problems."
        super().__init__(problems, message)


class DatasetTooLarge(ServiceError):
    """The uploaded dataset is larger than this service takes."""

    code = "dataset_too_large"
    hint = "Send fewer rows or columns, or ask the operator to raise the limit (GET /v1/capabilities tells all limits)."


class DatasetNotFound(ServiceError):
    """There is no dataset with this id."""

    code = "dataset_not_found"
    hint = "GET /v1/datasets lists the datasets. A deleted dataset is gone for good."


class DatasetInUse(ServiceError):
    """A job that has not ended needs the dataset."""

    code = "dataset_in_use"


class DatasetDamaged(ServiceError):
    """The files of the dataset are not as they were written."""

    code = "dataset_damaged"
    hint = "Delete the dataset and upload it again; the operator should look at the disk."


class CheckpointDamaged(ServiceError):
    """The file of a checkpoint is not as it was written."""

    code = "checkpoint_damaged"
    hint = "The job goes on from the checkpoint before; the operator should look at the disk."


class DiskFull(ServiceError):
    """There is no room left on the service's disk."""

    code = "disk_full"
    hint = (
        "Delete datasets that are not needed any more, or tell the operator. Nothing of the upload was kept."
    )


class StorageBusy(ServiceError):
    """Another process holds the folder of the datasets."""

    code = "storage_busy"
    hint = "Try again in a moment."


class CheckpointNotFound(ServiceError):
    """The job has no such checkpoint."""

    code = "checkpoint_not_found"
    hint = (
        "GET /v1/jobs/{id}/checkpoints lists them: the newest ones are kept, and none once the job has ended."
    )


class StateConflict(ServiceError):
    """The state of the job forbids this."""

    code = "state_conflict"


class NoParameters(ServiceError):
    """The job has no parameters to give."""

    code = "no_parameters"


class PictureNotAvailable(ServiceError):
    """This picture cannot be drawn for this job."""

    code = "picture_not_available"


class ExportNotAvailable(ServiceError):
    """This model cannot be given in this format."""

    code = "export_not_available"
    hint = "GET …/exports lists the formats, and why some are not there."


class ExportFailed(ServiceError):
    """The exported file could not be made, or did not give the service's own predictions: it is not handed out."""

    code = "export_failed"
    hint = "The other formats carry the same model; GET …/exports lists them."


class ExportsBusy(ServiceError):
    """As many exports are being made, or wait for it, as the service takes."""

    code = "exports_busy"
    hint = "Try again when some are made. The operator lets more be made at a time with FITD_EXPORT_SLOTS."
    retry_after = 10


class NoGroups(ServiceError):
    """The job has one model, and no groups."""

    code = "no_groups"
    hint = "A job whose data says `group_by` has a model for each group; GET …/parameters gives the one of this job."


class IdempotencyConflict(ServiceError):
    """This Idempotency-Key was used before with another body."""

    code = "idempotency_conflict"
    hint = "Send a new key with a new request; repeat a key only with the very same body."


class Forbidden(ServiceError):
    """The key does not allow this."""

    code = "forbidden"


class QuotaExceeded(ServiceError):
    """The key allows no more unfinished jobs."""

    code = "quota_exceeded"
    hint = "Wait until one has ended, or cancel one. GET /v1/jobs?status=queued&status=running lists them."
    retry_after = 10


class QueueFull(ServiceError):
    """As many jobs wait as the service takes."""

    code = "queue_full"
    hint = "Try again when some have been started. The operator sets the bound with FITD_LIMITS__MAX_QUEUED_JOBS."
    retry_after = 10


class RateLimited(ServiceError):
    """There were more requests than are allowed in a minute."""

    code = "rate_limited"
    hint = "Wait as long as Retry-After says."
    retry_after = 1


class WrongHost(ServiceError):
    """The request is for a host that this service is not."""

    code = "wrong_host"
    hint = "Call it by the address that it listens on. For another name the operator sets FITD_ALLOWED_HOSTS."


class CrossOrigin(ServiceError):
    """A page of another site asked for a change."""

    code = "cross_origin"
    hint = "If that site may, the operator lists its origin in FITD_ALLOWED_ORIGINS."


class KeyNotFound(ServiceError):
    """There is no API key with this id."""

    code = "key_not_found"
    hint = "`fitd keys list` shows them."


class NotAcceptable(ServiceError):
    """None of the media types in Accept can be given here."""

    code = "not_acceptable"


class LeaseLost(ServiceError):
    """This attempt no longer owns the job: what it wrote was refused."""

    code = "lease_lost"


class DatabaseBusy(ServiceError):
    """The database takes no writes at the moment.

    Attributes:
        in_doubt: The connection was lost during the commit: what was to be written may be there all the same.
    """

    code = "database_busy"
    in_doubt = False
    hint = (
        "Try again in a moment. If it stays so: is the disk full, or does another program hold the database?"
    )


class StartupFailed(ServiceError):
    """The service cannot start."""

    code = "startup_failed"


class DatabaseNotReady(ServiceError):
    """The database is missing or its schema is not the one this version needs."""

    code = "database_not_ready"
    hint = "Run `fitd migrate` first, or `fitd serve`, which migrates by itself."


class BackupFailed(ServiceError):
    """The backup could not be made. What there is of it in the folder can be removed."""

    code = "backup_failed"


class BackupUnusable(ServiceError):
    """The backup is not whole. Nothing was restored."""

    code = "backup_unusable"
    hint = "Nothing was restored."


class RestoreRefused(ServiceError):
    """A backup is only restored where there is nothing yet."""

    code = "restore_refused"


class CheckpointUnusable(ServiceError):
    """The training cannot go on from this checkpoint."""

    code = "checkpoint_unusable"


class TrainingFailed(ServiceError):
    """The training ended without a usable fit.

    Attributes:
        code: Stable reason in snake_case, such as `diverged` or `data_not_finite`.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
