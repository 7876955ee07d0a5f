"""Claims batch predictions beside a worker, and sees that each comes to an end."""

import threading
import time

import structlog
from sqlalchemy.exc import OperationalError

from service import failpoints
from service.beside import Beside
from service.db import Database
from service.doorbell import JOB_CHANGED, JOB_QUEUED, UNDER_WAY, Doorbell
from service.exceptions import ServiceError
from service.jobs import causes
from service.jobs.causes import Cause
from service.predictions import attempts, repository
from service.predictions.attempts import PredictionRef
from service.predictions.lifecycle import TERMINAL, PredictionStatus
from service.storage.predictions import PredictionStore
from service.worker.predicting.child import Child
from service.worker.predicting.orders import PredictorConfig

__all__ = ["Predicting"]

logger = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
"""Time after which it looks although nobody has nudged."""
LOOK_SECONDS = 0.25
"""Time between two looks at whether the present prediction has ended, or this worker is to stop."""
IDLE_SECONDS = 60.0
"""Time without a prediction after which the process goes: loading torch takes seconds, and a process 250 MB."""
LEAVE_SECONDS = 2.0
"""Time that a stop waits for the present prediction to be given back."""


class Predicting(Beside):
    """A thread that predicts, one dataset at a time, in a process of its own: neither trainings nor claims wait for it.

    Whatever goes wrong in it is logged and ends nothing else.
    """

    def __init__(
        self,
        config: PredictorConfig,
        *,
        worker_id: str,
        database: Database,
        doorbell: Doorbell,
        max_crashes: int,
        cancel_seconds: float,
    ) -> None:
        """Make ready.

        Args:
            config: Of the process.
            worker_id: Who holds the leases: the heartbeat of this worker keeps them alive.
            database: Of the service.
            doorbell: Rings what is new.
            max_crashes: Deaths of its process after which a prediction has failed.
            cancel_seconds: Time after a cancel in which it is to stop by itself.
        """
        super().__init__("predictions")
        self._config = config
        self.worker_id = worker_id
        self._database = database
        self._doorbell = doorbell
        self._max_crashes = max_crashes
        self._cancel_seconds = cancel_seconds
        self._results = PredictionStore(config.predictions_dir, min_free_bytes=config.min_free_bytes)
        self._nudged = threading.Event()
        self._child: Child | None = None
        self._busy_until = 0.0
        self._look_due = 0.0

    def nudge(self) -> None:
        """Let it look soon: there may be something to predict."""
        self._nudged.set()

    def wake(self) -> None:
        """Let it look whether it is to stop."""
        self.nudge()

    def give_back(self) -> None:
        """Stop claiming, and give the present prediction back; returns when it is given back, or soon after."""
        self._stop.set()
        self.wake()
        self._thread.join(LEAVE_SECONDS)

    def work(self) -> None:
        """Look again and again."""
        while not self._stop.is_set():
            self._nudged.clear()  # Before the look: what comes during it is looked at again.
            if not self._guarded():
                self._nudged.wait(EVERY_SECONDS)
        self._end_child()

    def _guarded(self) -> bool:
        """Look, and tell whether there was something to do."""
        try:
            return self._turn()
        except (ServiceError, OperationalError) as error:
            logger.warning("predictions put off", reason=str(error).partition("\n")[0])
        except Exception:
            logger.exception("predictions cannot go on")
        return False

    def _turn(self) -> bool:
        if time.monotonic() >= self._look_due:  # Not at every ring of a busy queue.
            self._look_due = time.monotonic() + EVERY_SECONDS
            self._tidy(present=None)
        with self._database.read() as session:
            is_waiting = repository.next_queued(session) is not None
        # Looked at without the write gate: an idle worker must not queue with the writers.
        ref = self._claim() if is_waiting else None
        if ref is not None:
            self._predict(ref)
            return True
        if self._child is not None and time.monotonic() > self._busy_until:
            self._end_child()
        return False

    def _claim(self) -> PredictionRef | None:
        with self._database.write() as session:
            ref = attempts.claim(session, worker_id=self.worker_id)
        if ref is not None:
            failpoints.hit("prediction_claimed")
            self._doorbell.ring(JOB_CHANGED, ref.id + UNDER_WAY)
        return ref

    def _predict(self, ref: PredictionRef) -> None:
        """Have the process predict, and see to its end. What is not recorded when this fails is found by `_tidy`."""
        logger.info("prediction starts", prediction_id=ref.id, attempt=ref.attempt)
        child = self._living_child()
        child.order(ref)
        is_done, asked = None, 0.0
        while is_done is None:
            is_done = child.is_done(LOOK_SECONDS)
            if self._stop.is_set() and is_done is None:
                return self._let_go(ref)
            asked = self._asked(ref, asked)
            if is_done is None and asked and time.monotonic() > asked + self._cancel_seconds:
                logger.warning("prediction did not stop, its process is killed", prediction_id=ref.id)
                return self._let_go(ref)
        self._busy_until = time.monotonic() + IDLE_SECONDS
        if is_done:
            return None
        if self._stop.is_set():  # What ends this worker may have ended its process too: nothing is to blame.
            return self._let_go(ref)
        self._end_child()
        return self._crashed(ref, causes.runner_died(child.how_it_died))

    def _living_child(self) -> Child:
        if self._child is not None and not self._child.is_alive:
            self._end_child()  # It died while it had nothing to do: no prediction is to blame.
        self._child = self._child or Child(self._config)
        return self._child

    def _asked(self, ref: PredictionRef, asked: float) -> float:
        """Look now and then whether the prediction is to stop; gives since when, on the monotonic clock, or 0."""
        if time.monotonic() < self._look_due:
            return asked
        self._look_due = time.monotonic() + EVERY_SECONDS
        try:
            is_asked = self._tidy(present=ref)
        except (ServiceError, OperationalError) as error:
            logger.warning("predictions are not looked at", reason=str(error).partition("\n")[0])
            return asked
        return (asked or time.monotonic()) if is_asked else 0.0

    def _let_go(self, ref: PredictionRef) -> None:
        """End the process, and give its prediction back: to the queue, or to where it was asked to go."""
        self._end_child()
        self._give_back(ref)

    def _give_back(self, ref: PredictionRef) -> None:
        with self._database.write() as session:
            status = attempts.let_go(session, ref)
        self._told(ref, status)

    def _crashed(self, ref: PredictionRef, cause: Cause) -> None:
        with self._database.write() as session:
            status = attempts.crashed(session, ref, max_crashes=self._max_crashes, cause=cause)
        self._told(ref, status)

    def _told(self, ref: PredictionRef, status: PredictionStatus | None) -> None:
        if status is not None:
            logger.warning("prediction given back", prediction_id=ref.id, attempt=ref.attempt, status=status)
            if status in TERMINAL:
                self._results.remove_folder(ref.id)  # The half of a file that its process left.
            self._doorbell.ring(JOB_CHANGED, ref.id)
            self._doorbell.ring(JOB_QUEUED)

    def _tidy(self, *, present: PredictionRef | None) -> bool:
        """Take over from workers that are gone, and from this one what it does not know of.

        Returns:
            Whether the present prediction was asked to stop.
        """
        with self._database.read() as session:
            held, orphans = repository.held_by(session, self.worker_id), repository.orphans(session)
        for prediction_id, attempt in orphans:
            self._crashed(PredictionRef(prediction_id, attempt), causes.WORKER_DIED)
        for prediction_id, attempt, _ in held:
            ref = PredictionRef(prediction_id, attempt)
            if ref != present:  # A claim whose answer was lost, or an end that could not be recorded.
                self._give_back(ref)
        return any(
            present == PredictionRef(prediction_id, attempt) and status == PredictionStatus.CANCELLING
            for prediction_id, attempt, status in held
        )

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
