"""The process that reads one uploaded file, and may die of it: `python -m service.tables.child`.

Its order comes as one line of JSON on standard input, which then stays open for as long as the answer is wanted.
What it has to say it leaves in the order's folder: the manifest, or a refusal. Its exit code tells which.
"""

import errno
import os
import sys

from pydantic import BaseModel

from service.budgeted import hold_to, ordered
from service.exceptions import DatasetTooLarge, InvalidDataset, Problem
from service.loading import without_collection
from service.tables.orders import ReadOrder

__all__ = ["DISK_FULL", "ENVIRONMENT", "FAILED", "OUT_OF_MEMORY", "REFUSAL", "REFUSED", "Refusal", "main"]

ENVIRONMENT = {
    # Threads, pools and arenas reserve address space that nobody uses, and address space is what is limited.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # Blocks of megabytes come and go: given back at once, they leave no holes behind. A column of one block is
    # smaller: fetched anew each time, its pages would cost more than what is done with them.
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}
"""To be added to the environment that this process is started with."""
REFUSAL = "refusal.json"
REFUSED, OUT_OF_MEMORY, DISK_FULL, FAILED = 3, 4, 5, 6
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Refusal(BaseModel):
    """Why a file was not read.

    Attributes:
        problems: Of the file; none when it is too large.
    """

    message: str
    hint: str
    problems: tuple[Problem, ...] | None = None


def main() -> int:
    """Read the file that standard input orders, within its budget.

    Returns:
        The exit code: 0, or one of this module's.
    """
    order = ReadOrder.model_validate_json(ordered(abandoned=FAILED))
    # Imported before the limits are set: what the libraries themselves take is no part of the budget.
    with without_collection():
        from service.tables.reading import read_table

    # Address space counts, so the mapping of an Arrow file is added to it.
    mapped = order.source.stat().st_size if order.options.format == "arrow" else 0
    hold_to(seconds=order.budget.seconds, memory_bytes=order.budget.memory_bytes + mapped)
    try:
        read_table(order)
    except (InvalidDataset, DatasetTooLarge) as error:
        problems = tuple(error.problems) if isinstance(error, InvalidDataset) else None
        refusal = Refusal(message=error.message, hint=error.hint, problems=problems)
        (order.folder / REFUSAL).write_text(refusal.model_dump_json(), "utf-8")
        return REFUSED
    except MemoryError:
        return OUT_OF_MEMORY
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return OUT_OF_MEMORY
        if error.errno in _FULL:
            return DISK_FULL
        raise
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
