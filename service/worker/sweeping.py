"""Brings sweeps on, beside a worker: as long as any worker runs, sweeps go on."""

import functools
import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import OperationalError

from service.beside import Beside
from service.exceptions import ServiceError
from service.sweeps.advancing import Advancer

__all__ = ["Sweeping"]

logger = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
"""Time after which it looks although nobody has nudged: a job may have ended elsewhere, or been cancelled."""


class Sweeping(Beside):
    """A thread that brings sweeps on while the block runs; choosing trials and checking specs must not hold up claims.

    Whatever goes wrong in it is logged and ends nothing else.
    """

    def __init__(self, advancer: Advancer, *, every_seconds: float = EVERY_SECONDS) -> None:
        super().__init__("sweeps")
        self._advancer = advancer
        self._every_seconds = every_seconds
        self._nudged = threading.Event()

    def nudge(self) -> None:
        """Let it look soon: a job has ended, or there is something new."""
        self._nudged.set()

    def wake(self) -> None:
        """Let it look whether it is to stop."""
        self.nudge()

    def work(self) -> None:
        """Look again and again."""
        while not self._stop.is_set():
            self._nudged.clear()  # Before the look: what happens during it is looked at again.
            self._guarded(self._advance_each)
            self._nudged.wait(self._every_seconds)

    def _advance_each(self) -> None:
        for sweep_id in self._advancer.unfinished():
            # One that cannot go on is not to hold up those after it.
            self._guarded(functools.partial(self._advancer.advance, sweep_id), sweep_id=sweep_id)

    def _guarded(self, action: Callable[[], None], **about: str) -> None:
        try:
            action()
        except (ServiceError, OperationalError) as error:
            logger.warning("sweeps put off", reason=str(error).partition("\n")[0], **about)
        except Exception:
            logger.exception("a sweep cannot go on", **about)
