"""Why a job changed its state, where the state alone does not say it: what its transitions and events tell."""

from collections.abc import Mapping

__all__ = [
    "CLAIM_LOST",
    "GAVE_WAY",
    "KILLED",
    "REQUESTED",
    "RESTORED",
    "WORKER_DIED",
    "WORKER_SILENT",
    "WORKER_STOPPED",
    "Cause",
    "died_beside",
    "runner_died",
]

Cause = Mapping[str, str]
"""A stable `code` for programs and a `message` for people."""

REQUESTED: Cause = {"code": "requested", "message": "Its owner asked."}
WORKER_STOPPED: Cause = {"code": "worker_stopped", "message": "Its worker was stopped."}
WORKER_DIED: Cause = {"code": "worker_died", "message": "Its worker died."}
WORKER_SILENT: Cause = {
    "code": "worker_silent",
    "message": "Its worker gave no sign of life for too long.",
}
CLAIM_LOST: Cause = {"code": "claim_lost", "message": "Its worker never learnt that it had it."}
GAVE_WAY: Cause = {
    "code": "gave_way",
    "message": "It had trained for long while others waited: it goes on when it is its turn again.",
}
KILLED: Cause = {
    "code": "killed",
    "message": "The training did not stop by itself and was ended by force.",
}
RESTORED: Cause = {
    "code": "restored",
    "message": "The service was restored from a backup that was made while the job was under way.",
}


def died_beside(how: str) -> Cause:
    """Tell of a training process that died while it trained several jobs: nobody knows yet which one was to blame."""
    return {"code": "runner_died", "message": f"{how} It trained other jobs too."}


def runner_died(how: str) -> Cause:
    """Tell of a training process that died, and how as a sentence."""
    return {"code": "runner_died", "message": how}
