"""The states of a job and the only ways between them."""

from enum import StrEnum

__all__ = [
    "ACTIVE",
    "CANCEL",
    "LET_GO",
    "PAUSE",
    "RESUME",
    "TERMINAL",
    "TRANSITIONS",
    "Status",
    "StopReason",
    "sources_of",
]


class Status(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    """A worker trains it."""
    PAUSING = "pausing"
    """Asked to pause; the worker has not yet let go."""
    PAUSED = "paused"
    """Stands still with all it needs to go on."""
    CANCELLING = "cancelling"
    """Asked to stop; the worker has not yet let go. May still end `succeeded`."""
    SUCCEEDED = "succeeded"
    """Ended with a usable fit."""
    FAILED = "failed"
    """Ended without one; `error` says why."""
    CANCELLED = "cancelled"
    """Ended because its owner asked."""


class StopReason(StrEnum):
    """Why a job ended."""

    COMPLETED = "completed"
    """All epochs are done."""
    EARLY_STOPPED = "early_stopped"
    """The dev loss stopped improving."""
    DIVERGED = "diverged"
    """The loss stopped being a finite number."""
    MAX_RUNTIME = "max_runtime"
    """The time it was given is over."""
    CANCELLED = "cancelled"
    """Its owner asked."""
    ERROR = "error"
    """Something broke; `error` says what."""


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
"""States that nothing leaves."""

ACTIVE = frozenset({Status.RUNNING, Status.PAUSING, Status.CANCELLING})
"""States in which a worker holds the job."""

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.PAUSED, Status.CANCELLED}),
    # Back to queued: the worker died or was stopped, and another attempt may begin.
    Status.RUNNING: TERMINAL | {Status.QUEUED, Status.PAUSING, Status.CANCELLING},
    # Back to running: the pause was called off before the worker let go.
    Status.PAUSING: TERMINAL | {Status.PAUSED, Status.RUNNING, Status.CANCELLING},
    Status.PAUSED: frozenset({Status.QUEUED, Status.CANCELLED}),
    # The first commit wins: a job that finishes before it hears of the cancel has finished.
    Status.CANCELLING: TERMINAL,
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}

LET_GO: dict[Status, Status] = {
    Status.RUNNING: Status.QUEUED,
    Status.PAUSING: Status.PAUSED,
    Status.CANCELLING: Status.CANCELLED,
}
"""Where a job goes when its worker lets go of it before its end, whether it wants to or dies: where it was asked to go."""

CANCEL: dict[Status, Status] = {
    Status.QUEUED: Status.CANCELLED,
    Status.PAUSED: Status.CANCELLED,
    Status.RUNNING: Status.CANCELLING,
    Status.PAUSING: Status.CANCELLING,
    Status.CANCELLING: Status.CANCELLING,
}
"""What a cancel does in each state; nothing in `cancelling`, and elsewhere it is refused."""

PAUSE: dict[Status, Status] = {
    Status.QUEUED: Status.PAUSED,
    Status.RUNNING: Status.PAUSING,
    Status.PAUSING: Status.PAUSING,
    Status.PAUSED: Status.PAUSED,
}
"""What a pause does in each state."""

RESUME: dict[Status, Status] = {
    Status.PAUSED: Status.QUEUED,
    Status.PAUSING: Status.RUNNING,
}
"""What a resume does in each state."""


def sources_of(target: Status) -> frozenset[Status]:
    """Give the states from which a job may go to `target`."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)
