"""The local executor: one warm process for each slot, replaced when it dies."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import TracebackType
from typing import Any, Self

import structlog

from service.jobs.attempts import JobRef
from service.worker.executor import Assignment, Exit, ExitKind, Resources
from service.worker.messages import Done, Drain, GiveWay, Ready, Run
from service.worker.nursery import PRELOADED, Nursery

__all__ = ["LocalExecutor"]

logger = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0
"""After a process that died before it was ever warm, the next is not started sooner than this."""
WARMING_AT_ONCE = max(1, (os.cpu_count() or 1) // 2)
"""Warming up keeps a core busy: started all at once, the first would be warm as late as the last."""


@dataclass
class _Slot:
    """One runner process and what it is doing."""

    process: ForkServerProcess
    pipe: Connection
    warm: bool = False
    leaving: bool = False
    assignment: Assignment | None = None

    @property
    def is_free(self) -> bool:
        """Whether it can take a job."""
        return self.warm and self.assignment is None and not self.leaving

    @property
    def refs(self) -> tuple[JobRef, ...]:
        """The attempts that it is busy with."""
        return () if self.assignment is None else self.assignment.refs


class LocalExecutor:
    """Runs each assignment in a process of its own on this machine; the processes stay warm between them."""

    def __init__(
        self,
        *,
        slots: int,
        target: Callable[..., None],
        arguments: tuple[Any, ...],
        preload: str = PRELOADED,
    ) -> None:
        """Start the first processes; `poll` starts the rest as they get warm.

        Args:
            slots: How many processes to keep.
            target: The runner's main function; it gets its end of the pipe and the arguments.
            arguments: Picklable.
            preload: A module that all processes need, loaded once for all.
        """
        self._nursery = Nursery(target=target, arguments=arguments, preload=preload)
        self._about: dict[str, Any] = {}
        self._exits: list[Exit] = []
        self._wanted = slots
        self._spawn_due = 0.0
        self._slots: list[_Slot] = []
        self._fill()

    def __enter__(self) -> Self:
        """Keep the processes for the block; those that are still there at its end are killed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # They ignore SIGTERM, with which Python would end them when this process ends: it would wait for ever.
        self.close(0.0)

    def free(self) -> Resources:
        """Count the slots that are warm and idle."""
        return Resources(slots=sum(slot.is_free for slot in self._slots))

    def warm(self) -> int:
        """Count the slots that are ready to train, idle or not."""
        return sum(slot.warm for slot in self._slots)

    def start(self, assignment: Assignment) -> None:
        """Hand one or more attempts to a free slot.

        Raises:
            RuntimeError: No slot is free.
        """
        for slot in self._slots:
            if slot.is_free:
                slot.assignment = assignment
                self._send(slot, Run(assignment))
                return
        raise RuntimeError("no free slot")

    def poll(self) -> list[Exit]:
        """Read what the processes said, and replace those that died."""
        self._look()
        self._fill()
        exits, self._exits = self._exits, []
        return exits

    def give_way(self, ref: JobRef) -> None:
        """Tell the process that runs this attempt to let others have a turn."""
        for slot in self._slots:
            if ref in slot.refs:
                self._send(slot, GiveWay(slot.refs))

    def kill(self, ref: JobRef) -> None:
        """Kill the process that runs this attempt."""
        for slot in self._slots:
            if ref in slot.refs:
                slot.process.kill()

    def running(self) -> set[JobRef]:
        """Tell which attempts are under way."""
        return {ref for slot in self._slots for ref in slot.refs}

    def about(self) -> dict[str, Any]:
        """Tell what the last warm process said of itself."""
        return self._about

    def waitables(self) -> list[Any]:
        """Give the pipes and the process sentinels, and what tells of new processes."""
        return [*self._things(), self._nursery.news]

    def close(self, drain_seconds: float) -> list[Exit]:
        """Drain all slots; those that are not gone in time are killed, and their jobs reported crashed."""
        self._nursery.close()
        for slot in self._slots:
            self._send(slot, Drain())
        deadline = time.monotonic() + drain_seconds
        while (left := deadline - time.monotonic()) > 0 and self.running():
            # What tells of new processes is not read any more: it would end each wait at once.
            wait(self._things(), timeout=left)
            self._look()
        for slot in self._slots:
            slot.process.kill()
            slot.process.join()
        self._look()
        return self._exits

    def _things(self) -> list[Any]:
        return [thing for slot in self._slots for thing in (slot.pipe, slot.process.sentinel)]

    def _look(self) -> None:
        """Hear every process, and take the dead ones away."""
        for slot in list(self._slots):
            # Whether it is alive is asked first: what it said before its death is then in the pipe.
            alive = slot.process.is_alive()
            self._listen(slot)
            if not alive:
                self._bury(slot)

    def _fill(self) -> None:
        """Take in what was started, and start what is missing, a few at a time."""
        self._slots += [_Slot(process=one.process, pipe=one.pipe) for one in self._nursery.born()]
        if time.monotonic() < self._spawn_due:
            return
        expected = self._nursery.expected
        warming = sum(not slot.warm for slot in self._slots) + expected
        missing = self._wanted - len(self._slots) - expected
        for _ in range(min(missing, WARMING_AT_ONCE - warming)):
            self._nursery.order()

    def _listen(self, slot: _Slot) -> None:
        try:
            while slot.pipe.poll():
                self._hear(slot, slot.pipe.recv())
        except (EOFError, OSError):
            return

    def _hear(self, slot: _Slot, message: object) -> None:
        match message:
            case Ready(about=about):
                slot.warm = True
                self._about = about
            case Done(refs=refs, leaving=leaving) if slot.refs == refs:
                slot.assignment = None
                slot.leaving = leaving
                self._exits += [Exit(ref, ExitKind.RETURNED) for ref in refs]

    def _bury(self, slot: _Slot) -> None:
        if slot.refs:
            detail, alone = _how_it_died(slot.process.exitcode), len(slot.refs) == 1
            logger.warning("runner died", job_ids=[ref.id for ref in slot.refs], reason=detail)
            self._exits += [Exit(ref, ExitKind.CRASHED, detail, alone=alone) for ref in slot.refs]
        if not slot.warm:
            self._spawn_due = time.monotonic() + RESTART_SECONDS
        slot.pipe.close()
        self._slots.remove(slot)

    def _send(self, slot: _Slot, message: object) -> None:
        try:
            slot.pipe.send(message)
        except OSError:  # It died; `poll` will see that.
            logger.debug("runner is gone", pid=slot.process.pid)


def _how_it_died(exit_code: int | None) -> str:
    """Say in a sentence what an exit code means."""
    if exit_code is None or exit_code >= 0:
        return f"The training process ended with exit code {exit_code}."
    number = -exit_code
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    guess = " The system kills like this when memory runs out." if name == "SIGKILL" else ""
    return f"The training process was ended by {name}.{guess}"
