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

from service import __version__, failpoints, logs
from service.db import Database
from service.doorbell import doorbell
from service.exceptions import CheckpointUnusable, DatabaseBusy, LeaseLost, TrainingFailed
from service.jobs import attempts, repository
from service.jobs.attempts import JobRef, Start
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.storage.checkpoints import CheckpointStore
from service.tables.frame import Frame
from service.training import devices
from service.training.callbacks import Stop
from service.training.frames import load
from service.training.trainer import Fit, Trainer
from service.training.warmup import warm_up
from service.training.weights import from_bytes
from service.worker import memory
from service.worker.checkpoints import Resumable, newest_usable
from service.worker.messages import Done, Ready, Run, RunnerConfig
from service.worker.recorder import LetGo, Recorder

__all__ = ["run"]

logger = structlog.get_logger(__name__)


def run(pipe: Connection, config: RunnerConfig) -> None:
    """Warm up, then train one job after the other until the pipe says stop or closes."""
    # Ctrl-C reaches every process of a terminal; only the worker decides when its runners stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(log_format=config.log_format, level=config.log_level)
    failpoints.arm(config.failpoints_dir)
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
        "fitd": __version__,
        "torch": torch.__version__,
        "device": device,
        "threads": threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }


def _serve(pipe: Connection, config: RunnerConfig) -> None:
    database = Database(config.database_url)
    bell = doorbell(database, config.doorbell_dir)
    store = CheckpointStore(config.checkpoints_dir, min_free_bytes=config.min_free_bytes)
    jobs = 0
    while isinstance(message := pipe.recv(), Run):
        recorder = Recorder(
            message.ref,
            database=database,
            doorbell=bell,
            pipe=pipe,
            store=store,
            checkpoint_seconds=config.checkpoint_seconds,
        )
        with structlog.contextvars.bound_contextvars(job_id=message.ref.id, attempt=message.ref.attempt):
            _run(message.ref, recorder, store, config)
        jobs += 1
        memory.give_back()
        leaving = jobs >= config.recycle_jobs or memory.resident_bytes() > config.recycle_bytes
        pipe.send(Done(message.ref, leaving=leaving))
        if leaving:
            logger.info("runner is replaced", jobs=jobs, resident_bytes=memory.resident_bytes())
            return


def _run(ref: JobRef, recorder: Recorder, store: CheckpointStore, config: RunnerConfig) -> None:
    """Train a job and record its end: whatever goes wrong becomes the job's error, with its cause."""
    try:
        while not _trained(ref, recorder, store, config):
            recorder.wait()
    except LetGo as gone:
        recorder.let_go(gone.reason)
    except LeaseLost:
        logger.warning("lease lost, nothing more is written")
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Stop:
        recorder.cancel()
    except TrainingFailed as error:
        recorder.fail(error)
    except Exception as error:
        logger.exception("training failed unexpectedly")
        recorder.fail(_described(error))


def _trained(ref: JobRef, recorder: Recorder, store: CheckpointStore, config: RunnerConfig) -> bool:
    """Train a job; False where the database could not be read before the first epoch. Later the recorder is patient itself."""
    try:
        _train(ref, recorder, store, config)
    except DatabaseBusy as error:
        logger.warning("the job cannot begin yet", reason=error.message)
        return False
    return True


def _train(ref: JobRef, recorder: Recorder, store: CheckpointStore, config: RunnerConfig) -> None:
    with recorder.database.read() as session:
        start = attempts.begin(session, ref)
    if start is None:
        raise LeaseLost
    failpoints.hit("begun")
    spec = JobSpec.from_text(start.spec)
    device = devices.resolve(spec.training.device, dtype=spec.training.dtype)
    frame = load(spec.data, datasets=config.datasets_dir)
    plan = Plan(spec, frame.schema)
    with memory.limited(config.memory_bytes if device == "cpu" else 0):
        fit = _fit(plan, frame, start, recorder, device=device, store=store, config=config)
        recorder.finish(plan, fit)


def _fit(
    plan: Plan,
    frame: Frame,
    start: Start,
    recorder: Recorder,
    *,
    device: str,
    store: CheckpointStore,
    config: RunnerConfig,
) -> Fit:
    """Go on from the newest checkpoint that can be used, or start from the first epoch."""
    environment = _environment(device, config.threads)
    initial = _initial(plan.spec, recorder.database)
    resumable = newest_usable(store, start.checkpoints)
    while True:
        recorder.begin(start, device=device, environment=environment, resumable=resumable)
        logger.info(
            "training starts", device=device, epochs=plan.epochs, after=resumable.row and resumable.row.epoch
        )
        try:
            return Trainer(
                plan,
                frame,
                callbacks=[recorder],
                device=device,
                initial=initial,
                checkpoint=resumable.checkpoint,
            ).fit()
        except CheckpointUnusable as error:
            # Of a version that trained otherwise: the file is whole, and its content does not fit.
            note = f"No checkpoint can be used: {error.message} The training starts again."
            resumable = Resumable(notes=[note])


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
        or "bad_alloc" in str(error)
    ):
        hint = "Take a smaller batch_size, fewer rows or float32."
        return TrainingFailed("out_of_memory", "The training ran out of memory.", hint)
    if isinstance(error, SQLAlchemyError):
        return TrainingFailed("internal_error", "The database refused the job.", "The log has the details.")
    message = f"The training broke with {type(error).__name__}: {str(error)[:500]}"
    return TrainingFailed(
        "internal_error", message, "This is a fault of the service: please report it with the spec."
    )
