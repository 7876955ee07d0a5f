"""What is recorded as the result of a job with groups: how many models there are, and how well they fit."""

from collections import Counter
from typing import Any

import numpy as np

from service.jobs.attempts import Ended
from service.jobs.lifecycle import Status, StopReason
from service.training.groups.models import PARTS, GroupModels
from service.training.groups.trainer import GroupedFit

__all__ = ["grouped_outcome"]

_ENDS = {
    "completed": (Status.SUCCEEDED, StopReason.COMPLETED),
    "max_runtime": (Status.SUCCEEDED, StopReason.MAX_RUNTIME),
    "stopped": (Status.CANCELLED, StopReason.CANCELLED),
}
_OF_ONE_MODEL = ("coefficients", "intercept", "truth", "classes", "runs", "kept_run", "cross_validation")
"""What is told of a job with one model, and null here."""
LISTED_CODES = 3


def grouped_outcome(fit: GroupedFit) -> Ended:
    """Turn what the trainings of the groups left into the job's end: it failed only where every group did."""
    models = fit.models
    status, reason = _ENDS[fit.stop_reason]
    error = None
    if not models.trained and status is not Status.CANCELLED:
        status, reason, error = Status.FAILED, StopReason.ERROR, _all_failed(models)
    return Ended(status, reason, result=_result(fit), parameters=models.to_bytes(), error=error)


def _result(fit: GroupedFit) -> dict[str, Any]:
    models = fit.models
    losses = {part: _summary(models, part) for part in PARTS}
    rows = models.figures["rows"].sum(dim=0).tolist()
    skipped = models.reasons.count("waiting")
    trained = len(models.trained)
    return {
        **{f"{part}_loss": None if summary is None else summary["mean"] for part, summary in losses.items()},
        "metrics": {},
        **dict.fromkeys(_OF_ONE_MODEL),
        "kept_epoch": fit.epochs,
        "split": {"rows": dict(zip(PARTS, rows, strict=True)), "digest": None},
        "groups": {
            "column": models.column,
            "count": len(models),
            "succeeded": trained,
            "failed": len(models) - trained - skipped,
            "skipped": skipped,
            "losses": losses,
        },
        "warnings": _warnings(models) if trained else [],
    }


def _summary(models: GroupModels, part: str) -> dict[str, float] | None:
    """Sum up the losses of the groups that have a model; None where there is none."""
    losses = models.losses(part)[models.trained]
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return None
    return {
        "min": float(losses.min()),
        "median": float(np.median(losses)),
        "mean": float(losses.mean()),
        "max": float(losses.max()),
    }


def _warnings(models: GroupModels) -> list[dict[str, str]]:
    if not models.errors:
        return []
    first = models.labels[min(models.errors)]
    message = f"{len(models.errors):,} of {len(models):,} groups have no model ({_tally(models)}); the first is `{first}`."
    hint = "GET …/groups?status=failed lists them, each with what is wrong."
    return [{"code": "groups_failed", "message": message, "hint": hint}]


def _all_failed(models: GroupModels) -> dict[str, str]:
    group = min(models.errors)
    error = models.errors[group]
    message = (
        f"None of the {len(models):,} groups has a model ({_tally(models)}); "
        f"the first is `{models.labels[group]}`: {error.message}"
    )
    return {"code": "all_groups_failed", "message": message, "hint": error.hint}


def _tally(models: GroupModels) -> str:
    counts = Counter(error.code for error in models.errors.values())
    listed = [f"{count:,} of {code}" for code, count in counts.most_common(LISTED_CODES)]
    return ", ".join([*listed, "…"] if len(counts) > LISTED_CODES else listed)
