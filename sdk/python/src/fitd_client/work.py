"""Work that the service does in its own time: jobs, sweeps, predictions of datasets. One handle for each."""

import sys
import time
import warnings
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from fitd_client.answers import Answer, WhatIsWrong
from fitd_client.asking import Asking, in_path
from fitd_client.errors import FitdWarning, WaitTimeout, WorkFailed
from fitd_client.operations import operation, own_operation
from fitd_client.progress import Bar
from fitd_client.wire import Steps

__all__ = ["Pausable", "Work", "tell_once", "waited"]

_POLL_SECONDS = 30.0
_WATCHED_POLL_SECONDS = 0.4
"""A bar wants to move; without one, the answer comes at the end."""
_MOST_TOLD = 10_000


class _WorkAnswer(Protocol):
    """What the answers about all work have."""

    id: str
    status: str
    terminal: bool
    created_at: datetime
    finished_at: datetime | None
    error: WhatIsWrong | None
    links: dict[str, str]


W = TypeVar("W", bound=Answer)
H = TypeVar("H", bound="Work[Any]")

_told: set[tuple[str, str]] = set()


def tell_once(about: str, *, code: str, message: str) -> None:
    """Warn of something, once in a process.

    Args:
        about: Id of what it is about.
        code: Of the warning.
        message: Its text.
    """
    if (about, code) in _told:
        return
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told.add((about, code))
    warnings.warn(f"{about}: {message} ({code})", FitdWarning, stacklevel=2)


class Work(Asking, Generic[W]):
    """A handle of something that the service does.

    Attributes:
        answer: What the service last said about it. `refresh` and all that wait or change bring it up to date.
    """

    _kind: type[W]
    _place: ClassVar[str]
    _failure: ClassVar[type[WorkFailed]]

    def __init__(self, connection: Any, answer: W) -> None:  # noqa: ANN401 - of either way
        self._connection = connection
        self.answer = answer

    @property
    def _said(self) -> _WorkAnswer:
        return self.answer  # type: ignore[return-value]

    @property
    def id(self) -> str:
        """Its id."""
        return self._said.id

    @property
    def status(self) -> str:
        """Its state, as of the last answer."""
        return self._said.status

    @property
    def terminal(self) -> bool:
        """Whether it has ended."""
        return self._said.terminal

    @property
    def error(self) -> WhatIsWrong | None:
        """Why it has failed."""
        return self._said.error

    @property
    def links(self) -> dict[str, str]:
        """Paths of what belongs to it."""
        return self._said.links

    @property
    def path(self) -> str:
        """Its path beneath the service's address."""
        return f"{self._place}/{in_path(self.id)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Work) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _fetched(self, wait: float = 0.0) -> Steps[None]:
        self.answer = yield from self._read(self._kind, self.path, wait=wait)

    def _told(self, action: str) -> Steps[None]:
        self.answer = yield from self._send(self._kind, f"{self.path}/{action}")

    @own_operation
    def refresh(self) -> Steps[Any]:
        """Ask how it is, and give the handle itself."""
        yield from self._fetched()
        return self

    @own_operation
    def cancel(self) -> Steps[Any]:
        """Ask it to stop; `wait` tells when it has. What it has reached is kept."""
        yield from self._told("cancel")
        return self

    @operation
    def delete(self) -> Steps[None]:
        """Remove it with all that it owns.

        Raises:
            Conflict: It has not ended.
        """
        yield from self._delete(self.path)

    @own_operation
    def wait(self, timeout: float | None = None, *, progress: bool = True, check: bool = True) -> Steps[Any]:
        """Wait for its end, and give the handle itself.

        Ctrl-C ends the waiting, not the work.

        Args:
            timeout: Seconds after which to give up; the work goes on.
            progress: Show a bar on standard error, where a terminal or a notebook shows it.
            check: Raise an exception where it has failed.

        Raises:
            WaitTimeout: The time is over.
            JobFailed: It has failed; a sweep raises `SweepFailed`, a prediction `PredictionFailed`.
        """
        yield from self._waiting(timeout, progress=progress, check=check)
        return self

    def _waiting(
        self, timeout: float | None = None, *, progress: bool = True, check: bool = True
    ) -> Steps[None]:
        until = None if timeout is None else time.monotonic() + timeout
        with Bar(on=progress) as bar:
            try:
                yield from self._watched(bar, until)
            except KeyboardInterrupt:
                self._say_that_it_goes_on()
                raise
        self._tell_warnings()
        if check:
            self._check()

    def _watched(self, bar: Bar, until: float | None) -> Steps[None]:
        while not self.terminal:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise WaitTimeout(f"{self.id} is still {self.status}: the time for waiting is over.")
            poll = _WATCHED_POLL_SECONDS if bar.is_on else _POLL_SECONDS
            yield from self._fetched(poll if left is None else min(poll, max(left, 0.001)))
            bar.show(self.id, *self._progress())
        bar.close(f"{self.id} {self.status} {self._progress()[1]}".rstrip())

    def _progress(self) -> tuple[float, str]:
        """Give the share that is done, and what else to say on the way."""
        raise NotImplementedError

    def _tell_warnings(self) -> None:
        """Warn of what the service finds doubtful."""

    def _say_that_it_goes_on(self) -> None:
        print(  # noqa: T201 - whoever pressed Ctrl-C reads it
            f"\n{self.id} goes on without you. .wait() waits again, .cancel() stops it.", file=sys.stderr
        )

    def _check(self) -> None:
        if self.error is not None and self.status == "failed":
            error = self.error
            raise self._failure(self.id, code=error.code, message=error.message, hint=error.hint)


class Pausable(Work[W]):
    """Work that can stand still."""

    @own_operation
    def pause(self) -> Steps[Any]:
        """Ask it to stand still and to let others train."""
        yield from self._told("pause")
        return self

    @own_operation
    def resume(self) -> Steps[Any]:
        """Let it go on from where it stood."""
        yield from self._told("resume")
        return self


def waited(handle: H, wait: bool | float) -> Steps[H]:  # noqa: FBT001 - as callers say it
    """Wait for the end of what was submitted, where that is wanted, and give its handle.

    Args:
        handle: Of what was submitted.
        wait: True for its end; seconds that the submission itself has waited already.
    """
    if wait is True:
        yield from handle._waiting()  # noqa: SLF001 - a neighbour
    return handle
