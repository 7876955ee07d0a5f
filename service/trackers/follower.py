"""Follows the database and tells a tracker what is new, at whatever pace the tracker takes it."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy.orm import Session

from service import failpoints
from service.db import Database, now
from service.exceptions import ServiceError
from service.trackers import repository
from service.trackers.orm import TrackerCursor
from service.trackers.sink import Sink, SinkAway, SinkRefused
from service.trackers.telling import UNTOLD, Move, NotOurs, Telling

__all__ = ["Follower"]

logger = structlog.get_logger(__name__)

AT_ONCE = 50
"""Jobs that are told before their cursors are moved."""
ADOPTED_AT_ONCE = 500
FIRST_RETRY_SECONDS = 1.0
"""Time to the second try; each further one comes after twice the time."""
TIDY_SECONDS = 3600.0
"""Time between two looks for cursors of jobs that were removed."""


class Follower:
    """Tells one tracker what is new."""

    def __init__(
        self, sink: Sink, database: Database, *, holder: str, every_seconds: float, retry_seconds: float
    ) -> None:
        """Begin without trust in any cursor.

        Args:
            sink: The tracker.
            database: Of the service.
            holder: The worker that serves the tracker.
            every_seconds: Time between two looks.
            retry_seconds: Longest time between two tries while the tracker is away.
        """
        self._name = sink.name
        self._sink = sink
        self._telling = Telling(sink, database, holder=holder)
        self._database = database
        self._holder = holder
        self._every_seconds = every_seconds
        self._retry_seconds = retry_seconds
        self._failures = 0
        self._lost = False
        self._tidy_due = 0.0
        self._broken: set[str] = set()
        """Subjects at which this process has failed, and nobody knows why: not to hold up the others."""

    def run(self, stop: threading.Event) -> None:
        """Tell what is new again and again, while the tracker is this worker's."""
        pause = 0.0
        while not stop.wait(pause):
            try:
                pause = self._tried()
            except NotOurs:
                pause = self._given_up()

    def _tried(self) -> float:
        """Take a turn; give the time until the next one."""
        try:
            more = self.turn()
        except SinkAway as error:
            return self._put_off(str(error))
        except ServiceError as error:
            logger.warning("telling put off", tracker=self._name, reason=error.message)
            return self._every_seconds
        self._lost = False
        return 0.0 if more else self._every_seconds

    def _given_up(self) -> float:
        """Trust in nothing any more: another worker tells the tracker. Give the time until that is asked again."""
        if not self._lost:
            logger.info("another worker serves the tracker", tracker=self._name)
        self._lost, self._failures = True, 0
        self._telling = Telling(self._sink, self._database, holder=self._holder)
        return self._every_seconds

    def turn(self) -> bool:
        """Tell what is new, up to a bound; tell whether there is more.

        Raises:
            SinkAway: The tracker cannot be told; what it was told until then is noted.
            NotOurs: Another worker serves it by now.
        """
        adopted = self._adopt()
        moves: dict[str, Move] = {}
        try:
            more = self._tell(moves)
        except SinkAway:
            self._note(moves)
            raise
        self._note(moves, healthy=True)
        return adopted or more

    def _adopt(self) -> bool:
        """Give new jobs their cursors before the tracker hears of any of them; tell whether there are more.

        It asks first whose the tracker is: where no job is new, nothing is written before the tracker is told.
        """
        with self._database.read() as session:
            if repository.holder_of(session, self._name) != self._holder:
                raise NotOurs
            found = repository.strangers(session, self._name, limit=ADOPTED_AT_ONCE)
        if found:
            with self._database.write() as session:
                if not repository.adopt(session, self._name, found, holder=self._holder):
                    raise NotOurs
            self._telling.adopted(job.id for job in found)
        return len(found) == ADOPTED_AT_ONCE

    def _tell(self, moves: dict[str, Move]) -> bool:
        """Tell of all that is due, job by job; tell whether there is more."""
        with self._database.read() as session:
            due = repository.due_jobs(session, self._name, limit=AT_ONCE, without=self._broken)
        self._tell_each(due, self._telling.job, moves)
        with self._database.read() as session:  # Afterwards: with its jobs, a sweep may have got its cursor.
            ended = repository.due_sweeps(session, self._name, limit=AT_ONCE, without=self._broken)
            gone = repository.gone(session, self._name, limit=AT_ONCE, without=self._broken)
        self._tell_each(ended, self._telling.sweep, moves)
        self._tell_each(gone, self._telling.gone, moves)
        return len(due) == AT_ONCE or any(move.get("version") == UNTOLD for move in moves.values())

    def _tell_each(
        self,
        cursors: Sequence[TrackerCursor],
        tell: Callable[[TrackerCursor], Move],
        moves: dict[str, Move],
    ) -> None:
        for cursor in cursors:
            try:
                move = tell(cursor)
            except SinkRefused as error:
                about = {"tracker": self._name, "id": cursor.subject, "run": cursor.run}
                logger.warning("a tracker refuses a run, it is told no more", **about, reason=str(error))
                moves[cursor.subject] = {"ended": True}
            except (SinkAway, ServiceError, NotOurs):
                raise
            except Exception:
                logger.exception("a job cannot be told", tracker=self._name, id=cursor.subject)
                self._broken.add(cursor.subject)
            else:
                moves |= {cursor.subject: move} if move else {}

    def _note(self, moves: dict[str, Move], *, healthy: bool = False) -> None:
        """Move the cursors, now that the tracker was told."""
        failpoints.hit("tracker_told")
        recovered = healthy and self._failures > 0
        if moves or recovered or self._is_untidy:
            with self._database.write() as session:
                self._write(session, moves, healthy=healthy)
            for subject, move in moves.items():
                self._telling.noted(subject, move)
        if recovered:
            logger.info("tracker is back", tracker=self._name)
        self._failures = 0 if healthy else self._failures

    @property
    def _is_untidy(self) -> bool:
        return time.monotonic() >= self._tidy_due

    def _write(self, session: Session, moves: dict[str, Move], *, healthy: bool) -> None:
        well = {"failing_since": None, "error": None} if healthy else {}
        sent = {"sent_at": now()} if moves else {}
        if not repository.touch(session, self._name, holder=self._holder, **well, **sent):
            raise NotOurs
        repository.move(session, self._name, moves)
        if self._is_untidy:
            repository.drop_orphans(session, self._name)
            self._tidy_due = time.monotonic() + TIDY_SECONDS

    def _put_off(self, reason: str) -> float:
        """Note that the tracker is away; give the time until it is tried again."""
        if self._failures == 0:
            logger.warning("tracker away, jobs are told later", tracker=self._name, reason=reason)
        self._failures += 1
        try:
            with self._database.write() as session:
                ours = repository.failed(session, self._name, holder=self._holder, error=reason)
        except ServiceError:  # Only a note for people.
            ours = True
        if not ours:
            raise NotOurs
        return min(FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 20), self._retry_seconds)
