"""What a job will take, by arithmetic: nothing is built, so a bomb costs nothing."""

from service.spec import bowl
from service.spec.plan import Plan

__all__ = [
    "BATCH_MEMORY_BUDGET",
    "RESIDENT_BYTES",
    "estimated_seconds",
    "is_streamed",
    "job_bytes",
    "largest_batch",
]

BATCH_MEMORY_BUDGET = 256 * 2**20
"""Bytes that the rows of one step may take when the service chooses the batch size."""
RESIDENT_BYTES = 512 * 2**20
"""A dataset whose numbers take more than this is read block by block instead of being kept in memory."""

BYTES = {"float32": 4, "float64": 8}
ACTIVATION_COPIES = 4
"""Tensors of a batch's size that are alive at once in a step: values, errors and their gradients."""
DEFAULT_STEP_SECONDS = 1.5e-4
"""Fixed cost of one eager step where no worker has measured its own yet: the order of magnitude on any CPU."""
FLOPS_PER_SECOND = 2e9
"""Sustained rate of one busy core in small matrix products: an order of magnitude, for estimates only."""


def job_bytes(plan: Plan) -> int:
    """Estimate the peak bytes of a job: data (encoded in float64, then converted), one batch, the model's state."""
    number = BYTES[plan.spec.training.dtype]
    table = plan.schema.rows * _row_numbers(plan) * (8 + number)
    if is_streamed(plan):
        table = plan.schema.rows * 8 + BATCH_MEMORY_BUDGET
    batch = min(plan.batch_rows, _block_rows(plan)) * plan.activation_count * number * ACTIVATION_COPIES
    shuffled = plan.batch_rows * _row_numbers(plan) * number if plan.batch_rows < plan.train_rows else 0
    # The parameters, their gradients, two copies to fall back on at divergence, the best ones, and the optimizer's.
    state = plan.parameter_count * number * (5 + plan.spec.optimizer.state_tensors)
    return table + batch + (0 if is_streamed(plan) else shuffled) + state


def is_streamed(plan: Plan) -> bool:
    """Tell whether the rows are read block by block, because they are stored and together too large."""
    stored = plan.spec.data.type == "dataset"
    return stored and plan.schema.rows * _row_numbers(plan) * 8 > RESIDENT_BYTES


def _row_numbers(plan: Plan) -> int:
    width = 1
    for size in plan.inputs:
        width *= size
    return width * len(plan.spec.data.roles()) + len(plan.targets)


def _block_rows(plan: Plan) -> int:
    """Rows of one block, where a whole batch would not fit."""
    return largest_batch(plan) if is_streamed(plan) else plan.batch_rows


def largest_batch(plan: Plan) -> int:
    """Choose the largest power of two that is at most the number of rows and fits `BATCH_MEMORY_BUDGET`."""
    row_bytes = max(1, plan.activation_count) * BYTES[plan.spec.training.dtype] * ACTIVATION_COPIES
    fitting = max(1, min(plan.train_rows, BATCH_MEMORY_BUDGET // row_bytes))
    return 1 << (fitting.bit_length() - 1)


def estimated_seconds(plan: Plan, *, step_seconds: float | None = None) -> float:
    """Estimate the training time on a CPU.

    Args:
        plan: Of the effective spec.
        step_seconds: Fixed cost of one step as a worker measured it, or None for a typical one.

    Returns:
        Seconds, without the time in the queue; right within a factor of about three for linear models.
    """
    if plan.spec.training.engine == "auto" and bowl.obstacle(plan) is None:
        return bowl.seconds(plan)
    flops = 6.0 * plan.train_rows * (plan.parameter_count + plan.activation_count)
    steps = (plan.steps_per_epoch + (plan.groups or 1) - 1) * (step_seconds or DEFAULT_STEP_SECONDS)
    return plan.epochs * plan.spec.optimizer.evaluations_per_step * (steps + flops / FLOPS_PER_SECOND)
