"""Doorbells: a hint to another process of this machine that the database holds something new.

Each listener owns a named pipe in a shared folder; ringing writes a short line to all pipes of a
topic. A ring can be lost (a full pipe, a process just starting), so every listener also polls.
"""

import contextlib
import errno
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["JOB_CHANGED", "JOB_QUEUED", "Doorbell", "Listener"]

JOB_QUEUED = "queued"
"""Topic for workers: there may be a job to claim."""
JOB_CHANGED = "changed"
"""Topic for the API: the job named by the message has news for whoever waits for it."""


class Listener:
    """The receiving end: a file descriptor that becomes readable when somebody rings."""

    def __init__(self, folder: Path, topic: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{topic}.{os.getpid()}.{secrets.token_hex(4)}"
        os.mkfifo(self._path, mode=0o600)
        # Open for writing too: with no writer at all, a pipe would count as readable (end of file) for ever.
        self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._fd

    def messages(self) -> set[str]:
        """Take everything that was rung since the last call; never waits."""
        text = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._fd, 65536):
                text += chunk
        return set(text.decode("ascii", "replace").split())

    def close(self) -> None:
        """Stop listening and take the pipe away."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Doorbell:
    """The ringing end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ring(self, topic: str, message: str = "-") -> None:
        """Wake all listeners of a topic. Never waits and never fails: it is only a hint.

        Args:
            topic: `JOB_QUEUED` or `JOB_CHANGED`.
            message: One ASCII word, such as a job's id.
        """
        with contextlib.suppress(FileNotFoundError):
            for pipe in self._folder.iterdir():
                if pipe.name.startswith(f"{topic}."):
                    _ring(pipe, message)


def _ring(pipe: Path, message: str) -> None:
    try:
        fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # Nobody has it open: its listener died without closing.
            pipe.unlink(missing_ok=True)
        return
    with contextlib.suppress(OSError):
        os.write(fd, f"{message}\n".encode("ascii", "replace"))
    os.close(fd)
