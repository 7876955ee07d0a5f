"""From the body of a request to a checked spec, completed with every default."""

import contextlib
import secrets
from collections.abc import Iterable
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from service.exceptions import InvalidSpec, Problem
from service.spec.coherence import batch_problems, below, coherence_problems
from service.spec.data import DataSpec, StoredData, SyntheticData
from service.spec.estimates import job_bytes, largest_batch
from service.spec.evaluation import EvaluationSpec
from service.spec.grouping import group_size_problems
from service.spec.inline import InlineData
from service.spec.job import JobSpec
from service.spec.library import EmptyLibrary, Library
from service.spec.limits import Limits, over_limit
from service.spec.metrics import default_metrics
from service.spec.optimizers import OptimizerSpec
from service.spec.plan import Plan
from service.spec.preprocessing import PreprocessingSpec
from service.spec.problems import MAX_PROBLEMS, problems_of
from service.spec.schema import Schema
from service.spec.training import TrainingSpec

__all__ = ["check", "parse", "read"]


class Section(Protocol):
    """A part of the spec that can tell what is wrong with it beyond its types."""

    def problems(self, limits: Limits) -> list[Problem]:
        """Give the problems; pointers are relative to the section."""
        ...


_SECTIONS: dict[str, TypeAdapter[Section]] = {
    "data": TypeAdapter(DataSpec),
    "preprocessing": TypeAdapter(PreprocessingSpec),
    "optimizer": TypeAdapter(OptimizerSpec),
    "training": TypeAdapter(TrainingSpec),
    "evaluation": TypeAdapter(EvaluationSpec),
}


def parse(body: bytes, limits: Limits, library: Library | None = None) -> Plan:
    """Read a job spec from JSON, check all of it and complete it.

    Args:
        body: UTF-8 JSON text.
        limits: How large a job may be.
        library: Where datasets and earlier jobs are looked up.

    Raises:
        InvalidSpec: With every problem that was found, by JSON Pointer.
    """
    return check(read(body, limits), limits, library or EmptyLibrary())


def read(body: bytes, limits: Limits) -> JobSpec:
    """Read a job spec from JSON and check what can be checked without looking anything up.

    Raises:
        InvalidSpec: With every problem that was found, by JSON Pointer.
    """
    try:
        spec = JobSpec.from_text(body)
    except ValidationError as error:
        found = problems_of(error, JobSpec)
        if found[0].code != "invalid_json":
            found += _problems_beside(body, limits)
        raise InvalidSpec(_sorted(found)) from None
    _raise_any(p for name in _SECTIONS for p in _section_problems(name, getattr(spec, name), limits))
    return spec


def check(spec: JobSpec, limits: Limits, library: Library) -> Plan:
    """Check a spec against its data and everything else it refers to, and fill in every choice left open.

    Returns:
        The plan of the effective spec, which repeats the fit when it is sent again.

    Raises:
        InvalidSpec: With every problem that was found, by JSON Pointer.
    """
    schema, digest = _looked_up(spec, library)
    _raise_any(_table_problems(spec, schema))
    plan = _with_features(spec, schema, digest)
    _raise_any(coherence_problems(plan, limits, library))
    plan = _completed(plan, limits)
    _raise_any([*_size_problems(plan, limits), *batch_problems(plan), *_schedule_problems(plan, limits)])
    return _with_schedule(plan)


def _looked_up(spec: JobSpec, library: Library) -> tuple[Schema, str | None]:
    data = spec.data
    if not isinstance(data, StoredData):
        return data.table_schema, None
    found = library.dataset(data.id)
    if found is None:
        hint = "GET /v1/datasets lists the datasets; POST /v1/datasets uploads one."
        raise InvalidSpec([Problem("/data/id", "unknown_dataset", f"There is no dataset `{data.id}`.", hint)])
    if data.digest not in (None, found[1]):
        message = f"The dataset `{data.id}` holds other rows than the ones with this digest."
        raise InvalidSpec([Problem("/data/digest", "digest_mismatch", message, "Leave the digest out.")])
    return found


def _table_problems(spec: JobSpec, schema: Schema) -> list[Problem]:
    """Compare the choice of columns with the table."""
    data = spec.data
    found = [below("evaluation", p) for p in spec.evaluation.schema_problems(schema)]
    if isinstance(data, SyntheticData):
        return found
    table = "" if isinstance(data, StoredData) else "/columns" if data.rows is None else "/rows"
    found += [
        below("data", p)
        for p in data.selection_problems(schema, table=table, reserved=spec.evaluation.reserved)
    ]
    if schema.rows < 2:  # noqa: PLR2004 - a line needs two points
        found.append(Problem("/data", "too_few_rows", "A fit needs at least 2 rows.", "Send more rows."))
    return found


