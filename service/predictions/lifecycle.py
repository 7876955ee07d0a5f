"""The states of a batch prediction and the only ways between them."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["ACTIVE", "CANCEL", "LET_GO", "TERMINAL", "TRANSITIONS", "PredictionStatus", "sources_of"]


class PredictionStatus(StrEnum):
    """Where a batch prediction is in its life."""

    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    """A worker predicts its rows."""
    CANCELLING = "cancelling"
    """Asked to stop; the worker has not yet let go. May still end `succeeded`."""
    SUCCEEDED = "succeeded"
    """Ended with a result to download."""
    FAILED = "failed"
    """Ended without one; `error` says why."""
    CANCELLED = "cancelled"
    """Ended because its owner asked."""


TERMINAL = frozenset({PredictionStatus.SUCCEEDED, PredictionStatus.FAILED, PredictionStatus.CANCELLED})
"""States that nothing leaves."""

ACTIVE = frozenset({PredictionStatus.RUNNING, PredictionStatus.CANCELLING})
"""States in which a worker holds the prediction."""

TRANSITIONS: Mapping[PredictionStatus, frozenset[PredictionStatus]] = {
    PredictionStatus.QUEUED: frozenset({PredictionStatus.RUNNING, PredictionStatus.CANCELLED}),
    # Back to queued: the worker died or was stopped, and another attempt begins at the first row.
    PredictionStatus.RUNNING: TERMINAL | {PredictionStatus.QUEUED, PredictionStatus.CANCELLING},
    # The first commit wins: a prediction that finishes before it hears of the cancel has finished.
    PredictionStatus.CANCELLING: TERMINAL,
    PredictionStatus.SUCCEEDED: frozenset(),
    PredictionStatus.FAILED: frozenset(),
    PredictionStatus.CANCELLED: frozenset(),
}

LET_GO: Mapping[PredictionStatus, PredictionStatus] = {
    PredictionStatus.RUNNING: PredictionStatus.QUEUED,
    PredictionStatus.CANCELLING: PredictionStatus.CANCELLED,
}
"""Where a prediction goes when its worker lets go of it before its end, whether it wants to or dies."""

CANCEL: Mapping[PredictionStatus, PredictionStatus] = {
    PredictionStatus.QUEUED: PredictionStatus.CANCELLED,
    PredictionStatus.RUNNING: PredictionStatus.CANCELLING,
    PredictionStatus.CANCELLING: PredictionStatus.CANCELLING,
}
"""What a cancel does in each state; elsewhere it is refused."""


def sources_of(target: PredictionStatus) -> frozenset[PredictionStatus]:
    """Give the states from which a prediction may go to `target`."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)
