"""Which jobs can be trained together: those that differ in nothing but their rows' values, their seeds and their rates."""

import hashlib
from typing import Any

import orjson

from service.spec import bowl
from service.spec.estimates import FLOPS_PER_SECOND, estimated_seconds, is_streamed, job_bytes
from service.spec.plan import Plan
from service.spec.plugins import PluginModel
from service.spec.selection import Selection

__all__ = ["MOST", "members", "shape_of"]

MOST = 64
"""Jobs that are trained together at most. Their claim and their end are one transaction each: 64 share what such a
transaction costs to a few per cent, and hold up other writers for a few hundredths of a second."""
TOGETHER_SECONDS = 1.0
"""Jobs that are trained together should take no longer: the first waits for the last, and so do those behind them."""
TOGETHER_BYTES = 256 * 2**20
"""They are all in memory at once."""
STEP_SECONDS = 3e-6
"""What one more job adds to a step that many make together, its arithmetic aside: the order of magnitude."""

_NAMES = {"name", "metadata", "priority", "data", "optimizer"}
_OWN = {"seed", "max_seconds"}
"""Fields, wherever they are, in which jobs of one shape may differ."""


def shape_of(plan: Plan) -> str | None:
    """Name what must be alike for jobs to be trained together.

    Alike are columns and row counts, the network, the loss, the kind of optimizer, schedule, epochs and batches.
    Free are the values of the rows, seeds, the optimizer's numbers such as learning rate and momentum, and the time
    limit.

    Args:
        plan: Of the effective spec.

    Returns:
        A digest, led by how many such jobs may be trained together; None for a job that trains alone: it is large,
        several trainings or models in one, of a plugin, bound to the reference engine, or its row count is not known yet; or it
        draws random numbers while it trains, from a generator that the whole process shares.
    """
    count = _members(plan) if _may_share(plan) else 0
    if count < 2:  # noqa: PLR2004 - one is nothing together
        return None
    spec = plan.spec
    alike = {
        **_without(spec.model_dump(mode="json", exclude=_NAMES), _OWN),
        "optimizer": _kind(spec.optimizer.model_dump(mode="json")),
        "data": _table(plan),
    }
    digest = hashlib.blake2b(orjson.dumps(alike, option=orjson.OPT_SORT_KEYS), digest_size=16)
    return f"{count}.{digest.hexdigest()}"


def members(shape: str | None) -> int:
    """Tell how many jobs of a shape may be trained together; 1 where it is None."""
    return 1 if shape is None else int(shape.partition(".")[0])


def _may_share(plan: Plan) -> bool:
    spec = plan.spec
    return (
        plan.runs == 1
        and not plan.is_grouped
        and plan.knows_rows
        and spec.training.engine == "auto"
        and not spec.model.has_dropout
        and not isinstance(spec.model, PluginModel)
        and not is_streamed(plan)
        and estimated_seconds(plan) <= TOGETHER_SECONDS
    )


def _members(plan: Plan) -> int:
    by_time, by_memory = TOGETHER_SECONDS / _seconds(plan), TOGETHER_BYTES / max(1, job_bytes(plan))
    return int(min(MOST, by_time, by_memory))


def _seconds(plan: Plan) -> float:
    """Estimate what one more job adds to those that are trained together."""
    if bowl.obstacle(plan) is None:
        return bowl.seconds(plan)
    flops = 6.0 * plan.train_rows * (plan.parameter_count + plan.activation_count)
    steps = plan.epochs * plan.spec.optimizer.evaluations_per_step
    return steps * (plan.steps_per_epoch * STEP_SECONDS + flops / FLOPS_PER_SECOND)


def _table(plan: Plan) -> dict[str, Any]:
    """Describe the rows without their values."""
    data = plan.spec.data
    chosen = (
        data.model_dump(mode="json", include={"weight", "lengths"}) if isinstance(data, Selection) else {}
    )
    roles = data.roles()
    names = {name for columns in roles.values() for name in columns}
    columns = [[c.name, c.kind, c.dtype, c.shape] for c in plan.schema.columns if c.name in names]
    targets = [[c.name, c.kind, c.dtype, c.shape] for c in plan.targets]
    shapes = {"inputs": plan.inputs, "outputs": plan.outputs, "classes": len(plan.classes)}
    if not plan.spec.loss.roles and plan.spec.loss.target == "values":
        shapes.pop("classes")  # How many different numbers a column has says nothing of a regression.
    return {
        "rows": plan.schema.rows,
        "columns": columns,
        "targets": targets,
        "roles": roles,
        **chosen,
        **shapes,
    }


def _without(value: Any, names: set[str]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without(one, names) for key, one in value.items() if key not in names}
    return [_without(one, names) for one in value] if isinstance(value, list) else value


def _kind(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Blank the fractions out of an optimizer's fields: what is left are its kind, its switches and its groups."""
    if isinstance(value, dict):
        return {key: _kind(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_kind(one) for one in value]
    return None if isinstance(value, float) else value
