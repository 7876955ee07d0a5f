"""The job spec: the body of `POST /v1/jobs`, read, checked whole and completed with every default."""

import contextlib
import secrets
from typing import Annotated, Protocol

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from service.exceptions import InvalidSpec, Problem
from service.spec.base import SpecModel
from service.spec.data import DataSpec
from service.spec.estimates import job_bytes, largest_batch, steps_per_epoch
from service.spec.limits import Limits, over_limit
from service.spec.losses import LossSpec
from service.spec.models import ModelSpec
from service.spec.optimizers import OptimizerSpec
from service.spec.problems import MAX_PROBLEMS, problems_of
from service.spec.training import TrainingSpec

__all__ = ["JobSpec", "complete", "parse"]

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]


class JobSpec(SpecModel):
    """A request to train: data, model, loss, optimizer and how long."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """A name for people; need not be unique."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16, default_factory=dict)]
    """Up to 16 pairs of strings to find the job by."""
    data: DataSpec
    """Where the rows come from."""
    model: ModelSpec
    """What is fitted to them."""
    loss: LossSpec
    """What is made small."""
    optimizer: OptimizerSpec
    """How it is made small."""
    training: TrainingSpec
    """How long, in which portions and on what to train."""

    @property
    def batch_rows(self) -> int:
        """Rows of one full step."""
        rows = self.data.row_count
        match self.training.batch_size:
            case int(number):
                return min(number, rows)
            case "auto":
                return largest_batch(self.data, self.model, self.optimizer, self.training)
            case _:
                return rows

    @property
    def parameter_count(self) -> int:
        """Numbers that the training fits."""
        return self.model.parameter_count(features=len(self.data.feature_names), targets=1)


class Section(Protocol):
    """A part of the spec that can tell what is wrong with it beyond its types."""

    def problems(self, limits: Limits) -> list[Problem]:
        """Give the problems; pointers are relative to the section."""
        ...


_SECTIONS: dict[str, TypeAdapter[Section]] = {
    "data": TypeAdapter(DataSpec),
    "optimizer": TypeAdapter(OptimizerSpec),
    "training": TypeAdapter(TrainingSpec),
}


def parse(body: bytes, limits: Limits) -> JobSpec:
    """Read a job spec from JSON and check all of it.

    Args:
        body: UTF-8 JSON text.
        limits: How large a job may be.

    Raises:
        InvalidSpec: With every problem that was found, by JSON Pointer.
    """
    try:
        spec = JobSpec.model_validate_json(body)
    except ValidationError as error:
        found = problems_of(error, JobSpec)
        if found[0].code != "invalid_json":
            found += _problems_beside(body, limits)
        raise InvalidSpec(_sorted(found)) from None
    found = [p for name in _SECTIONS for p in _section_problems(name, getattr(spec, name), limits)]
    found = found or _size_problems(spec, limits)
    if found:
        raise InvalidSpec(_sorted(found))
    return spec


def complete(spec: JobSpec) -> JobSpec:
    """Fill in every choice that the caller left open: the effective spec, which repeats the fit when sent again."""
    seed = spec.training.seed
    batch_size = spec.training.batch_size
    training = spec.training.model_copy(
        update={
            "seed": secrets.randbelow(2**31) if seed is None else seed,
            "batch_size": spec.batch_rows if batch_size == "auto" else batch_size,
        }
    )
    return spec.model_copy(update={"data": spec.data.completed(), "training": training})


def _problems_beside(body: bytes, limits: Limits) -> list[Problem]:
    """Check the meaning of the sections whose types are right, although another section is broken."""
    content = from_json(body)
    found: list[Problem] = []
    for name, adapter in _SECTIONS.items():
        if isinstance(content, dict) and name in content:
            with contextlib.suppress(ValidationError):
                section = adapter.validate_json(to_json(content[name]))
                found += _section_problems(name, section, limits)
    return found


def _section_problems(name: str, section: Section, limits: Limits) -> list[Problem]:
    return [Problem(f"/{name}{p.pointer}", p.code, p.message, p.hint) for p in section.problems(limits)]


def _sorted(problems: list[Problem]) -> list[Problem]:
    order = {name: position for position, name in enumerate(JobSpec.model_fields)}
    return sorted(problems, key=lambda p: order.get((p.pointer or "/").split("/")[1], -1))[:MAX_PROBLEMS]


def _size_problems(spec: JobSpec, limits: Limits) -> list[Problem]:
    """Compare the size of the whole job with the limits, by arithmetic alone."""
    steps = spec.training.epochs * steps_per_epoch(spec.data.row_count, spec.batch_rows)
    return [
        *over_limit("/training/epochs", "optimizer steps", steps, limits.max_steps),
        *over_limit("/model", "parameters", spec.parameter_count, limits.max_parameters),
        *over_limit("/data", "bytes of memory at its peak", job_bytes(spec), limits.max_job_bytes),
    ]
