"""A backup of a service in the middle of its work, and a service that goes on from it elsewhere."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Service
from tests.retention.test_keeper import wait_until
from tests.service.test_faults import ended, outcome, progressing
from tests.service.test_survival import causes, demanding
from tests.test_commands import fitd, refused

EPOCHS = 1200


class Client:
    """Submits one job after the other, and notes those that were acknowledged."""

    def __init__(self, service: Service, spec: dict[str, Any]) -> None:
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(service, spec))
        self._thread.start()

    def _run(self, service: Service, spec: dict[str, Any]) -> None:
        while not self._stop.is_set():
            self.acknowledged.append(service.submit(spec, wait=5)["id"])

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def outcomes(service: Service, job_ids: list[str]) -> dict[str, Any]:
    done = [one for one in job_ids if service.job(one)["status"] == "succeeded"]
    return {one: outcome(service, one) for one in done}


@pytest.mark.timeout(300)
def test_a_service_goes_on_elsewhere_from_a_backup_of_its_busy_hours(
    own_service: Callable[..., Service], tutorial: dict[str, Any], tmp_path: Path
) -> None:
    settings = {"FITD_SLOTS": "2", "FITD_CHECKPOINT_SECONDS": "0.3"}
    busy, dest = own_service(**settings), tmp_path / "backup"
    training = busy.submit(demanding(EPOCHS), wait=0)["id"]
    short = {**tutorial, "training": {**tutorial["training"], "epochs": 200}}
    clients = [Client(busy, short) for _ in range(2)]
    uploaded = busy.client.post(
        "/v1/datasets", content=b"x,y\n1,2\n3,4\n", headers={"content-type": "text/csv"}
    )
    assert uploaded.status_code == 201, uploaded.text
    busy.wait_for(training, progressing)
    wait_until(lambda: all(len(client.acknowledged) > 2 for client in clients))
    before = [one for client in clients for one in list(client.acknowledged)]
    made = fitd("backup", str(dest), "--data-dir", str(busy.data_dir))
    for client in clients:
        client.stop()
    assert made.returncode == 0, made.stderr
    assert not ended(busy.job(training)), "the training was over before the backup was: nothing was tried"
    refused(fitd("backup", str(dest), "--data-dir", str(busy.data_dir)), 1, "not empty")

    restored = fitd("restore", str(dest), "--data-dir", str(tmp_path / "data1"))
    assert restored.returncode == 0, restored.stderr
    there = own_service(**settings)
    assert there.data_dir == tmp_path / "data1"
    for job_id in before:
        assert there.wait_for(job_id, ended, seconds=60)["status"] == "succeeded"
    for job_id, found in outcomes(busy, before).items():
        assert outcome(there, job_id) == found
    assert there.client.get(uploaded.headers["location"]).json()["rows"] == 2
    done = there.wait_for(training, ended, seconds=120)
    assert (done["status"], done["attempt"], causes(done)) == ("succeeded", 2, ["restored"])
    busy.wait_for(training, ended, seconds=120)
    assert outcome(there, training) == outcome(busy, training)
    refused(fitd("restore", str(dest), "--data-dir", str(there.data_dir)), 1, "in use")
