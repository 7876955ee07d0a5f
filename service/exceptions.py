"""Everything that can go wrong, named once. This module imports nothing of the service."""

from dataclasses import dataclass

__all__ = [
    "ColumnMismatch",
    "DatabaseBusy",
    "DatabaseNotReady",
    "DatasetDamaged",
    "DatasetInUse",
    "DatasetNotFound",
    "DatasetTooLarge",
    "DiskFull",
    "IdempotencyConflict",
    "InvalidDataset",
    "InvalidRequest",
    "InvalidSpec",
    "JobNotFound",
    "LeaseLost",
    "NoParameters",
    "NotAcceptable",
    "PictureNotAvailable",
    "Problem",
    "ServiceError",
    "StartupFailed",
    "StateConflict",
    "StorageBusy",
    "TrainingFailed",
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
    """The service could not do what was asked."""

    code = "service_error"
    hint = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").split("\n", maxsplit=1)[0]
        self.hint = self.hint if hint is None else hint
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


class StateConflict(ServiceError):
    """The state of the job forbids this."""

    code = "state_conflict"


class NoParameters(ServiceError):
    """The job has no parameters to give."""

    code = "no_parameters"


class PictureNotAvailable(ServiceError):
    """This picture cannot be drawn for this job."""

    code = "picture_not_available"


class IdempotencyConflict(ServiceError):
    """This Idempotency-Key was used before with another body."""

    code = "idempotency_conflict"
    hint = "Send a new key with a new request; repeat a key only with the very same body."


class NotAcceptable(ServiceError):
    """None of the media types in Accept can be given here."""

    code = "not_acceptable"


class LeaseLost(ServiceError):
    """This attempt no longer owns the job: what it wrote was refused."""

    code = "lease_lost"


class DatabaseBusy(ServiceError):
    """The database takes no writes at the moment."""

    code = "database_busy"
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


class TrainingFailed(ServiceError):
    """The training ended without a usable fit.

    Attributes:
        code: Stable reason in snake_case, such as `diverged` or `data_not_finite`.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
