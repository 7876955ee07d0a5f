"""The worker's end of the process that predicts."""

import contextlib
import os
import signal
import subprocess
import sys
from multiprocessing.connection import wait
from typing import IO

from service.predictions.attempts import PredictionRef
from service.worker.predicting.orders import DONE, Order, PredictorConfig
from service.worker.predicting.process import ENVIRONMENT

__all__ = ["Child"]

MODULE = "service.worker.predicting.process"


class Child:
    """A process that predicts one dataset after the other."""

    def __init__(self, config: PredictorConfig) -> None:
        """Start it."""
        self._process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
            bufsize=0,
        )
        self._answer = b""
        self._send(config.model_dump_json())

    def order(self, ref: PredictionRef) -> None:
        """Have it predict what was claimed."""
        self._answer = b""
        self._send(Order(id=ref.id, attempt=ref.attempt).model_dump_json())

    def _send(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # It died; whoever waits for it will see that.
            _file(self._process.stdin).write(line.encode() + b"\n")

    def is_done(self, seconds: float) -> bool | None:
        """Wait for the end of what was ordered.

        Returns:
            True when all is recorded, False when the process has died, None when neither came in the time given.
        """
        answers = _file(self._process.stdout).fileno()
        while wait([answers], timeout=seconds):
            chunk = os.read(answers, len(DONE))
            if not chunk:
                self._process.wait()
                return False
            self._answer += chunk
            if self._answer == DONE:
                return True
        return None

    @property
    def is_alive(self) -> bool:
        """Whether it can take an order."""
        return self._process.poll() is None

    @property
    def how_it_died(self) -> str:
        """Say in a sentence how the process ended."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"It ended with exit code {code}."
        number = -code
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        guess = " The system kills like this when memory runs out." if name == "SIGKILL" else ""
        return f"It was ended by {name}.{guess}"

    def kill(self) -> None:
        """End it by force."""
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _file(end).close()


def _file(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None  # noqa: S101 - both ends were asked for
    return end
