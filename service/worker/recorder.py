"""From the training's callbacks to the database: history, progress and checkpoints while it runs, its result at the end."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog
from sqlalchemy.orm import Session

from service import failpoints
from service.db import Database, after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED, UNDER_WAY, Doorbell
from service.exceptions import DatabaseBusy, DiskFull, LeaseLost, TrainingFailed
from service.jobs import attempts, causes
from service.jobs.attempts import Arrived, Ended, JobRef, NewCheckpoint, Progress, Start
from service.jobs.lifecycle import Status
from service.jobs.repository import NewEpochs
from service.spec.plan import Plan
from service.storage.checkpoints import CheckpointStore
from service.training.callbacks import Callback, Pulse, Stop
from service.training.checkpoint import Checkpoint
from service.training.groups.trainer import GroupedFit
from service.training.trainer import Fit
from service.worker.checkpoints import Checkpoints, Resumable
from service.worker.orders import Orders
from service.worker.outcome import failed, outcome

__all__ = ["LetGo", "Recorder", "record_ends"]

logger = structlog.get_logger(__name__)

REPORT_SECONDS = 0.2
"""Least time between two reports: with pulses of 25 ms, between four and five transactions a second."""

BESIDE_SECONDS = 1.0
"""Jobs that are trained together report less often, so that they do not spend the time on it, but not more seldom."""

RETRY_SECONDS = 1.0
"""Time between two tries to record the end of a job while the database is busy."""

CAUSES = {
    "drain": causes.WORKER_STOPPED,
    "pause": causes.REQUESTED,
    "yield": causes.GAVE_WAY,
}
"""Why a training lets go before its end, by the reason of the checkpoint that it leaves."""

Kept = TypeVar("Kept")


class LetGo(Exception):
    """Leaves the training at once, without an end: the job is given back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Recorder(Callback):
    """Keeps the record of one attempt. Every write is fenced; a lost lease ends the training with `LeaseLost`."""

    def __init__(
        self,
        ref: JobRef,
        *,
        database: Database,
        doorbell: Doorbell,
        orders: Orders,
        store: CheckpointStore,
        checkpoint_seconds: float,
        beside: int = 1,
    ) -> None:
        """Prepare to record an attempt.

        Args:
            ref: The attempt.
            database: Where it is recorded.
            doorbell: Rings what is new.
            orders: Of the worker.
            store: Of the checkpoints.
            checkpoint_seconds: Time between two of them.
            beside: Jobs that the process trains at the same time, this one included.
        """
        self.database = database
        self.orders = orders
        self._ref = ref
        self._doorbell = doorbell
        self._is_beside_others = beside > 1
        self._report_seconds = min(REPORT_SECONDS * beside, max(REPORT_SECONDS, BESIDE_SECONDS))
        self._store = store
        self._checkpoint_seconds = checkpoint_seconds
        self._checkpoints = Checkpoints(store, ref, every=checkpoint_seconds, last=0)
        self._device = ""
        self._environment: dict[str, Any] = {}
        self._engine: dict[str, str] | None = None
        self._recorded = 0
        self._fraction: float | None = None
        self._least_fraction = 0.0
        self._columns: dict[str, list[float]] = {"train_loss": []}
        self._begun = self._reported = time.monotonic()
        self._seconds_before = 0.0
        self._seconds_left = math.inf
        self._in_doubt = False

    @property
    def about(self) -> dict[str, Any]:
        """Name the attempt, for the log."""
        return {"job_id": self._ref.id, "attempt": self._ref.attempt}

    def begin(self, start: Start, *, device: str, environment: dict[str, Any], resumable: Resumable) -> None:
        """Note where the attempt runs, and fit what an earlier one has recorded to where this one goes on.

        Raises:
            LeaseLost: The job belongs to another attempt by now.
        """
        self._device, self._environment = device, environment
        self._seconds_before = start.seconds
        self._seconds_left = math.inf if start.max_seconds is None else start.max_seconds - start.seconds
        last = resumable.row.number if resumable.row else 0
        self._checkpoints = Checkpoints(self._store, self._ref, every=self._checkpoint_seconds, last=last)
        if self._ref.attempt > 1:
            with self.database.write() as session:
                recorded = attempts.resume(
                    session,
                    self._ref,
                    environment=environment,
                    checkpoint=resumable.row,
                    notes=resumable.notes,
                )
            if recorded is None:
                raise LeaseLost
            self._recorded = recorded
            self._least_fraction = start.fraction if recorded == start.recorded else 0.0

    def on_start(self) -> None:
        """Do not even begin when the worker stops: of jobs that are trained together, not all have begun."""
        if self._is_beside_others:
            self._begun = time.monotonic()  # What came before was the time of others.
        if self.orders.reason_to_leave(self._ref) == "drain":
            raise LetGo("drain")

    def on_pulse(self, pulse: Pulse) -> None:
        """Keep what is new, tell it and take a checkpoint when it is time to, and hear whether to stop."""
        self._keep(pulse)
        reason = self.orders.reason_to_leave(self._ref)
        if reason is not None:
            self._leave(pulse, reason)
        if pulse.phase == "training" and time.monotonic() - self._begun >= self._seconds_left:
            raise Stop("max_runtime")
        if self._checkpoints.is_due and pulse.checkpoint is not None:
            self._heed(self._checkpoint(pulse.checkpoint()), pulse)
        elif time.monotonic() - self._reported >= self._report_seconds:
            self._heed(self._report(), pulse)

    def _heed(self, status: Status | None, pulse: Pulse) -> None:
        """Do what the job was asked meanwhile."""
        if status is Status.CANCELLING:
            raise Stop
        if status is Status.PAUSING:
            self._leave(pulse, "pause")

    def _leave(self, pulse: Pulse, reason: str) -> None:
        """Take a last checkpoint and leave the training.

        Without room for one, or in the midst of a step, the one before has to do; but whoever would only let others
        have a turn stays then.
        """
        if pulse.checkpoint is None:
            if reason == "yield":
                return
            raise LetGo(reason)
        try:
            new = self._checkpoints.write(pulse.checkpoint(), reason)
        except DiskFull as error:
            logger.warning("no last checkpoint", **self.about, reason=error.message)
            if reason == "yield":
                self.orders.stay()
                return
        else:
            _, unnamed = self._patiently(lambda session: self._kept(session, new))
            failpoints.hit("checkpoint_recorded")
            self._checkpoints.remove(unnamed)
        raise LetGo(reason)

    def _keep(self, pulse: Pulse) -> None:
        known = max(0, self._next_epoch - pulse.first_epoch)
        for name, series in pulse.columns.items():
            self._columns.setdefault(name, []).extend(series[known:])
        if pulse.fraction > self._least_fraction:
            self._fraction = pulse.fraction
        if pulse.engine is not None:
            self._engine = dataclasses.asdict(pulse.engine)

    @property
    def _next_epoch(self) -> int:
        return self._recorded + len(self._columns["train_loss"]) + 1

    def _progress(self) -> Progress:
        return Progress(
            fraction=self._fraction,
            epochs=NewEpochs(first=self._recorded + 1, columns=self._columns),
            device=self._device,
            environment=self._environment,
            engine=self._engine,
            seconds=self._seconds_before + time.monotonic() - self._begun,
        )

    def _told(self) -> None:
        """Forget what is recorded now: only after the commit, so that a refused write loses nothing."""
        self._recorded += len(self._columns["train_loss"])
        self._columns = {name: [] for name in self._columns}
        self._reported = time.monotonic()
        self._in_doubt = False

    def _refused(self, error: DatabaseBusy, what: str) -> None:
        """Note that a write failed, or may have: somebody holds the database, the disk is full, the server restarts."""
        logger.warning(what, reason=error.message, in_doubt=error.in_doubt)
        self._in_doubt = self._in_doubt or error.in_doubt

    def _caught_up(self, session: Session) -> Arrived | None:
        """After a commit whose answer was lost: forget what it has recorded, so that nothing is told twice."""
        arrived = attempts.arrived(session, self._ref) if self._in_doubt else None
        if arrived is not None:
            known = arrived.epochs - self._recorded
            self._recorded = arrived.epochs
            self._columns = {name: series[known:] for name, series in self._columns.items()}
        return arrived

    def _report(self) -> Status | None:
        """Tell what is new; None where the database did not take it, and it is told the next time."""
        self._reported = time.monotonic()
        try:
            with self.database.write() as session:
                self._caught_up(session)
                status = attempts.report(session, self._ref, self._progress())
                self._ring_after(session, UNDER_WAY)
        except DatabaseBusy as error:
            self._refused(error, "report put off")  # The training goes on and tells more next time.
            return None
        if status is None:
            raise LeaseLost
        self._told()
        return status

    def _checkpoint(self, checkpoint: Checkpoint) -> Status | None:
        """Take a checkpoint, and record it with all that is new; None where there was no room for one."""
        try:
            new = self._checkpoints.write(checkpoint, "interval")
        except DiskFull as error:
            logger.warning("checkpoint put off", reason=error.message)
            return None
        try:
            with self.database.write() as session:
                status, unnamed = self._kept(session, new)
        except DatabaseBusy as error:
            self._refused(error, "checkpoint given up")
            if not error.in_doubt:  # Else a row may name it.
                self._checkpoints.remove([new.path])
            return None
        failpoints.hit("checkpoint_recorded")
        self._told()
        self._checkpoints.remove(unnamed)
        return status

    def _kept(self, session: Session, new: NewCheckpoint) -> tuple[Status, list[str]]:
        arrived = self._caught_up(session)
        if arrived is not None and arrived.checkpoint == new.number:
            return arrived.status, []
        kept = attempts.keep(session, self._ref, self._progress(), new)
        if kept is None:
            self._checkpoints.remove([new.path])
            raise LeaseLost
        self._ring_after(session, UNDER_WAY)
        return kept

    def finish(self, plan: Plan, fit: Fit | GroupedFit) -> None:
        """Record how the training ended.

        Raises:
            LeaseLost: The job belongs to another attempt by now; nothing is recorded.
        """
        if not record_ends({self: outcome(plan, fit)}):
            raise LeaseLost

    def fail(self, error: TrainingFailed) -> None:
        """Record that the job failed, and why; a lost lease is no matter here."""
        if not record_ends({self: failed(error)}):
            logger.warning("lease lost, the failure is not recorded", **self.about, code=error.code)

    def end(self, session: Session, ended: Ended) -> bool:
        """Write how the training ended; False when the lease is lost and nothing was written."""
        self._caught_up(session)
        written = attempts.finish(session, self._ref, self._progress(), ended)
        self._ring_after(session)
        return written

    def ended(self, ended: Ended) -> None:
        """Tidy up after the end is committed."""
        self._checkpoints.remove_all()
        logger.info("training ended", **self.about, status=ended.status, stop_reason=ended.stop_reason)

    def let_go(self, reason: str) -> None:
        """Give the job back: to the queue, or to where it was asked to go."""
        failpoints.hit("letting_go")
        cause, gives_way = CAUSES[reason], reason == "yield"
        status = self._patiently(
            lambda session: attempts.let_go(session, self._ref, cause=cause, gives_way=gives_way)
        )
        failpoints.hit("let_go")
        if status is Status.CANCELLED:
            self._checkpoints.remove_all()
        self._doorbell.ring(JOB_QUEUED)
        logger.info("job let go", **self.about, status=status)

    def _patiently(self, write: Callable[[Session], Kept]) -> Kept:
        """Do a last write of the attempt, however long the database is busy."""

        def all_of_it(session: Session) -> Kept:
            self._caught_up(session)
            self._ring_after(session)
            return write(session)

        return _patiently(self, all_of_it, self._refused)

    def _ring_after(self, session: Session, suffix: str = "") -> None:
        after_commit(session, lambda: self._doorbell.ring(JOB_CHANGED, self._ref.id + suffix))


