"""One assignment of a runner: from reading its jobs to recording how each of them ended."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
import torch
from sqlalchemy.exc import SQLAlchemyError

from service import __version__, failpoints
from service.db import Database
from service.doorbell import Doorbell
from service.exceptions import CheckpointUnusable, DatabaseBusy, LeaseLost, TrainingFailed
from service.jobs import attempts, repository
from service.jobs.attempts import Ended, JobRef, Start
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.storage.checkpoints import CheckpointStore
from service.tables.frame import Frame
from service.training import devices
from service.training.callbacks import Stop
from service.training.choosing import AnyFit, AnyTrainer, fit_together, trainer_of
from service.training.frames import load
from service.training.weights import from_bytes
from service.worker import memory
from service.worker.checkpoints import Resumable, newest_usable
from service.worker.executor import Assignment
from service.worker.messages import RunnerConfig
from service.worker.orders import Orders
from service.worker.outcome import cancelled, failed, outcome
from service.worker.recorder import LetGo, Recorder, record_ends

__all__ = ["GONE", "Work", "environment_of"]

logger = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
"""Time between two tries to read a job while the database is busy."""
GONE = (EOFError, BrokenPipeError, ConnectionResetError)
"""The worker died."""

Read = TypeVar("Read")


def environment_of(device: str, threads: int, *, together: int = 1) -> dict[str, Any]:
    """Name all that must be equal for two trainings to be equal to the last bit.

    Args:
        device: Of the training.
        threads: Of one operation.
        together: Jobs that are trained in one go: products of many matrices at once may round otherwise.
    """
    beside = {"together": together} if together > 1 else {}
    return {
        **beside,
        "fitd": __version__,
        # Plain text: whoever reads torch's own kind of text from a pipe would load torch for it.
        "torch": str(torch.__version__),
        "device": device,
        "threads": threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }


@dataclass(eq=False, slots=True)
class _Case:
    """One job of the assignment, ready to be trained.

    Attributes:
        recorder: Keeps its record.
        start: What the attempt begins with.
        plan: Of its spec.
        frame: Its rows.
        device: Where it trains.
        initial: Parameters of an earlier job that it starts from.
        resumable: Where it goes on from.
    """

    recorder: Recorder
    start: Start
    plan: Plan
    frame: Frame
    device: str
    initial: dict[str, torch.Tensor] | None
    resumable: Resumable = field(default_factory=Resumable)


@dataclass(frozen=True, slots=True)
class Work:
    """Trains the jobs of assignments.

    Attributes:
        database: Where jobs are read and recorded.
        doorbell: Rings what is new.
        orders: Of the worker.
        store: Of the checkpoints.
        config: Of the runner.
    """

    database: Database
    doorbell: Doorbell
    orders: Orders
    store: CheckpointStore
    config: RunnerConfig

    def do(self, assignment: Assignment) -> None:
        """Train the jobs and record their ends: whatever goes wrong with one becomes its error, with its cause.

        Raises:
            EOFError, BrokenPipeError, ConnectionResetError: The worker is gone.
        """
        starts = self._patiently(lambda: self._begun(assignment))
        failpoints.hit("begun")
        cases: list[_Case] = []
        results: dict[Recorder, Ended | Exception] = {}
        for ref in assignment.refs:
            recorder = self._recorder(ref, beside=len(assignment.refs))
            if ref not in starts:
                results[recorder] = LeaseLost()
                continue
            try:
                cases.append(self._case(recorder, starts[ref]))
            except Exception as error:  # noqa: BLE001 - it becomes the job's
                results[recorder] = error
        with memory.limited(self._bound(cases)):
            for case, fit in self._fitted(cases).items():
                results[case.recorder] = _end_of(case.plan, fit)
            _conclude(results)

    def _begun(self, assignment: Assignment) -> Mapping[JobRef, Start]:
        if assignment.start is not None:
            return {assignment.refs[0]: assignment.start}
        with self.database.read() as session:
            return attempts.begin(session, assignment.refs)

    def _recorder(self, ref: JobRef, *, beside: int) -> Recorder:
        return Recorder(
            ref,
            database=self.database,
            doorbell=self.doorbell,
            orders=self.orders,
            store=self.store,
            checkpoint_seconds=self.config.checkpoint_seconds,
            beside=beside,
        )

    def _case(self, recorder: Recorder, start: Start) -> _Case:
        spec = JobSpec.from_text(start.spec)
        device = devices.resolve(spec.training.device, dtype=spec.training.dtype)
        frame = load(spec.data, datasets=self.config.datasets_dir)
        initial = self._patiently(lambda: _initial(spec, self.database))
        resumable = newest_usable(self.store, start.checkpoints)
        return _Case(recorder, start, Plan(spec, frame.schema), frame, device, initial, resumable)

    def _bound(self, cases: list[_Case]) -> int:
        """Bytes that the trainings may take; 0 for no bound, where they are on an accelerator."""
        return self.config.memory_bytes if all(case.device == "cpu" for case in cases) else 0

    def _fitted(self, cases: list[_Case]) -> dict[_Case, AnyFit | Exception]:
        """Train, each job from where it goes on; again from the start where its checkpoint turns out not to fit."""
        results: dict[_Case, AnyFit | Exception] = {}
        while cases:
            ready: dict[_Case, AnyTrainer] = {}
            for case in cases:
                try:
                    ready[case] = self._trainer(case, together=len(cases))
                except Exception as error:  # noqa: BLE001 - it becomes the job's
                    results[case] = error
            results.update(zip(ready, fit_together(list(ready.values())), strict=True))
            cases = [case for case in cases if isinstance(results[case], CheckpointUnusable)]
            for case in cases:
                # Of a version that trained otherwise: the file is whole, and its content does not fit.
                note = f"No checkpoint can be used: {results[case]} The training starts again."
                case.resumable = Resumable(notes=[note])
        return results

    def _trainer(self, case: _Case, *, together: int) -> AnyTrainer:
        environment = environment_of(case.device, self.config.threads, together=together)
        self._patiently(
            lambda: case.recorder.begin(
                case.start, device=case.device, environment=environment, resumable=case.resumable
            )
        )
        after = case.resumable.row and case.resumable.row.epoch
        logger.info(
            "training starts", **case.recorder.about, device=case.device, epochs=case.plan.epochs, after=after
        )
        return trainer_of(case.plan)(
            case.plan,
            case.frame,
            callbacks=[case.recorder],
            device=case.device,
            initial=case.initial,
            checkpoint=case.resumable.checkpoint,
        )

    def _patiently(self, read: Callable[[], Read]) -> Read:
        """Do what has to be done before the first epoch, however long the database is out of reach."""
        while True:
            try:
                return read()
            except DatabaseBusy as error:
                logger.warning("the job cannot begin yet", reason=error.message)
                self.orders.wait(RETRY_SECONDS)


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


def _end_of(plan: Plan, fit: AnyFit | Exception) -> Ended | Exception:
    """Turn what a training left into the job's end, or tell what went wrong."""
    if isinstance(fit, Stop):
        return cancelled()
    if isinstance(fit, Exception):
        return fit
    try:
        return outcome(plan, fit)
    except Exception as error:  # noqa: BLE001 - it becomes the job's
        return error


