"""The states of a sweep, and what is asked of its members in each."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["CANCEL", "PAUSE", "RESUME", "TERMINAL", "SweepStatus"]


class SweepStatus(StrEnum):
    """Where a sweep is in its life."""

    RUNNING = "running"
    """Trials are queued, trained and added."""
    PAUSING = "pausing"
    """Asked to pause; some of its jobs have not yet let go."""
    PAUSED = "paused"
    """No trial is trained and none is added."""
    RESUMING = "resuming"
    """Asked to go on; some of its jobs stand still yet."""
    CANCELLING = "cancelling"
    """Asked to stop; some of its jobs have not yet let go."""
    SUCCEEDED = "succeeded"
    """All trials have ended, at least one of them with a value of the objective."""
    FAILED = "failed"
    """All trials have ended, and none with a value of the objective."""
    CANCELLED = "cancelled"
    """Ended because its owner asked."""


TERMINAL = frozenset({SweepStatus.SUCCEEDED, SweepStatus.FAILED, SweepStatus.CANCELLED})
"""States that nothing leaves."""

PAUSE: Mapping[SweepStatus, SweepStatus] = {
    SweepStatus.RUNNING: SweepStatus.PAUSING,
    SweepStatus.RESUMING: SweepStatus.PAUSING,
    SweepStatus.PAUSING: SweepStatus.PAUSING,
    SweepStatus.PAUSED: SweepStatus.PAUSED,
}
"""What a pause does in each state; elsewhere it is refused."""

RESUME: Mapping[SweepStatus, SweepStatus] = {
    SweepStatus.PAUSING: SweepStatus.RESUMING,
    SweepStatus.PAUSED: SweepStatus.RESUMING,
    SweepStatus.RESUMING: SweepStatus.RESUMING,
}
"""What a resume does in each state."""

CANCEL: Mapping[SweepStatus, SweepStatus] = {
    status: SweepStatus.CANCELLING for status in SweepStatus if status not in TERMINAL
}
"""What a cancel does in each state."""
