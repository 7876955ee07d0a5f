"""The dispatcher: claims jobs for free slots, keeps their leases, and takes over from workers that died."""

import contextlib
import math
import secrets
import signal
import socket
import time
from collections.abc import Iterable
from multiprocessing.connection import wait

import structlog
from sqlalchemy.orm import Session

from service import failpoints
from service.db import Database
from service.doorbell import JOB_CHANGED, JOB_QUEUED, UNDER_WAY, Doorbell, Listener, doorbell, listen
from service.exceptions import DatabaseBusy
from service.jobs import attempts, causes, queue, workers
from service.jobs.attempts import Claim, JobRef
from service.jobs.causes import Cause
from service.jobs.lifecycle import Status
from service.retention.keeper import Keeper
from service.settings import Settings
from service.sweeps.advancing import Advancer
from service.trackers.keeper import Tracking
from service.worker import entry
from service.worker.executor import Assignment, Executor, Exit, ExitKind
from service.worker.leases import LeaseWatch
from service.worker.local import LocalExecutor
from service.worker.messages import RunnerConfig
from service.worker.predicting.orders import PredictorConfig
from service.worker.predicting.thread import Predicting
from service.worker.presence import Presence
from service.worker.sweeping import Sweeping
from service.worker.turns import Turns

__all__ = ["Dispatcher", "run_worker"]

logger = structlog.get_logger(__name__)

BEAT_SECONDS = 2.0
"""Time between two heartbeats; a lease outlives several of them."""
LOOK_SECONDS = 0.25
"""Time between two looks at what the present jobs were asked to do, and at who waits: not at every ring of a busy queue."""


