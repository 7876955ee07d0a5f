"""Work that goes on beside a process's own, in a thread."""

import threading
from types import TracebackType
from typing import Self

__all__ = ["Beside"]

LEAVE_SECONDS = 0.3


class Beside:
    """A thread that works while the block runs.

    It is a daemon: what it cannot finish soon after the block is left to the next that does the same.
    """

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.wake()
        self._thread.join(LEAVE_SECONDS)

    def work(self) -> None:
        """Work until `_stop` is set."""
        raise NotImplementedError

    def wake(self) -> None:
        """Let it look at `_stop`; for work that waits for something else."""
