"""What is recorded as the one result of a job."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from service.exceptions import TrainingFailed
from service.jobs.attempts import Ended
from service.jobs.lifecycle import Status, StopReason
from service.spec.plan import Plan
from service.training.groups.trainer import GroupedFit
from service.training.naming import class_of
from service.training.trainer import Fit, Run, diverged, lower_lr_hint
from service.training.truth import true_coefficients
from service.training.weights import coefficients, to_bytes
from service.worker.grouped_outcome import grouped_outcome

__all__ = ["cancelled", "failed", "outcome"]


def outcome(plan: Plan, fit: Fit | GroupedFit) -> Ended:
    """Turn what a training left into the job's end."""
    if isinstance(fit, GroupedFit):
        return grouped_outcome(fit)
    result, parameters = _result(plan, fit), to_bytes(fit.state_dict, fit.preparation)
    if fit.stop_reason == "diverged":
        error = _error(diverged(fit, plan.spec))
        return Ended(Status.FAILED, StopReason.DIVERGED, result=result, parameters=parameters, error=error)
    status, reason = _ENDS[fit.stop_reason]
    return Ended(status, reason, result=result, parameters=parameters)


_ENDED = {"completed", "early_stopped"}
_ENDS = {
    "completed": (Status.SUCCEEDED, StopReason.COMPLETED),
    "early_stopped": (Status.SUCCEEDED, StopReason.EARLY_STOPPED),
    "max_runtime": (Status.SUCCEEDED, StopReason.MAX_RUNTIME),
    "stopped": (Status.CANCELLED, StopReason.CANCELLED),
}


def cancelled() -> Ended:
    """Give the end of a job that was cancelled before anything was trained."""
    return Ended(Status.CANCELLED, StopReason.CANCELLED)


def failed(error: TrainingFailed) -> Ended:
    """Turn an error into the job's end."""
    return Ended(Status.FAILED, StopReason.ERROR, error=_error(error))


def _error(error: TrainingFailed) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _result(plan: Plan, fit: Fit) -> dict[str, Any]:
    spec, classes = plan.spec, fit.preparation.target.classes
    linear = coefficients(fit.state_dict, fit.preparation, model=spec.model.type, loss=spec.loss)
    losses = {f"{part}_loss": loss for part, loss in fit.score.losses.items()}
    return {
        **losses,
        "metrics": fit.score.metrics,
        "coefficients": None if linear is None else linear[0],
        "intercept": None if linear is None else linear[1],
        "truth": _truth(plan, fit, linear),
        "classes": None if spec.loss.roles else [class_of(one) for one in classes] or None,
        "kept_epoch": _kept_epoch(fit),
        "split": _split(fit),
        "runs": [_run(run) for run in fit.runs] if len(fit.runs) > 1 else None,
        "kept_run": fit.kept + 1 if len(fit.runs) > 1 else None,
        "cross_validation": _cross_validation(fit.runs),
        "warnings": _warnings(plan, fit),
    }


def _truth(plan: Plan, fit: Fit, linear: tuple[Any, Any] | None) -> dict[str, Any] | None:
    """Compare a linear fit with the formula of synthetic data: how far each coefficient is from the true one."""
    if linear is None or plan.spec.loss.target != "values" or plan.outputs != 1:
        return None
    true = true_coefficients(plan.spec.data, fit.preparation)
    if true is None:
        return None
    by_name, intercept = true
    return {
        "coefficients": by_name,
        "intercept": intercept,
        "difference": {
            "coefficients": {name: value - linear[0][name] for name, value in by_name.items()},
            "intercept": intercept - linear[1],
        },
    }


def _kept_epoch(fit: Fit) -> int:
    """Give the epoch of the history whose parameters the job has."""
    kept = fit.runs[fit.kept]
    own = fit.trained.epochs if fit.trained.kept_epoch is None else fit.trained.kept_epoch
    return kept.first_epoch - 1 + own


def _split(fit: Fit) -> dict[str, Any]:
    parts = fit.parts
    rows = {"train": len(parts.train), "dev": len(parts.dev), "test": len(parts.test)}
    return {"rows": rows, "digest": fit.split_digest}


def _run(run: Run) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "seed": run.seed,
        "first_epoch": run.first_epoch,
        "epochs": run.trained.epochs,
        "stop_reason": run.trained.reason,
        "train_loss": run.score.losses["train"],
        "dev_loss": run.score.losses["dev"],
        "metrics": run.score.metrics,
    }


def _cross_validation(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Sum up the folds that came to their end: mean and standard deviation (n - 1 in the denominator) of dev loss and dev metrics."""
    folds = [run for run in runs if run.kind == "fold" and run.trained.reason in _ENDED]
    if not folds:
        return None
    series = [{"loss": run.score.losses["dev"], **run.score.metrics.get("dev", {})} for run in folds]
    names = list(dict.fromkeys(name for one in series for name in one))
    return {name: summary for name in names if (summary := _summary(series, name))}


def _summary(series: Sequence[Mapping[str, Any]], name: str) -> dict[str, float] | None:
    values = [one[name] for one in series if isinstance(one.get(name), float)]
    if not values:
        return None
    return {
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else 0.0,
        "folds": len(values),
    }


STILL_HINT = (
    "Where all weights start alike (model.init with zeros_), gradients are zero or equal: take another "
    "initializer. Otherwise raise the learning rate or train longer."
)
STILL = 1e-9
"""Relative change of the loss below which nothing has moved; float32 itself has a precision of 1e-7."""


def _stood_still(fit: Fit) -> bool:
    """Whether a training of several epochs ended at the loss at which it began."""
    first, last = fit.first_loss, fit.train_loss
    if fit.trained.epochs < 2 or first is None or last is None or first == 0:  # noqa: PLR2004 - one shows nothing
        return False
    return abs(last - first) <= STILL * abs(first)


def _warnings(plan: Plan, fit: Fit) -> list[dict[str, str]]:
    """Tell what makes a finished fit doubtful."""
    found = []
    if fit.loss_grew and fit.stop_reason != "diverged":
        message = f"The loss grew from {fit.first_loss:.4g} to {fit.train_loss:.4g}: the fit is worse than its start."
        found.append({"code": "loss_grew", "message": message, "hint": lower_lr_hint(fit, plan.spec)})
    if fit.classes_seen == 1:
        message = "All training rows are of one class: the model has seen no other."
        hint = (
            "Split otherwise (stratify keeps the classes in proportion), or send rows of the other classes."
        )
        found.append({"code": "single_class", "message": message, "hint": hint})
    if _stood_still(fit):
        message = f"The loss is {fit.train_loss:.4g} as it was at the start: nothing was learnt."
        found.append({"code": "nothing_learnt", "message": message, "hint": STILL_HINT})
    broken = [number for number, run in enumerate(fit.runs, start=1) if run.trained.reason == "diverged"]
    if broken and fit.stop_reason != "diverged":
        message = (
            f"{len(broken)} of {len(fit.runs)} trainings diverged: number {', '.join(map(str, broken[:10]))}."
        )
        found.append({"code": "run_diverged", "message": message, "hint": lower_lr_hint(fit, plan.spec)})
    return found
