"""The process that trains: it warms up once, then runs one job after the other."""

import gc
import os
import platform
import signal
from multiprocessing.connection import Connection
from typing import Any

import structlog
import torch
from sqlalchemy.exc import SQLAlchemyError

from service import logs
from service.db import Database
from service.doorbell import Doorbell
from service.exceptions import LeaseLost, TrainingFailed
from service.jobs import attempts, repository
from service.jobs.attempts import JobRef
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.training import devices
from service.training.frames import load
from service.training.trainer import Trainer
from service.training.warmup import warm_up
from service.training.weights import from_bytes
from service.worker.messages import Done, Ready, Run, RunnerConfig
from service.worker.recorder import Recorder

__all__ = ["run"]

logger = structlog.get_logger(__name__)


def run(pipe: Connection, config: RunnerConfig) -> None:
    """Warm up, then train one job after the other until the pipe says stop or closes."""
    # Ctrl-C reaches every process of a terminal; only the worker decides when its runners stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(log_format=config.log_format, level=config.log_level)
    try:
        pipe.send(Ready(_warm_up(config.threads)))
        _serve(pipe, config)
    except (EOFError, BrokenPipeError, ConnectionResetError):
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
        "environment": _environment("cpu", threads),
    }


def _environment(device: str, threads: int) -> dict[str, Any]:
    """Name all that must be equal for two trainings to be equal to the last bit."""
    return {
        "torch": torch.__version__,
        "device": device,
        "threads": threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }


def _serve(pipe: Connection, config: RunnerConfig) -> None:
    database, doorbell = Database(config.database_url), Doorbell(config.doorbell_dir)
    while isinstance(message := pipe.recv(), Run):
        recorder = Recorder(message.ref, database=database, doorbell=doorbell, pipe=pipe)
        with structlog.contextvars.bound_contextvars(job_id=message.ref.id, attempt=message.ref.attempt):
            _run(message.ref, recorder, config)
        pipe.send(Done(message.ref))


def _run(ref: JobRef, recorder: Recorder, config: RunnerConfig) -> None:
    """Train a job and record its end: whatever goes wrong becomes the job's error, with its cause."""
    try:
        _train(ref, recorder, config)
    except LeaseLost:
        logger.warning("lease lost, nothing more is written")
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except TrainingFailed as error:
        recorder.fail(error)
    except Exception as error:
        logger.exception("training failed unexpectedly")
        recorder.fail(_described(error))


def _train(ref: JobRef, recorder: Recorder, config: RunnerConfig) -> None:
    with recorder.database.read() as session:
        text = attempts.spec_of(session, ref)
    if text is None:
        raise LeaseLost
    spec = JobSpec.model_validate_json(text)
    device = devices.resolve(spec.training.device, dtype=spec.training.dtype)
    recorder.begin(device=device, environment=_environment(device, config.threads))
    frame = load(spec.data, datasets=config.datasets_dir)
    plan = Plan(spec, frame.schema)
    initial = _initial(spec, recorder.database)
    logger.info("training starts", device=device, epochs=plan.epochs)
    recorder.finish(plan, Trainer(plan, frame, callbacks=[recorder], device=device, initial=initial).fit())


def _initial(spec: JobSpec, database: Database) -> dict[str, torch.Tensor] | None:
    """Read the parameters that the job starts from."""
    source = spec.model.init_from_job
    if source is None:
        return None
    with database.read() as session:
        job = repository.find(session, source)
        stored = None if job is None else repository.parameters(session, job)
    if stored is None:
        message = f"The job {source} that this one was to start from is gone."
        raise TrainingFailed("init_missing", message, "Submit it anew with another init_from.")
    return from_bytes(stored.data)


def _described(error: Exception) -> TrainingFailed:
    if (
        isinstance(error, MemoryError)
        or "out of memory" in str(error)
        or "can't allocate memory" in str(error)
    ):
        hint = "Take a smaller batch_size, fewer rows or float32."
        return TrainingFailed("out_of_memory", "The training ran out of memory.", hint)
    if isinstance(error, SQLAlchemyError):
        return TrainingFailed("internal_error", "The database refused the job.", "The log has the details.")
    message = f"The training broke with {type(error).__name__}: {str(error)[:500]}"
    return TrainingFailed(
        "internal_error", message, "This is a fault of the service: please report it with the spec."
    )
