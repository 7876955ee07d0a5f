"""The process that trains: it warms up once, then runs one job after the other."""

import gc
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

import structlog

from service import failpoints, logs
from service.db import Database
from service.doorbell import doorbell
from service.storage.checkpoints import CheckpointStore
from service.training import devices
from service.training.warmup import warm_up
from service.worker import memory
from service.worker.executor import Assignment
from service.worker.messages import Done, Ready, RunnerConfig
from service.worker.orders import Orders
from service.worker.work import GONE, Work, environment_of

__all__ = ["run"]

logger = structlog.get_logger(__name__)


def run(pipe: Connection, config: RunnerConfig) -> None:
    """Warm up, then train one job after the other until the pipe says stop or closes."""
    # Both may reach every process at once; only the worker decides when its runners stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logs.configure(log_format=config.log_format, level=config.log_level)
    failpoints.arm(config.failpoints_dir)
    try:
        pipe.send(Ready(_warm_up(config.threads)))
        _serve(pipe, config)
    except GONE:
        # The worker died: another attempt will be made, and this one must not go on.
        logger.warning("worker is gone, runner ends")
    # Python's and torch's own farewell take longer than the second in which a Ctrl-C has to end.
    os._exit(0)


def _warm_up(threads: int) -> dict[str, Any]:
    step_seconds = warm_up(threads)
    # Torch's million objects live as long as the process: the collector need not look at them again and again.
    gc.freeze()
    return {
        "devices": devices.available(),
        "step_seconds": step_seconds,
        "environment": environment_of("cpu", threads),
    }


def _serve(pipe: Connection, config: RunnerConfig) -> None:
    database = Database(config.database_url)
    orders = Orders(pipe)
    work = Work(
        database=database,
        doorbell=doorbell(database, config.doorbell_dir),
        orders=orders,
        store=CheckpointStore(config.checkpoints_dir, min_free_bytes=config.min_free_bytes),
        config=config,
    )
    jobs = 0
    while (assignment := orders.next()) is not None:
        with structlog.contextvars.bound_contextvars(**_named(assignment)):
            work.do(assignment)
        jobs += len(assignment.refs)
        leaving = jobs >= config.recycle_jobs or _is_swollen(config.recycle_bytes)
        # Told first, tidied up afterwards: the next job need not wait for it.
        pipe.send(Done(assignment.refs, leaving=leaving))
        if leaving:
            logger.info("runner is replaced", jobs=jobs, resident_bytes=memory.resident_bytes())
            return
        memory.give_back()


def _named(assignment: Assignment) -> dict[str, Any]:
    """Name what is being done, for every line of the log."""
    if len(assignment.refs) > 1:
        return {"jobs_together": len(assignment.refs)}
    (ref,) = assignment.refs
    return {"job_id": ref.id, "attempt": ref.attempt}


def _is_swollen(bound: int) -> bool:
    """Tell whether the process holds more memory than it should, what can be given back aside."""
    if memory.resident_bytes() <= bound:
        return False
    memory.give_back()
    return memory.resident_bytes() > bound
