"""What the worker says to its runner: what to train next, and when to give back what is being trained."""

from multiprocessing.connection import Connection

from service.jobs.attempts import JobRef
from service.worker.executor import Assignment
from service.worker.messages import Drain, GiveWay, Run

__all__ = ["Orders"]


class Orders:
    """The runner's end of the pipe. All jobs of an assignment hear the same. Everything here raises EOFError when
    the worker is gone: another attempt will be made, and this one must not go on.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._draining = False
        self._giving_way: frozenset[JobRef] = frozenset()

    def next(self) -> Assignment | None:
        """Wait for what to do next; None when the process is to end."""
        self._giving_way = frozenset()
        while not self._draining:
            message = self._pipe.recv()
            if isinstance(message, Run):
                return message.assignment
            self._hear(message)
        return None

    def reason_to_leave(self, ref: JobRef) -> str | None:
        """Tell whether an attempt is to be given back now, and why: `drain` or `yield`."""
        while self._pipe.poll():
            self._hear(self._pipe.recv())
        if self._draining:
            return "drain"
        return "yield" if ref in self._giving_way else None

    def stay(self) -> None:
        """Forget that others should have a turn: there is no room for the checkpoint to come back to."""
        self._giving_way = frozenset()

    def wait(self, seconds: float) -> None:
        """Let some time pass, or less when there is news."""
        if self._pipe.poll(seconds):
            self._hear(self._pipe.recv())

    def _hear(self, message: object) -> None:
        match message:
            case Drain():
                self._draining = True
            case GiveWay(refs=refs):
                # What has ended meanwhile is in no assignment any more, and nobody asks for it.
                self._giving_way = frozenset(refs)