def _conclude(results: Mapping[Recorder, Ended | Exception]) -> None:
    """Record all ends in one transaction, and give back what has none."""
    for result in results.values():
        if isinstance(result, GONE):
            raise result
    for recorder, result in results.items():
        if isinstance(result, LeaseLost):
            logger.warning("lease lost, nothing more is written", **recorder.about)
        elif isinstance(result, LetGo):
            recorder.let_go(result.reason)
    ends = {
        recorder: result if isinstance(result, Ended) else failed(_described(result, recorder))
        for recorder, result in results.items()
        if not isinstance(result, LeaseLost | LetGo)
    }
    for recorder in ends.keys() - _recorded(ends):
        logger.warning("lease lost, the end is not recorded", **recorder.about)


def _recorded(ends: Mapping[Recorder, Ended]) -> set[Recorder]:
    """Record ends together; each for itself, where the database refuses one of them for what is in it."""
    try:
        return record_ends(ends)
    except GONE:
        raise
    except Exception as error:  # noqa: BLE001 - it becomes the job's
        if len(ends) > 1:
            return {recorder for one, ended in ends.items() for recorder in _recorded({one: ended})}
        (recorder,) = ends
        recorder.fail(_described(error, recorder))
        return {recorder}


def _described(error: Exception, recorder: Recorder) -> TrainingFailed:
    if isinstance(error, TrainingFailed):
        return error
    logger.error("training failed unexpectedly", **recorder.about, exc_info=error)
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
