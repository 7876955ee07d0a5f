"""What goes together with a model for each group, and how many groups there may be."""

from collections.abc import Callable, Mapping

from service.exceptions import Problem
from service.spec.limits import Limits, over_limit
from service.spec.plan import Plan

__all__ = ["group_size_problems", "grouping_problems"]

HINT = "Leave it out; or fit the group alone, in a job over its rows."


def grouping_problems(plan: Plan) -> list[Problem]:
    """Refuse what is told of one model only, and would have to be told of each of thousands."""
    if not plan.is_grouped:
        return []
    return [
        Problem(pointer, "incompatible_fields", f"Of a job with groups {why}.", HINT)
        for pointer, (is_asked, why) in _REFUSED.items()
        if is_asked(plan)
    ]


_REFUSED: Mapping[str, tuple[Callable[[Plan], bool], str]] = {
    "/evaluation/folds": (
        lambda plan: plan.spec.evaluation.folds is not None,
        "each model is trained once: there is no cross-validation",
    ),
    "/training/restarts": (
        lambda plan: plan.spec.training.restarts > 1,
        "each model is trained once: there are no restarts",
    ),
    "/evaluation/metrics": (
        lambda plan: bool(plan.spec.evaluation.metrics),
        "the losses of each group are told, and no further metrics",
    ),
    "/evaluation/every": (
        lambda plan: plan.spec.evaluation.every is not None,
        "the losses of each group are told, and no further metrics",
    ),
}


def group_size_problems(plan: Plan, limits: Limits) -> list[Problem]:
    """Compare the number of groups, where it is known, and of their parameters with the limits.

    Of a column with many different numbers it is known when the rows are read: then the job fails.
    """
    name = plan.spec.data.group_by
    if name is None:
        return []
    most = min(plan.schema.rows, limits.max_groups) if plan.groups is None else plan.groups
    parameters = plan.parameter_count * most
    return [
        *over_limit("/data/group_by", "groups", most, limits.max_groups),
        *over_limit("/data/group_by", "parameters in all groups", parameters, limits.max_parameters),
    ]
