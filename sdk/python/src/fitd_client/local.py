"""A service of one's own, in the background: `Client(":local:")`."""

import atexit
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2

from fitd_client.errors import LocalServiceError

__all__ = ["LOCAL", "Borrowed", "LocalService"]

LOCAL = ":local:"
_MODULE = "service"
_START_SECONDS = 180.0
"""Loading torch takes seconds, and a busy machine takes its time."""
_STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.03
_OWN_SETTINGS = ("FITD_DATABASE_URL", "FITD_STORAGE_DIR", "FITD_API_KEY", "FITD_HOST", "FITD_PORT")
"""Settings of some other service, which this one must not take for its own."""

# The collector may end a connection, and so give a service back, in the middle of whatever its thread does here: hence
# a lock that the same thread may take again, and nothing slow while it is held.
_lock = threading.RLock()
_running: dict[str | None, "_Shared"] = {}


class LocalService:
    """`fitd serve` on a free port of this machine, for as long as somebody uses it.

    It ends with the last client that uses it, and with this process, however that ends: its standard input is a pipe
    from here, and it stops when that breaks off.

    Attributes:
        url: Where it listens.
        data_dir: Its folder.
    """

    def __init__(self, data_dir: str | Path | None) -> None:
        """Start it and wait until it is ready.

        Args:
            data_dir: Its folder; a temporary one, which goes with it, where it is left out.

        Raises:
            LocalServiceError: fitd is not installed here, or it does not start.
        """
        _check_installed()
        self._pid = os.getpid()
        self._folder = tempfile.TemporaryDirectory(prefix="fitd-", ignore_cleanup_errors=True)
        self.data_dir = Path(data_dir) if data_dir is not None else Path(self._folder.name) / "data"
        self._log = Path(self._folder.name) / "log"
        self._process = self._started()
        try:
            self.url = self._listening()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _started(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", _MODULE, "serve", "--supervised"]
        command += ["--data-dir", str(self.data_dir), "--host", "127.0.0.1", "--port", "0"]
        environment = {name: value for name, value in os.environ.items() if name not in _OWN_SETTINGS}
        environment["FITD_LOG_FORMAT"] = "json"
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C in this terminal is for this process, and not for the trainings.
            return subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def _listening(self) -> str:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            for line in self._log.read_text("utf-8", "replace").splitlines():
                if '"listening"' in line:
                    with contextlib.suppress(ValueError, KeyError):
                        return str(json.loads(line)["url"])
            time.sleep(_LOOK_SECONDS)
        raise self._not_started()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_SECONDS
        with httpx2.Client(trust_env=False) as http:
            while time.monotonic() < until and self._process.poll() is None:
                with contextlib.suppress(httpx2.TransportError):
                    if http.get(f"{self.url}/readyz").is_success:
                        return
                time.sleep(_LOOK_SECONDS)
        raise self._not_started()

    def _not_started(self) -> LocalServiceError:
        said = self._log.read_text("utf-8", "replace").strip().splitlines()
        # What it has to say to people is no line of its log.
        plain = [line for line in said if not line.startswith("{")]
        return LocalServiceError("\n".join(["fitd does not start here:", *(plain or said)[-5:]]))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_over(self) -> bool:
        """Whether its process has ended."""
        # Who was forked off cannot ask about it.
        return self._pid == os.getpid() and self._process.poll() is not None

    def stop(self) -> None:
        """End it, and remove its folder if it is temporary."""
        if os.getpid() != self._pid:  # A fork is no owner.
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._folder.cleanup()


def _check_installed() -> None:
    if importlib.util.find_spec(_MODULE) is None or importlib.util.find_spec(f"{_MODULE}.supervisor") is None:
        message = (
            f'Client("{LOCAL}") runs fitd here, and it is not installed: pip install fitd, '
            "or give the address of a service that runs."
        )
        raise LocalServiceError(message)


class _Shared:
    """A local service and those who use it; the first one starts it.

    Attributes:
        users: A token of each.
    """

    def __init__(self) -> None:
        self.users: set[object] = set()
        self._starting = threading.Lock()
        self._service: LocalService | None = None

    @property
    def is_over(self) -> bool:
        return self._service is not None and self._service.is_over

    def started(self, data_dir: str | Path | None) -> LocalService:
        with self._starting:
            if self._service is None:
                self._service = LocalService(data_dir)
            return self._service

    def stop(self) -> None:
        if self._service is not None:
            self._service.stop()


class Borrowed:
    """The use of a local service: the first user of a folder starts it, the last one ends it.

    Attributes:
        service: What is used.
    """

    def __init__(self, data_dir: str | Path | None) -> None:
        """Use the service of a folder; one that has died is replaced.

        Args:
            data_dir: The folder; users that name none share one with a temporary folder.

        Raises:
            LocalServiceError: fitd is not installed here, or it does not start.
        """
        self._key = None if data_dir is None else str(Path(data_dir).resolve())
        self._token = object()
        self._shared = _shared_by(self._key, self._token)
        try:
            self.service = self._shared.started(data_dir)
        except BaseException:
            self.give_back()
            raise

    @property
    def users(self) -> int:
        """How many use the service, this one among them."""
        return len(self._shared.users)

    def give_back(self) -> None:
        """Do without it from now on."""
        with _lock:
            if self._token not in self._shared.users:
                return
            self._shared.users.discard(self._token)
            if self._shared.users:
                return
            if _running.get(self._key) is self._shared:
                del _running[self._key]
        self._shared.stop()


def _shared_by(key: str | None, token: object) -> _Shared:
    """Join those who use the service of a folder."""
    with _lock:
        while True:
            shared = _running.get(key)
            if shared is None or shared.is_over:
                shared = _running[key] = _Shared()
            shared.users.add(token)
            # Between the two lines the collector may have given it back for its last user.
            if _running.get(key) is shared:
                return shared


@atexit.register
def _stop_all() -> None:
    with _lock:
        left = list(_running.values())
        _running.clear()
    for shared in left:
        shared.stop()
