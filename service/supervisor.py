"""`fitd serve`: the API and a worker as two processes under one command, each started again when it dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

import structlog

from service.exceptions import StartupFailed
from service.settings import Settings

__all__ = ["Supervisor", "listen"]

logger = structlog.get_logger(__name__)

STOP_SECONDS = 5.0
"""A child that has not ended so long after it was asked, and after the time that trainings are given, is killed."""
LOOK_SECONDS = 0.05
"""How often the children are looked at."""
BACKOFF_SECONDS = 1.0
"""Least time between two starts of one child, doubled with each early death up to 16 times: none may burn a core."""
SHORT_LIFE_SECONDS = 60.0
"""On a slow and busy machine a start alone takes half of it. A process that was killed from outside is not counted."""
MAX_SHORT_LIVES = 5
"""An API that dies so often in a row, each time so soon, will not come up: better to end than to let callers hang."""


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that every API process of this service shares.

    The supervisor holds it, so that it stays open while the API starts again: callers wait
    a moment instead of being refused.

    Raises:
        StartupFailed: The address is in use or not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}."
        raise StartupFailed(message, hint="Name another address with --host and --port.") from None
    listening.listen(2048)
    listening.set_inheritable(True)
    return listening


class _Child:
    """One process that is kept running. It ends when its standard input does: with this process, however that dies."""

    def __init__(
        self, name: str, arguments: list[str], *, environment: Mapping[str, str], fds: tuple[int, ...]
    ) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "service", *arguments, "--supervised"]
        self._environment = dict(environment)
        self._fds = fds
        self._started = 0.0
        self._short_lives = 0
        self._process: subprocess.Popen[bytes] | None = None

    def keep_running(self) -> None:
        """Start the process if it is not there."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._count_death(self._process.returncode)
            self._process = None
        if time.monotonic() - self._started >= BACKOFF_SECONDS * 2 ** min(self._short_lives, 4):
            self._started = time.monotonic()
            # A session of its own keeps a terminal's Ctrl-C away: the supervisor passes it on, once.
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                pass_fds=self._fds,
                start_new_session=True,
            )

    def _count_death(self, exit_code: int) -> None:
        # What was killed from outside did not fail by itself: it is started again without delay, however often.
        failed = exit_code != -signal.SIGKILL
        soon = failed and time.monotonic() - self._started < SHORT_LIFE_SECONDS
        self._short_lives = self._short_lives + 1 if soon else 0
        logger.error("process died", process=self.name, exit_code=exit_code, soon_in_a_row=self._short_lives)

    @property
    def hopeless(self) -> bool:
        """Whether it died too often, too soon."""
        return self._short_lives >= MAX_SHORT_LIVES

    def stop(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """End the process by force if it is still there."""
        if self._process is not None and self.is_running:
            logger.warning("process does not stop, killing it", process=self.name)
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Keeps the API and a worker running until it is told to stop."""

    def __init__(self, settings: Settings, *, listening: socket.socket) -> None:
        environment = {**os.environ, **_as_environment(settings)}
        fd = listening.fileno()
        self._api = _Child("api", ["api", "--fd", str(fd)], environment=environment, fds=(fd,))
        self._children = [self._api, _Child("worker", ["worker"], environment=environment, fds=())]
        self._stop_seconds = settings.drain_seconds + STOP_SECONDS
        self._stopping = False
        self._hurried = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, then stop both children side by side; a second signal kills them.

        Returns:
            The exit code: 1 when a child would not come up.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            for child in self._children:
                child.keep_running()
            # Without a worker the API still takes jobs and answers; without the API there is nothing to wait for.
            if self._api.hopeless:
                self._stopping = True
            time.sleep(LOOK_SECONDS)
        for child in self._children:
            child.stop()
        deadline = time.monotonic() + self._stop_seconds
        for child in self._children:
            while child.is_running and time.monotonic() < deadline and not self._hurried:
                time.sleep(LOOK_SECONDS)
            child.end()
        if self._api.hopeless:
            logger.error("gave up: the API dies again and again at its start")
        logger.info("stopped")
        return 1 if self._api.hopeless else 0

    def _stop(self, *_: object) -> None:
        self._hurried = self._stopping
        self._stopping = True


def _as_environment(settings: Settings) -> dict[str, str]:
    """Write the settings that a command line can change as variables, for the children to read."""
    return {
        "FITD_DATA_DIR": str(settings.data_dir),
        "FITD_DATABASE_URL": settings.database_url,
        "FITD_HOST": settings.host,
        "FITD_PORT": str(settings.port),
        "FITD_LOG_FORMAT": settings.log_format,
    }
