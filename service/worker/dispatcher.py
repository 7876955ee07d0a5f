"""The dispatcher: claims jobs for free slots, keeps their leases, and takes over from workers that died."""

import contextlib
import secrets
import signal
import socket
import time
from collections.abc import Iterable
from multiprocessing.connection import wait

import structlog
from sqlalchemy.exc import OperationalError

from service.db import Database
from service.doorbell import JOB_CHANGED, JOB_QUEUED, Doorbell, Listener
from service.exceptions import DatabaseBusy
from service.jobs import attempts, repository
from service.jobs.attempts import JobRef
from service.settings import Settings
from service.worker import entry
from service.worker.executor import Executor, Exit, ExitKind
from service.worker.leases import LeaseWatch
from service.worker.local import LocalExecutor
from service.worker.messages import RunnerConfig
from service.worker.presence import Presence

__all__ = ["Dispatcher", "run_worker"]

logger = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
"""Time between two heartbeats; a lease outlives several of them."""
DRAIN_SECONDS = 0.6
"""Time that a stopping worker gives its runners to give their jobs back: within the second of a Ctrl-C."""


class Dispatcher:
    """The loop of one worker."""

    def __init__(
        self, settings: Settings, *, database: Database, executor: Executor, listener: Listener
    ) -> None:
        self.worker_id = f"worker_{secrets.token_hex(8)}"
        self._settings = settings
        self._database = database
        self._executor = executor
        self._listener = listener
        self._doorbell = Doorbell(settings.doorbell_dir)
        self._watch = LeaseWatch(lease_seconds=settings.lease_seconds)
        self._presence = Presence(settings.data_dir / "workers", self.worker_id)
        self._beat_due = 0.0
        self._cancelling: dict[JobRef, float] = {}
        self._unsettled: list[JobRef] = []

    def run(self, stop: socket.socket) -> None:
        """Work until `stop` becomes readable, then give all jobs back.

        Args:
            stop: The receiving end of a signal's wake-up pair.
        """
        logger.info("worker started", worker_id=self.worker_id, slots=self._settings.slots)
        ready: Iterable[object] = ()
        while stop not in ready:
            try:
                self._turn(rung=bool(self._listener.messages()))
            except (DatabaseBusy, OperationalError) as error:
                # A full disk or a locked database passes; a worker that died of it would take its jobs along.
                logger.warning(
                    "the database is out of reach, trying again", reason=str(error).partition("\n")[0]
                )
            waitables = [stop, self._listener, *self._executor.waitables()]
            ready = wait(waitables, timeout=self._settings.poll_seconds)
        self._drain()

    def _turn(self, *, rung: bool) -> None:
        """Do whatever is due; each part is one short transaction at most."""
        self._settle(self._executor.poll())
        if time.monotonic() >= self._beat_due:
            self._beat()
            self._take_over()
        self._enforce_cancels()
        self._claim(rung=rung)

    def _claim(self, *, rung: bool) -> None:
        free = self._executor.free().slots
        # Without a ring, look before taking the write gate: an idle worker must not queue with the writers.
        if free == 0 or not (rung or self._has_queued()):
            return
        with self._database.write() as session:
            claimed = attempts.claim(session, worker_id=self.worker_id, limit=free)
        for ref in claimed:
            self._executor.start(ref)
            self._doorbell.ring(JOB_CHANGED, ref.id)

    def _has_queued(self) -> bool:
        with self._database.read() as session:
            return repository.anything_queued(session)

    def _settle(self, exits: list[Exit]) -> None:
        for one in exits:
            self._cancelling.pop(one.ref, None)
            if one.kind is ExitKind.CRASHED:
                self._unsettled.append(one.ref)
        while self._unsettled:
            self._crashed(self._unsettled[-1])
            self._unsettled.pop()  # Only after its commit: while the database is busy, it stays to be told.

    def _crashed(self, ref: JobRef) -> None:
        with self._database.write() as session:
            status = attempts.crashed(session, ref, max_crashes=self._settings.max_crashes)
        if status is not None:
            logger.warning("attempt crashed", job_id=ref.id, attempt=ref.attempt, status=status)
            self._doorbell.ring(JOB_CHANGED, ref.id)

    def _beat(self) -> None:
        about = self._executor.about()
        with self._database.write() as session:
            known = attempts.beat(session, self.worker_id, warm=self._executor.warm(), about=about)
            if (
                not known
            ):  # Another worker took this one for dead; its jobs are fenced off, it may go on with new ones.
                attempts.register_worker(session, self.worker_id, slots=self._settings.slots)
        self._beat_due = time.monotonic() + BEAT_SECONDS

    def _take_over(self) -> None:
        """Requeue the jobs of workers whose heartbeat stands still."""
        with self._database.read() as session:
            known = attempts.beats(session)
        dead = self._watch.dead(known) | (self._presence.abandoned() & known.keys())
        self._adopt_orphans()
        for worker_id in dead - {self.worker_id}:
            logger.warning("worker is dead, its jobs are taken over", worker_id=worker_id)
            self._bury(worker_id)

    def _adopt_orphans(self) -> None:
        """Give back the jobs of workers that are in no list: buried between a claim and their own death."""
        with self._database.read() as session:
            orphans = attempts.orphans(session)
        for ref in orphans:
            self._crashed(ref)

    def _bury(self, worker_id: str) -> None:
        """Take a dead worker out of the list and give its jobs to others."""
        with self._database.write() as session:
            held = attempts.held_by(session, [worker_id])
            for ref in held:
                attempts.crashed(session, ref, max_crashes=self._settings.max_crashes)
            attempts.forget_worker(session, worker_id)
        for ref in held:
            self._doorbell.ring(JOB_CHANGED, ref.id)

    def _enforce_cancels(self) -> None:
        """Kill what was asked to stop and has not after the time it was given."""
        if not self._executor.running():
            return
        with self._database.read() as session:
            asked = attempts.cancelling(session, self.worker_id)
        for ref in asked:
            since = self._cancelling.setdefault(ref, time.monotonic())
            if time.monotonic() - since > self._settings.cancel_seconds:
                logger.warning("training did not stop, killing it", job_id=ref.id)
                self._executor.kill(ref)

    def _drain(self) -> None:
        """Give all jobs back. One that had to be killed for it is not counted as crashed."""
        exits = self._executor.close(DRAIN_SECONDS)
        with contextlib.suppress(DatabaseBusy), self._database.write() as session:
            for one in exits:
                attempts.release(session, one.ref)
            attempts.forget_worker(session, self.worker_id)
        self._presence.close()
        logger.info("worker stopped", worker_id=self.worker_id)


def run_worker(settings: Settings) -> None:
    """Run a worker in this process until SIGTERM or SIGINT."""
    stop, wake = socket.socketpair()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wake.send(b"x", socket.MSG_DONTWAIT))
    database = Database(settings.effective_database_url)
    config = RunnerConfig(
        database_url=settings.effective_database_url,
        doorbell_dir=settings.doorbell_dir,
        datasets_dir=settings.datasets_dir,
        threads=settings.threads,
        log_format=settings.log_format,
        log_level=settings.log_level,
    )
    with Listener(settings.doorbell_dir, JOB_QUEUED) as listener:
        executor = LocalExecutor(slots=settings.slots, target=entry.main, arguments=(config,))
        Dispatcher(settings, database=database, executor=executor, listener=listener).run(stop)
