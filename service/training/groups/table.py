"""The groups of a job as a table: what became of each, and its coefficients in raw units."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from service.spec.job import JobSpec
from service.training.groups.coefficients import GroupCoefficients
from service.training.groups.models import PARTS, GroupModels

__all__ = ["STATUSES", "columns_of", "records_of", "status_of"]

STATUSES = ("succeeded", "failed", "skipped")


def status_of(models: GroupModels, group: int) -> str:
    """Say in a word what became of a group."""
    if models.is_trained(group):
        return "succeeded"
    return "skipped" if models.reasons[group] == "waiting" else "failed"


def records_of(models: GroupModels, spec: JobSpec, groups: Sequence[int]) -> list[dict[str, Any]]:
    """Describe some groups, each by an object."""
    rows, losses = models.figures["rows"].tolist(), models.figures["losses"].tolist()
    epochs = models.figures["epochs"].tolist()
    linear = GroupCoefficients.of(models, spec)
    found = []
    for group in groups:
        error = models.errors.get(group)
        has_own = linear is not None and models.is_trained(group)
        coefficients, intercept = linear.of_group(group) if linear and has_own else (None, None)
        found.append(
            {
                "group": models.labels[group],
                "status": status_of(models, group),
                "stop_reason": _REASONS.get(models.reasons[group], models.reasons[group]),
                "rows": dict(zip(PARTS, rows[group], strict=True)),
                "epochs": epochs[group],
                **{f"{part}_loss": _number(losses[group][place]) for place, part in enumerate(PARTS)},
                "coefficients": coefficients,
                "intercept": intercept,
                "error": None
                if error is None
                else {"code": error.code, "message": error.message, "hint": error.hint},
            }
        )
    return found


_REASONS = {"waiting": None, "stopped": "cancelled"}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def columns_of(models: GroupModels, spec: JobSpec, groups: Sequence[int]) -> dict[str, list[Any]]:
    """Describe some groups by columns of one length, which hold one text or number for each.

    `intercept` and `coefficients.<input>`; of several outputs `intercept.<output>` and
    `coefficients.<output>.<input>`. None where there is nothing to tell.
    """
    records = records_of(models, spec, groups)
    plain = ("group", "status", "stop_reason")
    columns: dict[str, list[Any]] = {name: [one[name] for one in records] for name in plain}
    columns |= {f"{part}_rows": [one["rows"][part] for one in records] for part in PARTS}
    columns |= {
        name: [one[name] for one in records] for name in ("epochs", *(f"{part}_loss" for part in PARTS))
    }
    for title in ("intercept", "coefficients"):
        flat = [_flat(title, one[title]) for one in records]
        names = dict.fromkeys(name for one in flat for name in one)
        columns |= {name: [one.get(name) for one in flat] for name in names}
    for name in ("code", "message"):
        columns[f"error_{name}"] = [one["error"] and one["error"][name] for one in records]
    return columns


def _flat(name: str, value: Any) -> dict[str, float]:  # noqa: ANN401 - numbers, or objects of them
    """Write nested objects side by side, their names joined by points."""
    if isinstance(value, Mapping):
        return {
            key: number
            for inner, one in value.items()
            for key, number in _flat(f"{name}.{inner}", one).items()
        }
    return {} if value is None else {name: value}
