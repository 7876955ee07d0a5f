"""A sweep goes on from what is recorded, whoever brings it on, wherever it was interrupted."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import failpoints
from service.datasets import service as datasets
from service.doorbell import JOB_CHANGED, JOB_QUEUED
from service.exceptions import InvalidSpec
from service.jobs.orm import Job
from service.jobs.quotas import Bounds
from service.sweeps import advancing, service
from service.sweeps.advancing import Advancer
from service.sweeps.orm import SweepTrial
from tests.jobs.desk import OWNER
from tests.jobs.test_races import dataset
from tests.sweeps.bodies import GRID, HALVING, LR, OPTIMIZERS, RANDOM, SPEC
from tests.sweeps.sweep_desk import SweepDesk

TPE = {"type": "tpe", "trials": 6, "seed": 3, "parallel": 2}
SEARCHES = pytest.mark.parametrize("search", [GRID, RANDOM, TPE, HALVING], ids=lambda one: one["type"])
PARAMETERS = {"/optimizer": OPTIMIZERS, "/optimizer/lr": {**LR, "points": 3}}


class Died(BaseException):
    """As of a process that is killed: nobody catches it."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the moments at which whoever gets there dies, each once."""
    moments: list[str] = []

    def hit(name: str) -> None:
        assert name in failpoints.NAMES
        if name in moments:
            moments.remove(name)
            raise Died

    monkeypatch.setattr(advancing.failpoints, "hit", hit)
    yield moments
    assert moments == []


@SEARCHES
def test_a_sweep_is_trained_to_its_end(desk: SweepDesk, search: dict[str, object]) -> None:
    sweep_id = desk.sweep(search, parameters=PARAMETERS)
    desk.train_all()
    found = desk.found(sweep_id)
    assert (found.status, found.added) == ("succeeded", found.planned)
    assert found.finished_at is not None
    rows = desk.trials(sweep_id)
    assert [row.trial.number for row in rows] == list(range(found.planned))
    assert [row.objective for row in rows] == [1 / (1 + number) for number in range(found.planned)]
    assert (JOB_CHANGED, sweep_id) in desk.bell.rung


def test_each_trial_is_a_job_of_the_spec_with_its_values(desk: SweepDesk) -> None:
    sweep_id = desk.begun(name="lines", parameters=PARAMETERS)
    spec = desk.spec(sweep_id)
    seeds = set()
    for row in desk.trials(sweep_id):
        assert row.job is not None
        sent = desk.body(row.job)
        optimizer = OPTIMIZERS["values"][row.trial.point["/optimizer"]]
        lr = row.trial.point["/optimizer/lr"]
        assert sent["optimizer"] == {**optimizer, "lr": lr}
        assert {**sent, "optimizer": 0, "training": 0, "name": 0} == {
            **SPEC,
            "optimizer": 0,
            "training": 0,
            "name": 0,
        }
        assert sent["name"] == row.job.name == f"lines #{row.trial.number}"
        assert (row.job.sweep_id, row.job.trial) == (sweep_id, row.trial.number)
        seeds.add(row.job.seed)
    assert seeds == {spec.seed} == {3}
    assert desk.bell.rung.count((JOB_QUEUED, "-")) == 1


def test_a_longer_rung_is_the_same_training_with_more_epochs(desk: SweepDesk) -> None:
    sweep_id = desk.sweep(HALVING)
    desk.train_all(lambda job: desk.body(job)["optimizer"]["lr"])
    rows = desk.trials(sweep_id)
    assert [row.trial.rung for row in rows] == [0] * 9 + [1] * 3 + [2]
    for row in rows[9:]:
        before = rows[row.trial.repeats or 0]
        assert row.job is not None
        assert before.job is not None
        one, other = desk.body(row.job), desk.body(before.job)
        assert one["training"]["epochs"] == row.job.epochs == 3 * before.job.epochs
        assert {**one, "training": 0, "name": 0} == {**other, "training": 0, "name": 0}
        assert row.job.seed == before.job.seed
    lowest = sorted(row.trial.point["/optimizer/lr"] for row in rows[:9])
    assert rows[-1].trial.point["/optimizer/lr"] == lowest[0]


