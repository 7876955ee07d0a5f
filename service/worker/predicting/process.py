"""The process that predicts whole datasets, and may die of one: `python -m service.worker.predicting.process`.

What it is to do comes as lines of JSON on standard input, which stays open for as long as its worker lives.
"""

import os
import queue
import signal
import sys
import threading

import structlog

from service import failpoints, logs
from service.loading import without_collection
from service.worker.predicting.orders import DONE, Order, PredictorConfig

__all__ = ["ENVIRONMENT", "main"]

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""To be added to the environment that this process is started with: trainings need the other cores."""
NICENESS = 5
"""How much trainings and requests go before it: beside one of them on its core it gets a quarter of the time."""


def main() -> None:
    """Predict one dataset after the other until standard input comes to its end."""
    # Both may reach every process at once; only the worker decides when this one stops.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), name="orders", daemon=True).start()
    config = PredictorConfig.model_validate_json(lines.get())
    logs.configure(log_format=config.log_format, level=config.log_level)
    failpoints.arm(config.failpoints_dir)
    _serve(config, lines)


def _read(lines: "queue.SimpleQueue[bytes]") -> None:
    """Read orders, and end the process with its worker: another attempt will be made, and this one must not go on."""
    while line := sys.stdin.buffer.readline():
        lines.put(line)
    os._exit(0)


def _serve(config: PredictorConfig, lines: "queue.SimpleQueue[bytes]") -> None:
    with without_collection():
        import torch

        from service.db import Database
        from service.doorbell import doorbell
        from service.worker import memory
        from service.worker.predicting.work import PredictionWork

    torch.set_num_threads(1)
    # Only now: until torch is loaded somebody waits for nothing but that.
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    database = Database(config.database_url)
    work = PredictionWork(config, database=database, doorbell=doorbell(database, config.doorbell_dir))
    while True:
        order = Order.model_validate_json(lines.get())
        with structlog.contextvars.bound_contextvars(prediction_id=order.id, attempt=order.attempt):
            work.do(order.ref)
        os.write(1, DONE)
        memory.give_back()


if __name__ == "__main__":
    main()
