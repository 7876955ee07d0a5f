"""Doorbells between the processes of one machine.

Each listener owns a named pipe in a shared folder; ringing writes a short line to all pipes of a topic.
"""

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PipeDoorbell", "PipeListener"]


class PipeListener:
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


class PipeDoorbell:
    """The ringing end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ring(self, topic: str, *messages: str) -> None:
        """Wake all listeners of a topic. Never waits and never fails: it is only a hint.

        Args:
            topic: `JOB_QUEUED` or `JOB_CHANGED`.
            messages: ASCII words, such as the ids of jobs; `-` where there is nothing to name.
        """
        text = "".join(f"{message}\n" for message in messages or ("-",)).encode("ascii", "replace")
        with contextlib.suppress(FileNotFoundError):
            for pipe in self._folder.iterdir():
                if pipe.name.startswith(f"{topic}."):
                    _ring(pipe, text)

    def close(self) -> None:
        """Do nothing: between two rings nothing is open."""

    def abandoned(self, older_than_seconds: float) -> list[Path]:
        """List the pipes whose listener died. One just made may not be open yet: only old ones count."""
        before = time.time() - older_than_seconds
        with contextlib.suppress(FileNotFoundError):
            return [pipe for pipe in self._folder.iterdir() if _is_deaf(pipe, before)]
        return []


def _is_deaf(pipe: Path, before: float) -> bool:
    try:
        if not pipe.is_fifo() or pipe.stat().st_mtime > before:
            return False
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno == errno.ENXIO  # Nobody has it open.
    return False


def _ring(pipe: Path, text: bytes) -> None:
    try:
        fd = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # Nobody has it open: its listener died without closing.
            pipe.unlink(missing_ok=True)
        return
    with contextlib.suppress(OSError):
        os.write(fd, text)
    os.close(fd)
