"""What a job will take, by arithmetic: nothing is built, so a bomb costs nothing."""

import math
from typing import Protocol

from service.spec.data import DataSpec
from service.spec.models import ModelSpec
from service.spec.optimizers import OptimizerSpec
from service.spec.training import TrainingSpec

__all__ = ["BATCH_MEMORY_BUDGET", "estimated_seconds", "job_bytes", "largest_batch", "steps_per_epoch"]

BATCH_MEMORY_BUDGET = 256 * 2**20
"""Bytes that the rows of one step may take when the service chooses the batch size."""

BYTES = {"float32": 4, "float64": 8}
ACTIVATION_COPIES = 4
"""Tensors of a batch's size that are alive at once in a step: inputs, outputs, errors and their gradients."""
DEFAULT_STEP_SECONDS = 1.5e-4
"""Fixed cost of one eager step where no worker has measured its own yet: the order of magnitude on any CPU."""
FLOPS_PER_SECOND = 2e9
"""Sustained rate of one busy core in small matrix products: an order of magnitude, for estimates only."""


class _Job(Protocol):
    @property
    def data(self) -> DataSpec: ...
    @property
    def model(self) -> ModelSpec: ...
    @property
    def optimizer(self) -> OptimizerSpec: ...
    @property
    def training(self) -> TrainingSpec: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def parameter_count(self) -> int: ...


def steps_per_epoch(rows: int, batch_rows: int) -> int:
    """Count the batches of an epoch; the last one may be smaller."""
    return math.ceil(rows / batch_rows)


def job_bytes(job: _Job) -> int:
    """Estimate the peak bytes of a job: data (drawn in float64, then converted), one batch, and the model's state."""
    width = len(job.data.feature_names) + 1
    number = BYTES[job.training.dtype]
    data = job.data.row_count * width * (8 + number)
    batch = job.batch_rows * width * number * ACTIVATION_COPIES
    shuffled = job.data.row_count * width * number if job.batch_rows < job.data.row_count else 0
    # The parameters, their gradients, two copies to fall back on at divergence, and the optimizer's state.
    state = job.parameter_count * number * (4 + job.optimizer.state_tensors)
    return data + batch + shuffled + state


def largest_batch(data: DataSpec, model: ModelSpec, optimizer: OptimizerSpec, training: TrainingSpec) -> int:  # noqa: ARG001 - deeper models will need all four
    """Choose the largest power of two that is at most the number of rows and fits `BATCH_MEMORY_BUDGET`."""
    row_bytes = (len(data.feature_names) + 1) * BYTES[training.dtype] * ACTIVATION_COPIES
    fitting = max(1, min(data.row_count, BATCH_MEMORY_BUDGET // row_bytes))
    return 1 << (fitting.bit_length() - 1)


def estimated_seconds(job: _Job, *, step_seconds: float | None = None) -> float:
    """Estimate the training time on a CPU.

    Args:
        job: The effective spec.
        step_seconds: Fixed cost of one step as a worker measured it, or None for a typical one.

    Returns:
        Seconds, without the time in the queue; right within a factor of about three.
    """
    steps = steps_per_epoch(job.data.row_count, job.batch_rows)
    flops = 6.0 * job.data.row_count * job.parameter_count
    return job.training.epochs * (steps * (step_seconds or DEFAULT_STEP_SECONDS) + flops / FLOPS_PER_SECOND)