def record_ends(ends: Mapping[Recorder, Ended]) -> set[Recorder]:
    """Record how trainings of one process ended, all in one transaction, each fenced by its own attempt.

    Returns:
        Those whose end is recorded: the others have lost their lease.
    """
    if not ends:
        return set()
    failpoints.hit("finishing")
    recorded = _patiently(
        next(iter(ends)),
        lambda session: {recorder for recorder, ended in ends.items() if recorder.end(session, ended)},
        _warn_of,
    )
    failpoints.hit("finished")
    for recorder in recorded:
        recorder.ended(ends[recorder])
    return recorded


def _warn_of(error: DatabaseBusy, what: str) -> None:
    # In doubt or not: an end that has arrived is refused the next time, because the job is nobody's any more.
    logger.warning(what, reason=error.message, in_doubt=error.in_doubt)


def _patiently(
    recorder: Recorder, write: Callable[[Session], Kept], refused: Callable[[DatabaseBusy, str], None]
) -> Kept:
    """Do the last write of attempts, however long the database is busy: until then the result is only here.

    A worker that stops meanwhile kills this process, and other attempts repeat the jobs.
    """
    while True:
        try:
            with recorder.database.write() as session:
                return write(session)
        except DatabaseBusy as error:
            refused(error, "the end of the job cannot be recorded yet")
            recorder.orders.wait(RETRY_SECONDS)
