"""A running service tells its jobs, whatever dies."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Service
from tests.retention.test_keeper import wait_until
from tests.service.test_survival import arm, gone_off
from tests.test_commands import fitd
from tests.trackers.ledger import scalars

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")

EPOCHS = 12_000


@pytest.mark.timeout(240)
def test_a_worker_and_a_follower_that_are_killed_leave_no_gap_and_repeat_nothing(
    own_service: Callable[..., Service], tutorial: dict[str, Any], tmp_path: Path
) -> None:
    board = tmp_path / "board"
    (tmp_path / "failpoints").mkdir()
    settings = {
        "FITD_TRACKERS__TENSORBOARD_DIR": str(board),
        "FITD_TRACKERS__EVERY_SECONDS": "0.2",
        "FITD_CHECKPOINT_SECONDS": "0.2",
        "FITD_FAILPOINTS_DIR": str(tmp_path / "failpoints"),
    }
    service = own_service(FITD_SLOTS="1", **settings)
    training = {**tutorial["training"], "epochs": EPOCHS, "engine": "eager"}
    job_id = service.submit({**tutorial, "training": training}, wait=0)["id"]
    wait_until(lambda: any(board.rglob("*.fitd")), 60)
    arm(service, "tracker_told")
    wait_until(lambda: gone_off(service, "tracker_told"), 60)
    os.kill(service.pid_of("worker"), signal.SIGKILL)
    assert service.wait_for(job_id, lambda job: job["terminal"], 120)["status"] == "succeeded"
    wait_until(lambda: "final/train_loss" in scalars(board / job_id), 60)
    history = service.client.get(f"/v1/jobs/{job_id}/history").json()["columns"]
    told = scalars(board / job_id)
    assert [step for step, _ in told["train_loss"]] == list(range(1, EPOCHS + 1))
    assert [loss for _, loss in told["train_loss"]] == pytest.approx(history["train_loss"])
    wait_until(
        lambda: 'fitd_tracker_jobs_behind{tracker="tensorboard"} 0.0' in service.client.get("/metrics").text
    )
    assert 'fitd_tracker_up{tracker="tensorboard"} 1.0' in service.client.get("/metrics").text
    doctor = fitd("doctor", "--data-dir", str(service.data_dir), **settings).stdout
    assert "ok   tensorboard        last told" in doctor
