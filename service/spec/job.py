"""The job spec: the body of `POST /v1/jobs`."""

from collections.abc import Collection
from typing import Annotated

import orjson
from pydantic import Field, StringConstraints

from service.spec.base import NO_NUL, NOT_IN_SCHEMA, SpecModel
from service.spec.data import DataSpec, InlineData
from service.spec.evaluation import EvaluationSpec
from service.spec.losses import LossSpec
from service.spec.models import ModelSpec
from service.spec.optimizers import OptimizerSpec
from service.spec.packed import PackedRows, validated
from service.spec.preprocessing import PreprocessingSpec
from service.spec.regularization import Regularization
from service.spec.schedulers import SchedulerSpec
from service.spec.training import TrainingSpec

__all__ = ["JobSpec"]

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL), NOT_IN_SCHEMA]
MetadataValue = Annotated[str, StringConstraints(max_length=512, pattern=NO_NUL), NOT_IN_SCHEMA]
JobName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL), NOT_IN_SCHEMA]


class JobSpec(SpecModel):
    """A request to train: data, model, loss, optimizer and how long."""

    name: JobName | None = None
    """A name for people; need not be unique."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16, default_factory=dict)]
    """Up to 16 pairs of strings to find the job by."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Jobs of a higher priority are taken from the queue first; it is no part of what is fitted."""
    data: DataSpec
    """Where the rows come from."""
    preprocessing: PreprocessingSpec = PreprocessingSpec()
    """What is done with the columns before the network sees them."""
    model: ModelSpec
    """What is fitted to them."""
    loss: LossSpec
    """What is made small."""
    optimizer: OptimizerSpec
    """How it is made small."""
    scheduler: SchedulerSpec | None = None
    """How the learning rate changes; without, it stays."""
    regularization: Regularization = Regularization()
    """What keeps the parameters and their gradients small."""
    training: TrainingSpec
    """How long, in which portions and on what to train."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How the fit is judged."""

    @classmethod
    def from_text(cls, text: str | bytes) -> "JobSpec":
        """Read a spec from JSON.

        Raises:
            ValidationError: It is none.
        """
        return validated(cls, text.encode() if isinstance(text, str) else text, with_rows=_with_rows)

    def to_text(self, *, without: Collection[str] = ()) -> str:
        """Write the spec as JSON; columns of many numbers in a fraction of the time that pydantic takes.

        Args:
            without: Fields to leave out.
        """
        data = self.data
        texts = data.packed_texts() if isinstance(data, InlineData) else {}
        if not texts:
            return self.model_dump_json(exclude=set(without))
        shell = data.model_copy(update=dict.fromkeys(texts))
        content = self.model_copy(update={"data": shell}).model_dump(mode="json", exclude=set(without))
        content["data"] |= texts
        return orjson.dumps(content).decode()


def _with_rows(spec: JobSpec, rows: PackedRows) -> JobSpec:
    return spec.model_copy(update={"data": spec.data.model_copy(update={"columns": None, "rows": rows})})