def _with_features(spec: JobSpec, schema: Schema, digest: str | None) -> Plan:
    data = spec.data
    if isinstance(data, SyntheticData):
        return Plan(spec, schema)
    changes = data.chosen(schema, reserved=spec.evaluation.reserved)
    changes |= {"digest": digest} if digest else {}
    if data.inputs is not None and set(data.inputs) == set(spec.loss.roles):
        # The loss tells its inputs apart by their order, whatever order they were written in.
        changes["inputs"] = dict(sorted(data.inputs.items(), key=lambda one: spec.loss.roles.index(one[0])))
    return Plan(spec.model_copy(update={"data": data.model_copy(update=changes)}), schema)


def _completed(plan: Plan, limits: Limits) -> Plan:
    """Fill in every choice that the caller left open."""
    training = plan.spec.training
    seed = secrets.randbelow(2**31) if training.seed is None else training.seed
    size = largest_batch(plan) if training.batch_size == "auto" else training.batch_size
    seconds = training.max_seconds or limits.max_seconds
    choices = {"seed": seed, "batch_size": size, "max_seconds": seconds}
    plan = plan.with_changes(training=training.model_copy(update=choices))
    evaluation = plan.spec.evaluation
    if evaluation.metrics is None:
        # Of each group the losses are told; metrics of thousands would take longer than their training.
        metrics = () if plan.is_grouped else default_metrics(plan.spec.loss, targets=len(plan.targets))
        plan = plan.with_changes(evaluation=evaluation.model_copy(update={"metrics": metrics}))
    return plan


def _with_schedule(plan: Plan) -> Plan:
    """Fill in the lengths of the schedule, which follow from epochs and batch size."""
    scheduler = plan.spec.scheduler
    if scheduler is None:
        return plan
    completed = scheduler.completed(
        epochs=plan.spec.training.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        has_dev_set=plan.has_dev,
    )
    return plan.with_changes(scheduler=completed)


def _size_problems(plan: Plan, limits: Limits) -> list[Problem]:
    """Compare the size of the whole job with the limits, by arithmetic alone."""
    return [
        *over_limit("/data", "rows", plan.schema.rows, limits.max_rows),
        *over_limit("/training/epochs", "epochs in all trainings", plan.epochs, limits.max_epochs),
        *over_limit("/training/epochs", "steps", plan.gradients, limits.max_steps),
        *over_limit("/training/epochs", "history points", plan.history_points, limits.max_history_points),
        *over_limit("/model", "parameters", plan.parameter_count, limits.max_parameters),
        *group_size_problems(plan, limits),
        *over_limit("/data", "bytes of memory at its peak", job_bytes(plan), limits.max_job_bytes),
    ]


def _schedule_problems(plan: Plan, limits: Limits) -> list[Problem]:
    """Compare the scheduler with the length of one training, which is known when the batch size is."""
    if plan.spec.scheduler is None:
        return []
    found = plan.spec.scheduler.problems(
        limits,
        epochs=plan.spec.training.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        has_dev_set=plan.has_dev,
    )
    return [below("scheduler", p) for p in found]


def _problems_beside(body: bytes, limits: Limits) -> list[Problem]:
    """Check the meaning of the sections whose types are right, although another section is broken."""
    content = from_json(body)
    found: list[Problem] = []
    for name, adapter in _SECTIONS.items():
        if isinstance(content, dict) and name in content:
            with contextlib.suppress(ValidationError):
                section = adapter.validate_json(to_json(content[name]))
                found += _section_problems(name, section, limits) or _inline_problems(section, content)
    return found


def _inline_problems(section: Any, content: dict[str, Any]) -> list[Problem]:  # noqa: ANN401 - any section
    """Inline rows need little else to be compared with the choice of columns: what splits them is no feature."""
    if not isinstance(section, InlineData):
        return []
    reserved: tuple[str, ...] = ()
    with contextlib.suppress(ValidationError):
        reserved = EvaluationSpec.model_validate_json(to_json(content.get("evaluation", {}))).reserved
    table = "/columns" if section.rows is None else "/rows"
    found = section.selection_problems(section.table_schema, table=table, reserved=reserved)
    return [below("data", p) for p in found]


def _section_problems(name: str, section: Section, limits: Limits) -> list[Problem]:
    return [below(name, p) for p in section.problems(limits)]


def _raise_any(problems: Iterable[Problem]) -> None:
    found = list(problems)
    if found:
        raise InvalidSpec(_sorted(found))


def _sorted(problems: list[Problem]) -> list[Problem]:
    order = {name: position for position, name in enumerate(JobSpec.model_fields)}
    return sorted(problems, key=lambda p: order.get((p.pointer or "/").split("/")[1], -1))[:MAX_PROBLEMS]
