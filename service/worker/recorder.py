"""From the training's callbacks to the database: history and progress while it runs, the result at its end."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import structlog
from sqlalchemy.orm import Session

from service.db import Database, after_commit
from service.doorbell import JOB_CHANGED, JOB_QUEUED, Doorbell
from service.exceptions import DatabaseBusy, LeaseLost, TrainingFailed
from service.jobs import attempts
from service.jobs.attempts import Ended, JobRef, Progress
from service.jobs.lifecycle import Status
from service.jobs.repository import NewEpochs
from service.spec.plan import Plan
from service.training.callbacks import Callback, Pulse, Stop
from service.training.trainer import Fit
from service.worker.outcome import failed, outcome

__all__ = ["Recorder"]

logger = structlog.get_logger(__name__)

REPORT_SECONDS = 0.2
"""Least time between two reports: with pulses of 25 ms, between four and five transactions a second."""

RETRY_SECONDS = 1.0
"""Time between two tries to record the end of a job while the database is busy."""


class Recorder(Callback):
    """Keeps the record of one attempt. Every write is fenced; a lost lease ends the training with `LeaseLost`."""

    def __init__(self, ref: JobRef, *, database: Database, doorbell: Doorbell, pipe: Connection) -> None:
        self.database = database
        self._ref = ref
        self._doorbell = doorbell
        self._pipe = pipe
        self._device = ""
        self._environment: dict[str, Any] = {}
        self._recorded = 0
        self._fraction: float | None = None
        self._columns: dict[str, list[float]] = {"train_loss": []}
        self._reported = time.monotonic()
        self._draining = False

    def begin(self, *, device: str, environment: dict[str, Any]) -> None:
        """Note where the attempt runs, and what an earlier one has recorded already.

        Raises:
            LeaseLost: The job belongs to another attempt by now.
        """
        self._device, self._environment = device, environment
        if self._ref.attempt > 1:
            with self.database.write() as session:
                recorded = attempts.resume(session, self._ref, environment)
            if recorded is None:
                raise LeaseLost
            self._recorded = recorded

    def on_pulse(self, pulse: Pulse) -> None:
        """Keep what is new, tell it when it is time to, and hear whether to stop."""
        self._keep(pulse)
        if self._pipe.poll():
            self._pipe.recv()  # A busy runner is told one thing only: to give its job back. Raises at end of file.
            self._draining = True
            raise Stop
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._report()

    def _keep(self, pulse: Pulse) -> None:
        known = max(0, self._next_epoch - pulse.first_epoch)
        for name, series in pulse.columns.items():
            self._columns.setdefault(name, []).extend(series[known:])
        if pulse.first_epoch + len(pulse.train_loss) > self._recorded:
            self._fraction = pulse.fraction

    @property
    def _next_epoch(self) -> int:
        return self._recorded + len(self._columns["train_loss"]) + 1

    def _progress(self) -> Progress:
        return Progress(
            fraction=self._fraction,
            epochs=NewEpochs(first=self._recorded + 1, columns=self._columns),
            device=self._device,
            environment=self._environment,
        )

    def _told(self) -> None:
        """Forget what is recorded now: only after the commit, so that a refused write loses nothing."""
        self._recorded += len(self._columns["train_loss"])
        self._columns = {name: [] for name in self._columns}

    def _report(self) -> None:
        self._reported = time.monotonic()
        try:
            with self.database.write() as session:
                status = attempts.report(session, self._ref, self._progress())
                self._ring_after(session)
        except DatabaseBusy as error:
            # Somebody holds the database, or the disk is full. The training goes on and tells more next time.
            logger.warning("report put off", reason=error.message)
            return
        self._told()
        self._reported = time.monotonic()
        if status is None:
            raise LeaseLost
        if status == Status.CANCELLING:
            raise Stop

    def finish(self, plan: Plan, fit: Fit) -> None:
        """Record how the training ended.

        Raises:
            LeaseLost: The job belongs to another attempt by now; nothing is recorded.
        """
        if fit.stop_reason == "stopped" and self._draining:
            self._release()
        else:
            self._finish(outcome(plan, fit))

    def fail(self, error: TrainingFailed) -> None:
        """Record that the job failed, and why; a lost lease is no matter here."""
        try:
            self._finish(failed(error))
        except LeaseLost:
            logger.warning("lease lost, the failure is not recorded", code=error.code)

    def _finish(self, ended: Ended) -> None:
        recorded = self._patiently(
            lambda session: attempts.finish(session, self._ref, self._progress(), ended)
        )
        if not recorded:
            raise LeaseLost
        logger.info("training ended", status=ended.status, stop_reason=ended.stop_reason)

    def _release(self) -> None:
        self._patiently(lambda session: attempts.release(session, self._ref))
        self._doorbell.ring(JOB_QUEUED)
        logger.info("job given back to the queue")

    def _patiently(self, write: Callable[[Session], bool]) -> bool:
        """Do the last write of an attempt, however long the database is busy: until then the result is only here.

        A worker that stops meanwhile kills this process, and another attempt repeats the job.
        """
        while True:
            try:
                with self.database.write() as session:
                    done = write(session)
                    self._ring_after(session)
            except DatabaseBusy as error:
                logger.warning("the end of the job cannot be recorded yet", reason=error.message)
                if self._pipe.poll(RETRY_SECONDS):
                    self._pipe.recv()  # At end of file this raises, and with the worker gone the attempt ends.
            else:
                return done

    def _ring_after(self, session: Session) -> None:
        after_commit(session, lambda: self._doorbell.ring(JOB_CHANGED, self._ref.id))
