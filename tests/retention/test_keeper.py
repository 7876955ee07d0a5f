"""A worker sweeps by itself, and lives on whatever a sweep does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.db import Database
from service.retention.keeper import Keeper
from service.settings import Retention, Settings
from tests.conftest import Service
from tests.retention.household import AT_ONCE, Household
from tests.service.test_results import follow
from tests.test_commands import fitd, refused


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.05)


def test_a_worker_sweeps_by_itself(own_service: Callable[..., Service], tutorial: dict[str, Any]) -> None:
    service = own_service(FITD_SLOTS="1", FITD_RETENTION__EVERY_SECONDS="0.2", FITD_RETENTION__JOBS_KEPT="1")
    first = service.submit(tutorial)["id"]
    second = service.submit(tutorial)["id"]
    wait_until(lambda: service.client.get(f"/v1/jobs/{first}").status_code == 404)
    assert service.job(second)["status"] == "succeeded"
    wait_until(lambda: '"removed what may go"' in service.log)
    assert service.stop() < 5


def test_a_follower_of_a_job_without_old_events_gets_a_stream_that_is_true(
    own_service: Callable[..., Service], tutorial: dict[str, Any]
) -> None:
    service = own_service(
        FITD_SLOTS="1", FITD_RETENTION__EVERY_SECONDS="0.2", FITD_RETENTION__EVENTS_DAYS=str(AT_ONCE)
    )
    job_id = service.submit(
        {**tutorial, "training": {**tutorial["training"], "epochs": 6000, "engine": "eager"}}
    )["id"]
    wait_until(lambda: "removed what may go" in service.log)
    told = follow(service, job_id)
    assert [one["type"] for _, one in told] == ["status", "status", "log", "status"]
    assert follow(service, job_id, told[1][0]) == told[2:]
    history = service.client.get(f"/v1/jobs/{job_id}/history").json()["columns"]
    assert history["epoch"] == list(range(1, 6001))


def test_a_sweep_that_fails_is_logged_and_tried_again(
    house: Household, capsys: pytest.CaptureFixture[str], database: Database
) -> None:
    house.settings.workers_dir.parent.mkdir(exist_ok=True)
    house.settings.datasets_dir.touch()  # A file where the folder of the datasets should be.
    rules = Retention(every_seconds=0.05)
    settings = house.settings.model_copy(update={"retention": rules})
    with Keeper(settings, database) as keeper:
        wait_until(lambda: "sweep failed" in capsys.readouterr().out)
        assert keeper._thread.is_alive()
        job = house.ended(days_ago=1)
    assert job in house.ids()
    keeper._thread.join(10)  # It leaves with the sweep that it is in.
    assert not keeper._thread.is_alive()


def test_the_command_tells_what_it_removes(tmp_path: Path) -> None:
    refused(fitd("sweep", "--data-dir", str(tmp_path)), 1, "fitd migrate")
    assert fitd("migrate", "--data-dir", str(tmp_path)).returncode == 0
    settings = Settings(data_dir=tmp_path)
    house = Household(tmp_path, Database(settings.effective_database_url))
    kept, gone = house.ended(), house.ended(days_ago=3)
    rules = {"FITD_RETENTION__JOBS_DAYS": "2"}
    dry = fitd("sweep", "--dry-run", "--data-dir", str(tmp_path), **rules)
    assert (dry.returncode, dry.stdout.splitlines()[0]) == (0, "would remove 1 jobs that have ended")
    assert house.ids() == {kept, gone}
    done = fitd("sweep", "--data-dir", str(tmp_path), **rules)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "removed 1 jobs that have ended")
    assert house.ids() == {kept}
    house.database.close()


@pytest.mark.parametrize("name", ["JOBS_DAYS", "LEFTOVERS_HOURS", "EVERY_SECONDS"])
def test_a_wrong_rule_is_named(name: str) -> None:
    refused(fitd("doctor", **{f"FITD_RETENTION__{name}": "-1"}), 2, f"FITD_RETENTION__{name}: ")
