"""A sweep may be killed at any moment: the next one ends it, and no row ever lacks its file."""

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from service.retention.sweeper import sweep_once
from tests.conftest import ROOT
from tests.retention.household import AT_ONCE, Household

RULES = {"jobs_days": 1.0, "datasets_days": 1.0, "events_days": 1.0, "leftovers_hours": AT_ONCE}


def sweeper_of(house: Household, *lines: str) -> subprocess.Popen[bytes]:
    """A process that sweeps; `lines` run before it begins."""
    code = (
        "import os, signal, threading",
        "from service.db import Database",
        "from service.retention import sweeper",
        "from service.settings import Settings",
        "from service.storage.checkpoints import CheckpointStore",
        "from service.tables.store import DatasetStore",
        "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)",
        "def then_die(act): return lambda *given: (act(*given), die())",
        "sweeper.JOBS_AT_ONCE = 5; sweeper.DATASETS_AT_ONCE = 2; sweeper.EVENTS_AT_ONCE = 2",
        "settings = Settings()",
        "database = Database(settings.effective_database_url)",
        "print(flush=True)",
        *lines,
        "sweeper.sweep_once(settings, database)",
    )
    environment = {
        **os.environ,
        "FITD_DATA_DIR": str(house.settings.data_dir),
        "FITD_DATABASE_URL": house.settings.database_url,
        **{f"FITD_RETENTION__{name.upper()}": str(value) for name, value in RULES.items()},
    }
    command = [sys.executable, "-c", "\n".join(code)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


def furnish(house: Household, count: int) -> dict[str, Any]:
    """Fill the house with what may go and what may not; gives the rows of what may not."""
    stays = []
    for number in range(count):
        dataset = house.upload(f"x,y\n{number},1\n2,3\n", days_ago=9)
        job_id = house.ended(days_ago=9, reports=3, dataset_id=dataset.id)
        if number % 4 == 0:
            needed = house.upload(f"x,y\n{number},5\n2,3\n", days_ago=9)
            running = house.running()
            house.checkpoint(running, 1)
            house.alter(running.id, dataset_id=needed.id, init_job_id=job_id)
            stays += [running.id, job_id]
        else:
            house.checkpoints.write(job_id, 1, 1, b"left behind")
    return {job_id: (house.job(job_id), house.parameters(job_id)) for job_id in stays}


def assert_settled(house: Household, stays: dict[str, Any]) -> None:
    assert house.ids() == set(stays)
    for job_id, (job, parameters) in stays.items():
        assert vars(house.job(job_id)) | {"_sa_instance_state": None} == vars(job) | {
            "_sa_instance_state": None
        }
        assert house.parameters(job_id) == parameters
    assert len(house.dataset_ids()) == len(stays) // 2
    house.assert_whole()


def test_a_sweep_that_is_killed_again_and_again_gets_there(house: Household) -> None:
    stays = furnish(house, 40)
    left, longest = [len(house.ids())], 0.25
    for _ in range(4):
        child = sweeper_of(house)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.uniform(0.0, longest))  # noqa: S311 - no secret
        child.kill()
        child.communicate()
        left.append(len(house.ids()))
        if left[-1] == left[-2]:  # On a slow machine it had not begun.
            longest *= 2
        with house.datasets.exclusive():  # Nothing is held by the dead.
            pass
    assert left[-1] < left[0]
    sweep_once(house.with_rules(**RULES), house.database)
    assert_settled(house, stays)


@pytest.mark.parametrize(
    "deadly",
    [
        "CheckpointStore.remove_job = die",
        "CheckpointStore.sweep = die",
        "CheckpointStore.remove_job = then_die(CheckpointStore.remove_job)",
        "DatasetStore.remove = die",
        "DatasetStore.remove = then_die(DatasetStore.remove)",
        "DatasetStore.note_use = die",
        "DatasetStore.sweep = die",
        "import shutil; shutil.rmtree = die",
    ],
)
def test_a_sweep_that_dies_between_row_and_file_leaves_only_leftovers(house: Household, deadly: str) -> None:
    stays = furnish(house, 8)
    child = sweeper_of(house, deadly)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    with house.database.read() as session:
        from service.datasets import repository

        for digest in repository.digests(session):
            assert house.datasets.has(digest)
    sweep_once(house.with_rules(**RULES), house.database)
    sweep_once(
        house.with_rules(**RULES), house.database
    )  # Whose jobs went in this one may be found in the next.
    assert_settled(house, stays)
