"""The process that makes one export, and may die of it: `python -m service.exports.child`.

Its order comes as one line of JSON on standard input, which then stays open for as long as the answer is wanted.
What it has to say it leaves in the order's folder: the file and its report, or a refusal.
"""

import os
import sys
import time

from service.budgeted import hold_to, ordered
from service.exceptions import ExportFailed, ExportNotAvailable
from service.exports.formats import ExportFormat
from service.exports.orders import FILE, PARAMETERS, REFUSAL, REPORT, SPEC, ExportOrder, Refusal
from service.exports.shortage import is_of_memory
from service.loading import without_collection

__all__ = ["ENVIRONMENT", "FAILED", "OUT_OF_MEMORY", "REFUSED", "main"]

ENVIRONMENT = {
    # Threads and arenas reserve address space that nobody uses, and address space is what is limited.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # What torch and its helpers say about their own future is for nobody who reads this log.
    "PYTHONWARNINGS": "ignore",
}
"""To be added to the environment that this process is started with."""
REFUSED, OUT_OF_MEMORY, FAILED = 3, 4, 6


def main() -> int:
    """Make the export that standard input orders, within its budget.

    Returns:
        The exit code: 0, or one of this module's.
    """
    order = ExportOrder.model_validate_json(ordered(abandoned=FAILED))
    os.nice(5)
    # Imported before the limits are set: what the libraries themselves take is no part of the budget.
    with without_collection():
        import service.exports.making
        import service.exports.subject  # noqa: F401

        if order.format == ExportFormat.ONNX:
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
    # What loading the libraries has taken does not count.
    hold_to(seconds=time.process_time() + order.seconds, memory_bytes=order.memory_bytes)
    try:
        return _make(order)
    except Exception as error:
        # torch says it with a RuntimeError.
        if is_of_memory(error):
            return OUT_OF_MEMORY
        raise


def _make(order: ExportOrder) -> int:
    from service.exports.making import write_program
    from service.exports.subject import Subject

    subject = Subject(
        id=order.id,
        title=order.title,
        job_id="",
        spec_text=(order.folder / SPEC).read_text("utf-8"),
        parameters=(order.folder / PARAMETERS).read_bytes(),
        parameters_path="",
    )
    try:
        report = write_program(
            ExportFormat(order.format), subject, order.folder / FILE, datasets=order.datasets
        )
    except (ExportNotAvailable, ExportFailed) as error:
        is_failure = isinstance(error, ExportFailed)
        refusal = Refusal(is_failure=is_failure, message=error.message, hint=error.hint)
        (order.folder / REFUSAL).write_text(refusal.model_dump_json(), "utf-8")
        return REFUSED
    (order.folder / REPORT).write_text(report.model_dump_json(), "utf-8")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
