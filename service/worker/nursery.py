"""Where runner processes come from: one process that has loaded torch, and forks whenever another is wanted."""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import structlog

__all__ = ["PRELOADED", "Newborn", "Nursery", "load"]

logger = structlog.get_logger(__name__)

# Forked, but not from this process, which has threads and open connections: from one that only loaded modules.
_CONTEXT = multiprocessing.get_context("forkserver")
STEADFAST = "service.worker.steadfast"
"""Loaded first: what comes after it takes seconds."""
PRELOADED = "service.worker.preloaded"
"""What all runners need."""
RETRY_SECONDS = 1.0
"""After a start that failed, the next is not tried sooner than this."""


def load(preload: str = PRELOADED, *, threads: int = 1) -> None:
    """Begin to load what processes are forked with, unless that is under way: it takes seconds, in a process of its own.

    Args:
        preload: A module that is imported once, before the first fork.
        threads: Of NumPy's products, in all that are forked: it is read when NumPy is loaded.
    """
    # Inherited by the runners: torch's own setting does not reach NumPy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    _CONTEXT.set_forkserver_preload([STEADFAST, preload])
    forkserver.ensure_running()


@dataclass(frozen=True, slots=True)
class Newborn:
    """A process that was started, with our end of the pipe to it."""

    process: ForkServerProcess
    pipe: Connection


class Nursery:
    """Starts processes in the background: the first has to wait until torch is loaded, and the worker must not."""

    def __init__(self, *, target: Callable[..., None], arguments: tuple[Any, ...], preload: str) -> None:
        """Begin to load.

        Args:
            target: The main function of each process; it gets its end of the pipe and the arguments.
            arguments: Picklable.
            preload: A module that is imported once, before the first fork.
        """
        load(preload)
        self._target = target
        self._arguments = arguments
        self._lock = threading.Lock()
        self._born: list[Newborn] = []
        self._expected = 0
        self._closed = False
        self.news, self._bell = _CONTEXT.Pipe(duplex=False)
        """Becomes readable when a process was born."""

    @property
    def expected(self) -> int:
        """Processes that were ordered and have not been given by `born` yet."""
        with self._lock:
            return self._expected

    def order(self) -> None:
        """Start one more; `born` gives it when it is there."""
        with self._lock:
            self._expected += 1
        threading.Thread(target=self._bear, name="start-runner", daemon=True).start()

    def born(self) -> list[Newborn]:
        """Give the processes that were started since the last call."""
        while self.news.poll():
            self.news.recv_bytes()
        with self._lock:
            born, self._born = self._born, []
            self._expected -= len(born)
        return born

    def close(self) -> None:
        """Start nothing more, and end what comes too late."""
        with self._lock:
            self._closed = True
            too_late = self._born
        for newborn in too_late:
            newborn.process.kill()

    def _bear(self) -> None:
        try:
            newborn = self._start()
        except (OSError, EOFError) as error:
            # The process that forks may be killed like any other: the next order starts a new one.
            logger.warning("a runner could not be started", reason=str(error) or type(error).__name__)
            time.sleep(RETRY_SECONDS)
            with self._lock:
                self._expected -= 1
            return
        with self._lock:
            self._born.append(newborn)
            closed = self._closed
        if closed:
            newborn.process.kill()
        with contextlib.suppress(OSError):
            self._bell.send_bytes(b"!")

    def _start(self) -> Newborn:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(
            target=self._target, args=(theirs, *self._arguments), name="fitd-runner", daemon=True
        )
        try:
            process.start()
        finally:
            # With our copy of their end closed, each side sees the other's death as end of file.
            theirs.close()
        return Newborn(process, ours)
