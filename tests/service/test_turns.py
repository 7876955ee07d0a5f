"""A busy service with one slot: long jobs give way, queued jobs of one shape are trained together, and a crash of their
process costs none of them its result."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.stage import demanding
from tests.conftest import Service
from tests.service.test_faults import ended, outcome, progressing
from tests.service.test_survival import arm, ask, causes, gone_off

FAIR_SECONDS = 0.6


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One slot; a single crash of its own fails a job."""
    folder = tmp_path_factory.mktemp("turns")
    (folder / "failpoints").mkdir()
    running = Service(
        folder / "data",
        FITD_SLOTS="1",
        FITD_FAIR_SECONDS=str(FAIR_SECONDS),
        FITD_MAX_CRASHES="1",
        FITD_FAILPOINTS_DIR=str(folder / "failpoints"),
    )
    yield running
    running.close()


def short(tutorial: dict[str, Any], seed: int) -> dict[str, Any]:
    return {**tutorial, "training": {"epochs": 50, "seed": seed}}


def test_short_jobs_do_not_wait_for_the_end_of_a_long_one_which_ends_as_if_nothing_had_been(
    single: Service, tutorial: dict[str, Any]
) -> None:
    undisturbed = single.submit(demanding(500), wait=60)
    long = single.submit(demanding(500), wait=0)
    single.wait_for(long["id"], progressing)
    waiting = [single.submit(short(tutorial, seed), wait=0)["id"] for seed in range(4)]
    done = [single.job(one, wait=30) for one in waiting]
    assert {one["status"] for one in done} == {"succeeded"}
    assert not single.job(long["id"])["terminal"]
    again = single.wait_for(long["id"], ended, seconds=60)
    assert "gave_way" in causes(again)
    assert again["attempt"] >= 2
    assert outcome(single, long["id"]) == outcome(single, undisturbed["id"])


def test_a_killed_runner_costs_no_job_of_a_bundle_its_end_and_only_the_guilty_one_fails(
    single: Service, tutorial: dict[str, Any]
) -> None:
    alone = single.submit(short(tutorial, 1))
    blocker = single.submit({**demanding(100_000), "priority": 1}, wait=0)
    single.wait_for(blocker["id"], progressing)
    waiting = [single.submit(short(tutorial, 1), wait=0)["id"] for _ in range(5)]
    arm(single, "begun")
    ask(single, blocker["id"], "cancel")
    single.wait_for(waiting[-1], lambda one: one["attempt"] == 1 and one["status"] == "queued")
    assert gone_off(single, "begun")
    # Now each is tried by itself: what kills its process again is the first one's own doing.
    arm(single, "begun")
    done = [single.wait_for(one, ended, seconds=60) for one in waiting]
    assert [one["status"] for one in done] == ["failed"] + ["succeeded"] * 4
    assert done[0]["error"]["code"] == "worker_crashed"
    assert [one["attempt"] for one in done] == [2] * 5
    assert all("runner_died" in causes(one) for one in done)
    for one in waiting[1:]:
        assert outcome(single, one) == outcome(single, alone["id"])
