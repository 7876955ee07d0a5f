"""A job predicts while it still trains, and says from which checkpoint; rows come and go as CSV too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.api.underway import newest
from service.exceptions import CheckpointNotFound
from service.jobs import service as jobs
from service.jobs.attempts import JobRef
from service.training import callbacks
from service.worker.orders import Orders
from tests.conftest import TUTORIAL
from tests.inline import Inline

SPEC: dict[str, Any] = {
    **TUTORIAL,
    "model": {"type": "mlp", "hidden": [4]},
    "training": {"epochs": 8, "seed": 0, "engine": "eager"},
}
GROUPED: dict[str, Any] = {
    **TUTORIAL,
    "data": {
        "type": "inline",
        "columns": {
            "x": [float(row % 7) for row in range(40)],
            "y": [float(row % 7 + row % 2) for row in range(40)],
            "sensor": ["a", "b"] * 20,
        },
        "target": "y",
        "group_by": "sensor",
    },
    "training": {"epochs": 20, "seed": 0},
}
COLUMNS = {"columns": {"x": [0.0, 0.5, 2.0]}}


class Patience(Orders):
    """Lets a training run for so many pulses, and then the worker stops: a checkpoint is left."""

    def __init__(self, pulses: int) -> None:
        self._left = pulses

    def reason_to_leave(self, ref: JobRef) -> str | None:  # noqa: ARG002 - the signature of orders
        self._left -= 1
        return "drain" if self._left < 0 else None

    def stay(self) -> None:
        """Stay."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Inline]:
    with (
        pytest.MonkeyPatch.context() as patch,
        Inline(tmp_path_factory.mktemp("underway") / "data", sqlite_template) as service,
    ):
        patch.setattr(callbacks, "PULSE_SECONDS", 0.0)
        yield service


def put_down(service: Inline, job_id: str, *, pulses: int) -> None:
    """Train a job a little further, and leave it as the worker's stop does."""
    service.train_for(Patience(pulses))
    assert not service.job(job_id)["terminal"]


def predict(service: Inline, job_id: str, **headers: str) -> Any:  # noqa: ANN401 - an answer
    return service.client.post(f"/v1/jobs/{job_id}/predict", json=COLUMNS, headers=headers)


def test_a_job_predicts_from_its_newest_checkpoint(service: Inline) -> None:
    job = service.queue(SPEC)
    told = predict(service, job)
    assert (told.status_code, told.json()["code"]) == (409, "state_conflict")
    assert "checkpoint" in told.json()["detail"]
    assert f"/v1/jobs/{job}?wait=30" in told.json()["hint"]
    found = []
    for number in (1, 2):
        put_down(service, job, pulses=2)
        answer = predict(service, job)
        (newest, *_) = service.client.get(f"/v1/jobs/{job}/checkpoints").json()["data"]
        assert answer.status_code == 200, answer.text
        assert answer.json()["checkpoint"] == {"number": number, "epoch": newest["epoch"]}
        assert answer.headers["fitd-checkpoint-epoch"] == str(newest["epoch"])
        assert answer.json()["job_id"] == job
        found.append(answer.json()["columns"]["y"])
        shorter = {**SPEC, "training": {**SPEC["training"], "epochs": newest["epoch"]}}
        assert found[-1] == _alone(service, shorter)
    assert found[0] != found[1]
    service.train()
    answer = predict(service, job)
    assert "checkpoint" not in answer.json()
    assert "fitd-checkpoint-epoch" not in answer.headers
    assert answer.json()["columns"]["y"] not in found


def _alone(service: Inline, spec: dict[str, Any]) -> list[float]:
    """What a job of so many epochs predicts; it goes first, and the other stays where it is."""
    job = service.queue({**spec, "priority": 1})
    service.train(jobs=1)
    columns: list[float] = predict(service, job).json()["columns"]["y"]
    return columns


def test_every_form_of_answer_tells_the_epoch(service: Inline) -> None:
    job = service.queue(SPEC)
    put_down(service, job, pulses=2)
    for media in ("text/csv", "application/x-npy", "application/vnd.apache.arrow.stream"):
        answer = predict(service, job, Accept=media)
        assert answer.headers["content-type"].split(";")[0] == media
        assert answer.headers["fitd-checkpoint-epoch"].isdecimal()
    assert service.client.post(f"/v1/jobs/{job}/pause").status_code == 202
    assert service.job(job)["status"] == "paused"
    assert predict(service, job).status_code == 200
    service.client.post(f"/v1/jobs/{job}/cancel")
    assert predict(service, job).json()["code"] == "no_parameters"


def test_a_job_with_groups_is_refused_with_a_reason(service: Inline) -> None:
    job = service.queue(GROUPED)
    put_down(service, job, pulses=1)
    asked = {"columns": {"x": [1.0], "sensor": ["a"]}}
    told = service.client.post(f"/v1/jobs/{job}/predict", json=asked)
    assert (told.status_code, told.json()["code"]) == (409, "state_conflict")
    assert "groups" in told.json()["detail"]
    assert "wait=30" in told.json()["hint"]
    service.client.post(f"/v1/jobs/{job}/cancel")


def test_a_checkpoint_whose_file_is_gone_is_told(service: Inline) -> None:
    job = service.queue(SPEC)
    put_down(service, job, pulses=2)
    for file in (service.settings.checkpoints_dir / job).iterdir():
        file.unlink()
    told = predict(service, job)
    assert (told.status_code, told.json()["code"]) == (500, "checkpoint_damaged")
    service.client.post(f"/v1/jobs/{job}/cancel")


def test_a_checkpoint_that_was_replaced_meanwhile_is_looked_for_once_more(service: Inline) -> None:
    job_id = service.queue(SPEC)
    put_down(service, job_id, pulses=2)
    with service.database.read() as session:
        job = jobs.get(session, job_id, owner="local")
        found = newest(session, job, settings=service.settings)
    service.train()
    with service.database.read() as session, pytest.raises(CheckpointNotFound):
        found.load(session)
    assert service.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    with service.database.read() as session, pytest.raises(CheckpointNotFound):
        found.load(session)


def test_rows_come_and_go_as_csv(service: Inline) -> None:
    job = service.submit(SPEC)["id"]
    path = f"/v1/jobs/{job}/predict"
    expected = predict(service, job).json()["columns"]["y"]
    csv = {"Content-Type": "text/csv"}
    answer = service.client.post(path, content="x\n0\n0.5\n2\n", headers=csv)
    assert answer.json()["columns"]["y"] == expected
    answer = service.client.post(path, content="x\n0\n0.5\n2\n", headers={**csv, "Accept": "text/csv"})
    name, *lines = answer.text.splitlines()
    assert name == "y"
    np.testing.assert_array_equal([float(line) for line in lines], expected)
    assert predict(service, job, Accept="text/csv").text == answer.text
    told = service.client.post(path, content="x\n0\nmuch\n", headers=csv).json()
    assert [(one["pointer"], one["code"]) for one in told["errors"]] == [("/columns/x/1", "wrong_type")]
    told = service.client.post(path, content="z\n0\n", headers=csv).json()
    assert told["code"] == "column_mismatch"
