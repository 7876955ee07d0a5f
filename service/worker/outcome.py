"""What is recorded as the one result of a job."""

from typing import Any

from service.exceptions import TrainingFailed
from service.jobs.attempts import Ended
from service.jobs.lifecycle import Status, StopReason
from service.spec.job import JobSpec
from service.training.trainer import Fit, diverged, lower_lr_hint
from service.training.weights import coefficients, to_bytes

__all__ = ["failed", "outcome"]


def outcome(spec: JobSpec, fit: Fit) -> Ended:
    """Turn what a training left into the job's end."""
    result, parameters = _result(spec, fit), to_bytes(fit.state_dict)
    if fit.stop_reason == "diverged":
        error = _error(diverged(fit, spec))
        return Ended(Status.FAILED, StopReason.DIVERGED, result=result, parameters=parameters, error=error)
    if fit.stop_reason == "stopped":
        return Ended(Status.CANCELLED, StopReason.CANCELLED, result=result, parameters=parameters)
    return Ended(Status.SUCCEEDED, StopReason.COMPLETED, result=result, parameters=parameters)


def failed(error: TrainingFailed) -> Ended:
    """Turn an error into the job's end."""
    return Ended(Status.FAILED, StopReason.ERROR, error=_error(error))


def _error(error: TrainingFailed) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _result(spec: JobSpec, fit: Fit) -> dict[str, Any]:
    by_feature, intercept = coefficients(fit.state_dict, spec.data.feature_names)
    return {
        "train_loss": fit.train_loss,
        "dev_loss": None,
        "test_loss": None,
        "metrics": {},
        "coefficients": by_feature,
        "intercept": intercept,
        "warnings": _warnings(spec, fit),
    }


def _warnings(spec: JobSpec, fit: Fit) -> list[dict[str, str]]:
    """Tell what makes a finished fit doubtful."""
    if not fit.loss_grew:
        return []
    message = (
        f"The loss grew from {fit.first_loss:.4g} to {fit.train_loss:.4g}: the fit is worse than its start."
    )
    return [{"code": "loss_grew", "message": message, "hint": lower_lr_hint(fit, spec)}]
