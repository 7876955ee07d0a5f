"""The process that predicts, and the thread beside a worker that sees to it."""

import signal
import time
from pathlib import Path

import pytest

from service.predictions.lifecycle import PredictionStatus
from service.worker.predicting import thread
from service.worker.predicting.child import Child
from service.worker.predicting.thread import Predicting
from tests.predictions.prediction_desk import WORKER, PredictionDesk

DEADLINE = 60.0


def test_a_signal_to_all_processes_does_not_end_a_prediction(desk: PredictionDesk) -> None:
    ref = desk.taken()
    child = Child(desk.config())
    try:
        child.order(ref)
        while child.is_alive and not _ignores_interrupts(child._process.pid):
            time.sleep(0.01)
        child._process.terminate()
        assert child.is_done(DEADLINE) is True
    finally:
        child.kill()
    assert desk.state(ref.id) == PredictionStatus.SUCCEEDED


def _ignores_interrupts(pid: int) -> bool:
    """Whether a process ignores Ctrl-C yet: with that it has seen to all signals."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (ignored,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigIgn")]
    return bool(ignored & 1 << (signal.SIGINT - 1))


@pytest.mark.parametrize(
    ("is_stopping", "status"), [(True, PredictionStatus.QUEUED), (False, PredictionStatus.FAILED)]
)
def test_a_process_that_dies_while_its_worker_stops_is_no_crash(
    desk: PredictionDesk, monkeypatch: pytest.MonkeyPatch, *, is_stopping: bool, status: PredictionStatus
) -> None:
    monkeypatch.setattr(thread, "LOOK_SECONDS", DEADLINE)  # Its death is seen in the first look.
    predicting = Predicting(
        desk.config(log_level="of no name"),  # The process dies of it, before it predicts.
        worker_id=WORKER,
        database=desk.database,
        doorbell=desk.bell,
        max_crashes=1,
        cancel_seconds=DEADLINE,
    )
    ref = desk.taken()
    if is_stopping:
        predicting._stop.set()
    predicting._predict(ref)
    assert desk.state(ref.id) == status