class Dispatcher:
    """The loop of one worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        executor: Executor,
        listener: Listener,
        doorbell: Doorbell,
        sweeping: Sweeping,
        predicting: Predicting,
    ) -> None:
        self.worker_id = predicting.worker_id
        self._settings = settings
        self._database = database
        self._executor = executor
        self._listener = listener
        self._doorbell = doorbell
        self._sweeping = sweeping
        self._predicting = predicting
        self._watch = LeaseWatch(lease_seconds=settings.lease_seconds)
        self._presence = Presence(settings.workers_dir, self.worker_id)
        self._turns = Turns(seconds=settings.fair_seconds)
        self._beat_due = 0.0
        self._look_due = 0.0
        self._asked: dict[JobRef, float] = {}
        """When each job that is to stop or to pause was first seen so, on the monotonic clock."""
        self._deadlines: dict[JobRef, float] = {}
        """When each job that has a limit of time is ended by force, on the monotonic clock."""
        self._unsettled: list[Exit] = []

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
            except DatabaseBusy as error:
                # A full disk or a locked database passes; a worker that died of it would take its jobs along.
                logger.warning("the worker tries again", reason=error.message)
            waitables = [stop, self._listener, *self._executor.waitables()]
            # Whoever looks for jobs but seldom has to beat all the same.
            ready = wait(waitables, timeout=min(self._settings.poll_seconds, BEAT_SECONDS))
        self._drain()

    def _turn(self, *, rung: bool) -> None:
        """Do whatever is due; each part is one short transaction at most."""
        exits = self._executor.poll()
        self._settle(exits)
        if exits or rung:
            self._sweeping.nudge()
            self._predicting.nudge()
        if time.monotonic() >= self._beat_due:
            self._beat()
            self._give_back_strays()
            self._take_over()
        if time.monotonic() >= self._look_due and self._executor.running():
            self._enforce()
            self._let_others_have_a_turn()
            self._look_due = time.monotonic() + LOOK_SECONDS
        self._claim(rung=rung)

    def _claim(self, *, rung: bool) -> None:
        free = self._executor.free().slots
        # Without a ring, look before taking the write gate: an idle worker must not queue with the writers.
        if free == 0 or not (rung or self._has_queued()):
            return
        # A power cut that undoes a claim ends all that could know of it: the job waits again, and nothing is lost.
        with self._database.write(hasty=True) as session:
            claimed = attempts.claim(session, worker_id=self.worker_id, slots=free)
        failpoints.hit("claimed")
        for bundle in claimed:
            self._start(bundle)

    def _start(self, bundle: list[Claim]) -> None:
        # The runner stops a job by itself when its time is over; this is for one that cannot. It need not train all
        # at the same moment.
        left = math.fsum(math.inf if one.seconds_left is None else one.seconds_left for one in bundle)
        deadline = time.monotonic() + left + self._settings.cancel_seconds
        for claim in bundle:
            self._deadlines[claim.ref] = deadline
            self._turns.begin(claim.ref, priority=claim.priority)
        start = bundle[0].start if len(bundle) == 1 else None
        self._executor.start(Assignment(tuple(claim.ref for claim in bundle), start))
        self._doorbell.ring(JOB_CHANGED, *(claim.ref.id + UNDER_WAY for claim in bundle))

    def _has_queued(self) -> bool:
        with self._database.read() as session:
            return queue.anything_queued(session)

    def _settle(self, exits: list[Exit]) -> None:
        for one in exits:
            if one.kind is ExitKind.CRASHED:
                self._unsettled.append(one)
            else:
                self._forget(one.ref)
        while self._unsettled:
            self._died(self._unsettled[-1])
            self._unsettled.pop()  # Only after its commit: while the database is busy, it stays to be told.

    def _died(self, one: Exit) -> None:
        """Record that the process of an attempt is gone: ended by this worker, or by itself."""
        overdue = time.monotonic() > self._deadlines.get(one.ref, math.inf)
        with self._database.write() as session:
            if overdue:
                status = attempts.overdue(session, one.ref)
            elif self._is_out_of_patience(one.ref):
                status = attempts.let_go(session, one.ref, cause=causes.KILLED)
            elif not one.alone:
                # Nobody knows whose fault it was: tried again alone, as every second attempt is, each tells for itself.
                status = attempts.let_go(session, one.ref, cause=causes.died_beside(one.detail))
            else:
                status = self._crashed(session, one.ref, causes.runner_died(one.detail))
        self._forget(one.ref)
        if status is not None:
            logger.warning("attempt died", job_id=one.ref.id, attempt=one.ref.attempt, status=status)
            self._doorbell.ring(JOB_CHANGED, one.ref.id)

    def _crashed(self, session: Session, ref: JobRef, cause: Cause) -> Status | None:
        return attempts.crashed(session, ref, max_crashes=self._settings.max_crashes, cause=cause)

    def _forget(self, ref: JobRef) -> None:
        self._asked.pop(ref, None)
        self._deadlines.pop(ref, None)
        self._turns.end(ref)

    def _beat(self) -> None:
        about = self._executor.about()
        with self._database.write() as session:
            known = workers.beat(session, self.worker_id, warm=self._executor.warm(), about=about)
            if (
                not known
            ):  # Another worker took this one for dead; its jobs are fenced off, it may go on with new ones.
                workers.register(session, self.worker_id, slots=self._settings.slots)
        self._beat_due = time.monotonic() + BEAT_SECONDS

    def _give_back_strays(self) -> None:
        """Give back what this worker holds and does not train: a claim whose answer was lost on its way here."""
        with self._database.read() as session:
            held = workers.held_by(session, [self.worker_id])
        known = self._executor.running() | {one.ref for one in self._unsettled}
        for ref in set(held) - known:
            logger.warning("a claim went astray, it is given back", job_id=ref.id, attempt=ref.attempt)
            with self._database.write() as session:
                attempts.let_go(session, ref, cause=causes.CLAIM_LOST)
            self._doorbell.ring(JOB_QUEUED)

    def _take_over(self) -> None:
        """Requeue the jobs of workers that are gone: at once where that is sure, else when they are silent for long."""
        with self._database.read() as session:
            known = workers.beats(session)
        gone = self._presence.abandoned() & known.keys()
        self._adopt_orphans()
        for worker_id in gone:
            self._bury(worker_id, causes.WORKER_DIED)
        for worker_id in self._watch.dead(known) - gone - {self.worker_id}:
            self._bury(worker_id, causes.WORKER_SILENT)

    def _adopt_orphans(self) -> None:
        """Give back the jobs of workers that are in no list: buried between a claim and their own death."""
        with self._database.read() as session:
            orphans = workers.orphans(session)
        for ref in orphans:
            with self._database.write() as session:
                self._crashed(session, ref, causes.WORKER_DIED)
            self._doorbell.ring(JOB_CHANGED, ref.id)

    def _bury(self, worker_id: str, cause: Cause) -> None:
        """Take a dead worker out of the list and give its jobs to others."""
        logger.warning("worker is dead, its jobs are taken over", worker_id=worker_id, reason=cause["code"])
        with self._database.write() as session:
            held = workers.held_by(session, [worker_id])
            for ref in held:
                self._crashed(session, ref, cause)
            workers.forget(session, worker_id)
        for ref in held:
            self._doorbell.ring(JOB_CHANGED, ref.id)

    def _enforce(self) -> None:
        """Kill what was asked to stop, or has no time left, and has not stopped in the time it was given."""
        with self._database.read() as session:
            asked = workers.asked_to_stop(session, self.worker_id)
        now = time.monotonic()
        # Asked, called off and asked again: each time counts anew.
        self._asked = {ref: self._asked.get(ref, now) for ref in asked}
        for ref in self._executor.running():
            if self._is_out_of_patience(ref) or now > self._deadlines.get(ref, math.inf):
                logger.warning("training did not stop, killing it", job_id=ref.id)
                self._executor.kill(ref)

    def _let_others_have_a_turn(self) -> None:
        """Ask the job that has trained longest to give its place up, where another has waited for too long."""
        if not self._turns.is_watching or self._executor.free().slots:
            return
        with self._database.read() as session:
            first = next(iter(queue.next_queued(session, 1)), None)
        ref = self._turns.who_gives_way(first)
        if ref is not None:
            logger.info("a training gives its place up, others wait", job_id=ref.id, attempt=ref.attempt)
            self._turns.end(ref)
            self._executor.give_way(ref)

    def _is_out_of_patience(self, ref: JobRef) -> bool:
        since = self._asked.get(ref)
        return since is not None and time.monotonic() - since > self._settings.cancel_seconds

    def _drain(self) -> None:
        """Give all jobs back. One that had to be killed for it is not counted as crashed."""
        self._predicting.give_back()
        exits = self._executor.close(self._settings.drain_seconds)
        with contextlib.suppress(DatabaseBusy), self._database.write() as session:
            for one in exits:
                attempts.let_go(session, one.ref, cause=causes.WORKER_STOPPED)
            workers.forget(session, self.worker_id)
        self._presence.close()
        logger.info("worker stopped", worker_id=self.worker_id)


def run_worker(settings: Settings) -> None:
    """Run a worker in this process until SIGTERM or SIGINT. `nursery.load` comes first: this module alone takes a second."""
    failpoints.arm(settings.failpoints_dir)
    stop, wake = socket.socketpair()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wake.send(b"x", socket.MSG_DONTWAIT))
    database = Database(settings.effective_database_url)
    config = RunnerConfig(
        database_url=settings.effective_database_url,
        doorbell_dir=settings.doorbell_dir,
        datasets_dir=settings.datasets_dir,
        checkpoints_dir=settings.checkpoints_dir,
        failpoints_dir=settings.failpoints_dir,
        checkpoint_seconds=settings.checkpoint_seconds,
        min_free_bytes=settings.min_free_bytes,
        memory_bytes=settings.limits.max_training_bytes,
        recycle_jobs=settings.runner_jobs,
        recycle_bytes=settings.runner_idle_bytes,
        threads=settings.threads,
        log_format=settings.log_format,
        log_level=settings.log_level,
    )
    bell = doorbell(database, settings.doorbell_dir)
    with (
        contextlib.closing(bell),
        listen(database, settings.doorbell_dir, JOB_QUEUED) as listener,
        Keeper(settings, database),
        Sweeping(Advancer(database, limits=settings.limits, doorbell=bell)) as sweeping,
        _predicting(settings, database, bell) as predicting,
        LocalExecutor(slots=settings.slots, target=entry.main, arguments=(config,)) as executor,
    ):
        dispatcher = Dispatcher(
            settings,
            database=database,
            executor=executor,
            listener=listener,
            doorbell=bell,
            sweeping=sweeping,
            predicting=predicting,
        )
        with Tracking(settings, database, worker_id=dispatcher.worker_id):
            dispatcher.run(stop)


def _predicting(settings: Settings, database: Database, bell: Doorbell) -> Predicting:
    config = PredictorConfig(
        database_url=settings.effective_database_url,
        doorbell_dir=settings.doorbell_dir,
        datasets_dir=settings.datasets_dir,
        predictions_dir=settings.predictions_dir,
        failpoints_dir=settings.failpoints_dir,
        min_free_bytes=settings.min_free_bytes,
        memory_bytes=settings.limits.max_training_bytes,
        log_format=settings.log_format,
        log_level=settings.log_level,
    )
    return Predicting(
        config,
        worker_id=f"worker_{secrets.token_hex(8)}",
        database=database,
        doorbell=bell,
        max_crashes=settings.max_crashes,
        cancel_seconds=settings.cancel_seconds,
    )