@SEARCHES
def test_whoever_dies_while_adding_trials_takes_none_along_and_leaves_none_twice(
    desk: SweepDesk, failing: list[str], search: dict[str, object]
) -> None:
    undisturbed, sweep_id = (desk.sweep(search, parameters=PARAMETERS) for _ in range(2))
    while desk.status_of(sweep_id) == "running":
        failing += ["sweep_advancing", "sweep_advanced"]
        for _ in range(3):
            with suppress(Died):
                desk.advancer().advance(sweep_id)
        failing.clear()  # Where nothing was added, nobody came to these moments.
        desk.advancer().advance(undisturbed)
        for ref in desk.claim(100):
            desk.train(ref, 1 / (1 + (desk.job(ref.id).trial or 0)))
    first, second = ([row.trial.point for row in desk.trials(one)] for one in (undisturbed, sweep_id))
    assert first == second
    assert len(desk.jobs(sweep_id)) == len(first)


def overtaking(advancer: Advancer, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something done after the next trials are prepared, before they are added."""
    add = advancer._add

    def overtaken(*arguments: Any) -> bool:  # noqa: ANN401
        monkeypatch.setattr(advancer, "_add", add)
        act()
        return add(*arguments)

    monkeypatch.setattr(advancer, "_add", overtaken)


@SEARCHES
def test_two_workers_at_once_make_no_trial_twice(
    desk: SweepDesk, monkeypatch: pytest.MonkeyPatch, search: dict[str, object]
) -> None:
    sweep_id = desk.sweep(search, parameters=PARAMETERS)
    one = desk.advancer()
    overtaking(one, monkeypatch, lambda: desk.advancer().advance(sweep_id))
    one.advance(sweep_id)
    numbers = [row.trial.number for row in desk.trials(sweep_id)]
    assert numbers == list(range(len(numbers)))
    assert len(desk.jobs(sweep_id)) == len(numbers) == desk.found(sweep_id).wanted


@pytest.mark.parametrize(("verb", "ends"), [("cancel", "cancelled"), ("pause", "paused")])
def test_what_is_asked_while_trials_are_prepared_is_heard(
    desk: SweepDesk, monkeypatch: pytest.MonkeyPatch, verb: str, ends: str
) -> None:
    sweep_id = desk.sweep()
    advancer = desk.advancer()

    def ask() -> None:
        with desk.database.write() as session:
            getattr(service, verb)(session, sweep_id, owner=OWNER)

    overtaking(advancer, monkeypatch, ask)
    advancer.advance(sweep_id)
    assert (desk.status_of(sweep_id), desk.jobs(sweep_id)) == (ends, [])


def test_room_that_others_take_while_trials_are_prepared_is_not_taken_twice(
    desk: SweepDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = desk.sweep()
    advancer = desk.advancer(max_queued_jobs=4)
    overtaking(advancer, monkeypatch, lambda: [desk.submit() for _ in range(3)])
    advancer.advance(sweep_id)
    assert len(desk.jobs(sweep_id)) == 1


def test_the_database_itself_refuses_a_second_job_of_one_trial(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    with pytest.raises(sa.exc.IntegrityError), desk.database.write() as session:
        session.execute(sa.update(Job).where(Job.sweep_id == sweep_id, Job.trial == 1).values(trial=0))


def test_many_trials_are_added_in_small_transactions(
    desk: SweepDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advancing, "AT_ONCE", 4)
    sweep_id = desk.begun({**RANDOM, "trials": 10})
    assert len(desk.jobs(sweep_id)) == 10
    assert desk.bell.rung.count((JOB_QUEUED, "-")) == 3
    assert desk.asked("cancel", sweep_id) == "cancelled"


def test_a_request_begins_and_leaves_the_rest_to_workers(
    desk: SweepDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advancing, "AT_ONCE", 2)
    sweep_id = desk.sweep()
    desk.advancer().advance(sweep_id, steps=2)
    assert len(desk.jobs(sweep_id)) == 4
    desk.advance()
    assert len(desk.jobs(sweep_id)) == 5


def test_trials_wait_while_the_queue_is_full(desk: SweepDesk) -> None:
    sweep_id = desk.sweep()
    desk.submit()
    for _ in range(2):
        desk.advance(max_queued_jobs=3)
        assert len(desk.jobs(sweep_id)) == 2
    desk.claim(3)
    desk.advance(max_queued_jobs=3)
    assert len(desk.jobs(sweep_id)) == 5


def test_trials_wait_for_the_quota_of_the_key(desk: SweepDesk) -> None:
    desk.submit(owner="another")
    sweep_id = desk.sweep(bounds=Bounds(max_unfinished_jobs=2))
    added = []
    while desk.status_of(sweep_id) == "running":
        desk.advance()
        added.append(len(desk.jobs(sweep_id)))
        assert desk.statuses(sweep_id).count("queued") <= 2
        for ref in desk.claim(100):
            desk.train(ref)
    assert added[:3] == [2, 4, 5]


def test_a_sweep_of_which_nothing_succeeds_has_failed(desk: SweepDesk) -> None:
    sweep_id = desk.sweep()
    desk.train_all(lambda _: None)
    found = desk.found(sweep_id)
    assert found.status == "failed"
    assert found.error is not None
    assert found.error["code"] == "no_trial_succeeded"


def test_one_that_succeeds_is_enough(desk: SweepDesk) -> None:
    sweep_id = desk.sweep()
    desk.train_all(lambda job: 1.0 if job.trial == 3 else None)
    assert desk.status_of(sweep_id) == "succeeded"
    assert [row.objective for row in desk.trials(sweep_id)] == [None, None, None, 1.0, None]


def test_a_member_that_is_cancelled_by_itself_counts_as_ended(desk: SweepDesk) -> None:
    sweep_id = desk.begun(TPE)
    desk.cancel(desk.jobs(sweep_id)[0].id)
    desk.train_all()
    assert desk.status_of(sweep_id) == "succeeded"
    assert desk.statuses(sweep_id).count("cancelled") == 1


def test_a_trial_whose_spec_is_refused_by_now_has_failed_and_the_others_go_on(desk: SweepDesk) -> None:
    found = dataset(desk.database)
    spec = {**SPEC, "data": {"type": "dataset", "id": found.id, "features": ["x"], "target": "y"}}
    sweep_id = desk.begun(TPE, spec=spec)
    for ref in desk.claim(2):
        desk.train(ref)
    with desk.database.write() as session:
        datasets.delete(session, datasets.get(session, found.id, owner="somebody"))
    desk.train_all()
    rows = desk.trials(sweep_id)
    assert [row.job is None for row in rows] == [False] * 2 + [True] * 4
    assert {row.trial.error["code"] for row in rows[2:] if row.trial.error} == {"unknown_dataset"}
    assert desk.status_of(sweep_id) == "succeeded"


def test_a_dataset_that_goes_at_the_last_moment_leaves_the_sweep_as_it_was(
    desk: SweepDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise InvalidSpec([])

    sweep_id = desk.sweep()
    with monkeypatch.context() as patched:
        patched.setattr(advancing.jobs, "submit", gone)
        desk.advance()
    with desk.database.read() as session:
        assert session.scalars(sa.select(SweepTrial)).all() == []
    desk.advance()
    assert len(desk.jobs(sweep_id)) == 5


RESULTS: list[tuple[str, dict[str, object], float | None]] = [
    ("dev_loss", {}, 0.5),
    ("train_loss", {}, 0.25),
    ("dev_loss", {"cross_validation": {"loss": {"mean": 0.75}}}, 0.75),
    ("dev.r2", {"metrics": {"dev": {"r2": 0.9}}}, 0.9),
    ("dev.r2", {"metrics": {}, "cross_validation": {"r2": {"mean": 0.8}}}, 0.8),
    ("train.r2", {"metrics": {"train": {"r2": 0.7}}, "cross_validation": {"r2": {"mean": 0.8}}}, 0.7),
    ("dev.r2", {"metrics": {"dev": {"r2": None}}}, None),
]


def test_the_objective_is_read_from_the_result(desk: SweepDesk) -> None:
    for monitor, result, value in RESULTS:
        sweep_id = desk.begun({**RANDOM, "trials": 1}, objective={"monitor": monitor})
        (ref,) = desk.claim()
        desk.train(ref, 0.5, **result)
        (row,) = desk.trials(sweep_id)
        assert row.objective == value, (monitor, result)


def test_all_is_paused_and_goes_on_as_one(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    running = desk.claim(2)
    desk.train(running[0])
    assert desk.asked("pause", sweep_id) == "pausing"
    assert desk.statuses(sweep_id) == ["succeeded", "pausing", "paused", "paused", "paused"]
    assert desk.claim(100) == []
    desk.let_go(running[1])
    desk.advance()
    assert desk.status_of(sweep_id) == "paused"
    assert desk.asked("pause", sweep_id) == "paused"
    assert desk.asked("resume", sweep_id) == "running"
    assert desk.statuses(sweep_id) == ["succeeded"] + ["queued"] * 4
    desk.train_all()
    assert desk.status_of(sweep_id) == "succeeded"


def test_a_pause_can_be_called_off(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    desk.claim(2)
    assert desk.asked("pause", sweep_id) == "pausing"
    assert desk.asked("resume", sweep_id) == "running"
    assert desk.statuses(sweep_id) == ["running"] * 2 + ["queued"] * 3


def test_no_trial_is_added_while_a_sweep_stands_still(desk: SweepDesk) -> None:
    sweep_id = desk.begun(TPE)
    refs = desk.claim(2)
    desk.asked("pause", sweep_id)
    for ref in refs:
        desk.train(ref)
    desk.advance()
    assert (desk.status_of(sweep_id), len(desk.jobs(sweep_id))) == ("paused", 2)
    desk.asked("resume", sweep_id)
    assert len(desk.jobs(sweep_id)) == 4


def test_all_is_cancelled_as_one(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    running = desk.claim(2)
    desk.train(running[0])
    desk.pause(desk.jobs(sweep_id)[4].id)
    assert desk.asked("cancel", sweep_id) == "cancelling"
    assert desk.statuses(sweep_id) == ["succeeded", "cancelling", "cancelled", "cancelled", "cancelled"]
    desk.let_go(running[1])
    desk.advance()
    found = desk.found(sweep_id)
    assert (found.status, desk.statuses(sweep_id)[1]) == ("cancelled", "cancelled")
    assert found.finished_at is not None
    assert [row.objective for row in desk.trials(sweep_id)] == [1.0] + [None] * 4


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_whoever_dies_between_the_asking_and_the_doing_is_followed_by_another(
    desk: SweepDesk, failing: list[str], verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advancing, "AT_ONCE", 2)
    sweep_id = desk.begun()
    failing.append("sweep_asked")
    with pytest.raises(Died):
        desk.asked(verb, sweep_id)
    assert desk.statuses(sweep_id) == ["queued"] * 5
    desk.advance()
    assert set(desk.statuses(sweep_id)) == {desk.status_of(sweep_id)}


def test_the_moments_are_described(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "failpoints.md").read_text("utf-8")
    for name in ("sweep_advancing", "sweep_advanced", "sweep_asked"):
        assert f"`{name}`" in page
