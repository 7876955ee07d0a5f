"""Doorbells by PostgreSQL's LISTEN and NOTIFY, which reach all hosts of a database.

Both ends keep a connection of their own and a thread that tends it: a server that restarts or does not
answer is the thread's affair, and neither an event loop nor a training ever waits for it.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

if TYPE_CHECKING:
    import psycopg

__all__ = ["NotifyDoorbell", "NotifyListener"]

logger = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
"""Pause before the next attempt to connect; polling covers the gap."""
START_SECONDS = 2.0
"""How long a new listener waits until the server knows of it. Later rings are heard from the start."""
END_SECONDS = 1.0
"""How long closing waits for the thread: it is no matter when the process ends first."""
MAX_BYTES = 7000
"""PostgreSQL takes messages up to 8000 bytes."""

Connect = Callable[[], "psycopg.Connection"]


def _channel(topic: str) -> str:
    return f"fitd_{topic}"


class NotifyListener:
    """The receiving end. Its descriptor stays the same while connections come and go behind it."""

    def __init__(self, connect: Connect, topic: str) -> None:
        """Start to listen.

        Args:
            connect: Opens a connection in autocommit.
            topic: What to listen to.
        """
        self._connect = connect
        self._channel = _channel(topic)
        self._heard: set[str] = set()
        self._lock = threading.Lock()
        self._ours, self._theirs = _pair()
        self._stop, self._stopping = _pair()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"listen-{topic}", daemon=True)
        self._thread.start()
        self._started.wait(START_SECONDS)

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._ours.fileno()

    def messages(self) -> set[str]:
        """Take everything that was rung since the last call; never waits."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                self._ours.recv(4096)
            heard, self._heard = self._heard, set()
        return heard

    def close(self) -> None:
        """Stop listening."""
        self._stop.send(b"x")
        self._thread.join(END_SECONDS)
        if not self._thread.is_alive():
            for one in (self._ours, self._theirs, self._stop, self._stopping):
                one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        import psycopg

        while True:
            try:
                with self._connect() as connection:
                    connection.execute(f'LISTEN "{self._channel}"')
                    self._started.set()
                    self._hear(connection)
                    return
            except psycopg.Error as error:
                logger.debug("doorbell is deaf for the moment", reason=str(error).partition("\n")[0])
            self._started.set()
            if self._is_stopped(RETRY_SECONDS):
                return

    def _hear(self, connection: "psycopg.Connection") -> None:
        """Hear until the end is asked for, or the connection breaks."""
        while True:
            if self._stopping in wait([connection.fileno(), self._stopping]):
                return
            self._keep({one.payload for one in connection.notifies(timeout=0)})

    def _keep(self, words: set[str]) -> None:
        with self._lock:
            if words and not self._heard:
                self._theirs.send(b"x")
            self._heard |= words

    def _is_stopped(self, seconds: float) -> bool:
        return bool(wait([self._stopping], timeout=seconds))


class NotifyDoorbell:
    """The ringing end. A thread passes on what was rung meanwhile, all in one statement."""

    def __init__(self, connect: Connect) -> None:
        """Prepare to ring: the thread and its connection come with the first ring.

        Args:
            connect: Opens a connection in autocommit.
        """
        self._connect = connect
        self._connection: psycopg.Connection | None = None
        self._rung: set[tuple[str, str]] = set()
        self._news = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def ring(self, topic: str, *messages: str) -> None:
        """Wake all listeners of a topic. Never waits and never fails: it is only a hint.

        Args:
            topic: `JOB_QUEUED` or `JOB_CHANGED`.
            messages: ASCII words, such as the ids of jobs; `-` where there is nothing to name.
        """
        words = [message[:MAX_BYTES].encode("ascii", "replace").decode() for message in messages or ("-",)]
        with self._news:
            if self._thread is None:
                self._thread = threading.Thread(target=self._pass_on, name="ring", daemon=True)
                self._thread.start()
            self._rung.update((_channel(topic), word) for word in words)
            self._news.notify()

    def close(self) -> None:
        """Pass on what was rung, and end."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _pass_on(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._rung or self._closing)
                rung, self._rung = self._rung, set()
            if rung and not self._told(rung):
                self._pause()
            elif self._closing:
                self._hang_up()
                return

    def _told(self, rung: Iterable[tuple[str, str]]) -> bool:
        import psycopg

        fresh = self._connection is None
        try:
            if self._connection is None:
                self._connection = self._connect()
            channels, messages = (list(one) for one in zip(*rung, strict=True))
            query = "SELECT pg_notify(channel, message) FROM unnest(%s::text[], %s::text[]) AS t(channel, message)"
            self._connection.execute(query, (channels, messages))
        except psycopg.Error as error:
            logger.debug("doorbell is dumb for the moment", reason=str(error).partition("\n")[0])
            self._hang_up()
            return not fresh and self._told(rung)  # The server may be back already.
        return True

    def _pause(self) -> None:
        """Drop what could not be passed on, and leave the server alone for a moment: listeners poll."""
        with self._news:
            self._news.wait_for(lambda: self._closing, timeout=RETRY_SECONDS)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for one in pair:
        one.setblocking(False)  # noqa: FBT003 - its only argument
    return pair
