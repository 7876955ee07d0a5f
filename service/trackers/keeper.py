"""Keeps the process that tells trackers running, beside a worker: beside one of them, however many there are."""

import contextlib
import subprocess
import sys
import time

import structlog
from sqlalchemy.exc import IntegrityError, OperationalError

from service.beside import Beside
from service.db import Database
from service.exceptions import ServiceError
from service.settings import Settings
from service.trackers import repository
from service.trackers.sinks import switched_on

__all__ = ["Tracking"]

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
BACKOFF_SECONDS = 1.0
"""Least time between two starts of the process, doubled with each early death up to 64 times."""
SHORT_LIFE_SECONDS = 60.0


class Tracking(Beside):
    """A thread that serves the trackers while the block runs, as long as no other worker does.

    A tracker is a worker's until that worker is taken out of the list of the living, by whoever finds it dead. The
    telling itself is done by a process of its own, which ends with this one.
    """

    def __init__(self, settings: Settings, database: Database, *, worker_id: str) -> None:
        super().__init__("trackers")
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._trackers = switched_on(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._served: list[str] = []
        """The trackers that the process tells."""
        self._started = 0.0
        self._short_lives = 0

    def work(self) -> None:
        """Look again and again."""
        while self._trackers and not self._stop.wait(LOOK_SECONDS):
            try:
                held = [name for name, target in self._trackers.items() if self._holds(name, target)]
            except (ServiceError, OperationalError) as error:
                logger.warning("trackers put off", reason=str(error).partition("\n")[0])
                continue
            except Exception:
                logger.exception("trackers cannot be served")
                continue
            self._serve(held)
        self._end()

    def _holds(self, name: str, target: str) -> bool:
        """Tell whether a tracker is this worker's, and take it where it is nobody's."""
        with self._database.read() as session:
            holder = repository.holder_of(session, name)
        if holder is not None:
            return holder == self._worker_id
        with contextlib.suppress(IntegrityError), self._database.write() as session:
            repository.register(session, name, target=target)
            return repository.hold(session, name, self._worker_id)
        return False  # Another worker has made it known at this very moment.

    def _serve(self, held: list[str]) -> None:
        """Let the process tell these trackers and no other, each of which may be another worker's."""
        if held != self._served:
            self._end()
            self._served = held
        if held:
            self._keep_running()

    def _keep_running(self) -> None:
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            soon = time.monotonic() - self._started < SHORT_LIFE_SECONDS
            self._short_lives = self._short_lives + 1 if soon else 0
            logger.warning(
                "the process of the trackers ended", exit_code=code, soon_in_a_row=self._short_lives
            )
            self._end()
        if time.monotonic() - self._started >= BACKOFF_SECONDS * 2 ** min(self._short_lives, 6):
            self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        command = [sys.executable, "-m", "service", "track", "--holder", self._worker_id]
        command += ["--data-dir", str(self._settings.data_dir), "--supervised"]
        command += [word for name in self._served for word in ("--only", name)]
        # It inherits the environment, in which the trackers' secrets are. It ends when its standard input does: with
        # this process, however that dies; a terminal's Ctrl-C is kept away.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.PIPE, start_new_session=True
        )

    def _end(self) -> None:
        """End the process at once: what it was about is in doubt, and the next one sees to that."""
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None
