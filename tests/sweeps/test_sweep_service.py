"""What callers can do with sweeps."""

import pytest
import sqlalchemy as sa

from service.exceptions import (
    IdempotencyConflict,
    InvalidRequest,
    QueueFull,
    QuotaExceeded,
    StateConflict,
    SweepNotFound,
)
from service.jobs.orm import Job
from service.jobs.quotas import Bounds
from service.jobs.repository import JobFilter
from service.jobs.service import list_jobs
from service.sweeps import repository, service
from service.sweeps.spec import Objective
from tests.jobs.desk import OWNER
from tests.sweeps.bodies import RANDOM, TPE
from tests.sweeps.sweep_desk import SweepDesk


def test_the_same_key_with_the_same_body_gives_the_same_sweep(desk: SweepDesk) -> None:
    first = desk.sweep(key="k")
    assert desk.sweep(key="k") == first
    assert desk.sweep(key="k", owner="another") != first
    with pytest.raises(IdempotencyConflict):
        desk.sweep(key="k", name="other")


def test_a_sweep_is_refused_where_not_even_its_first_job_has_room(desk: SweepDesk) -> None:
    desk.submit()
    with pytest.raises(QueueFull):
        desk.sweep(bounds=Bounds(max_queued_jobs=1))
    with pytest.raises(QuotaExceeded):
        desk.sweep(bounds=Bounds(max_unfinished_jobs=1))


def test_the_jobs_of_a_sweep_count_for_others(desk: SweepDesk) -> None:
    desk.begun()
    with pytest.raises(QuotaExceeded):
        desk.sweep(bounds=Bounds(max_unfinished_jobs=5))


def test_sweeps_are_listed_newest_first_and_only_one_s_own(desk: SweepDesk) -> None:
    ids = [desk.sweep(name=f"number {number}") for number in range(3)]
    desk.sweep(owner="another")
    with desk.database.read() as session:
        first, more = service.list_sweeps(session, owner=OWNER, limit=2, after=None)
        rest, none = service.list_sweeps(session, owner=OWNER, limit=2, after=first[-1].id)
        named, _ = service.list_sweeps(session, owner=OWNER, limit=9, after=None, name="number 1")
        ended, _ = service.list_sweeps(
            session, owner=OWNER, limit=9, after=None, statuses=[service.SweepStatus.FAILED]
        )
        with pytest.raises(InvalidRequest):
            service.list_sweeps(session, owner=OWNER, limit=9, after="sweep_none")
    assert [one.id for one in (*first, *rest)] == ids[::-1]
    assert (more, none) == (True, False)
    assert [one.id for one in named] == [ids[1]]
    assert ended == []


def test_another_s_sweep_is_as_if_it_were_not_there(desk: SweepDesk) -> None:
    sweep_id = desk.sweep(owner="another")
    for verb in (service.get, service.status_of, service.cancel, service.delete):
        with pytest.raises(SweepNotFound), desk.database.write() as session:
            verb(session, sweep_id, owner=OWNER)


def test_what_has_ended_cannot_be_asked_for_anything(desk: SweepDesk) -> None:
    sweep_id = desk.sweep()
    desk.train_all()
    for verb in ("cancel", "pause", "resume"):
        with pytest.raises(StateConflict, match="succeeded"):
            desk.asked(verb, sweep_id)


def test_a_running_sweep_cannot_be_resumed_and_a_cancelled_one_not_be_paused(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    with pytest.raises(StateConflict):
        desk.asked("resume", sweep_id)
    desk.claim(1)
    assert desk.asked("cancel", sweep_id) == desk.asked("cancel", sweep_id) == "cancelling"
    with pytest.raises(StateConflict):
        desk.asked("pause", sweep_id)


def test_a_sweep_is_deleted_with_its_jobs_when_it_has_ended(desk: SweepDesk) -> None:
    alone, sweep_id = desk.submit(), desk.sweep()
    with pytest.raises(StateConflict, match="running"):
        desk.remove(sweep_id)
    desk.train_all()
    desk.remove(sweep_id)
    rows = desk.everything()
    assert [len(rows[name]) for name in ("sweeps", "sweep_trials", "jobs")] == [0, 0, 1]
    assert desk.job(alone)


def test_a_job_of_a_sweep_is_not_deleted_alone(desk: SweepDesk) -> None:
    sweep_id = desk.sweep()
    desk.train_all()
    with pytest.raises(StateConflict, match="deleted with it"):
        desk.delete(desk.jobs(sweep_id)[0].id)


def test_a_sweep_from_which_an_unfinished_job_starts_is_not_deleted(desk: SweepDesk) -> None:
    sweep_id = desk.sweep()
    desk.train_all()
    user = desk.submit()
    first = desk.jobs(sweep_id)[0].id
    with desk.database.write() as session:
        session.execute(sa.update(Job).where(Job.id == user).values(init_job_id=first))
    with pytest.raises(StateConflict, match=user):
        desk.remove(sweep_id)
    assert len(desk.jobs(sweep_id)) == 5
    desk.cancel(user)
    desk.remove(sweep_id)


def test_the_best_is_the_lowest_or_the_highest_and_of_equal_ones_the_first(desk: SweepDesk) -> None:
    sweep_id = desk.begun()
    losses = [2.0, 0.5, 3.0, 0.5, None]
    desk.train_all(lambda job: losses[job.trial or 0])
    with desk.database.read() as session:
        sweep = service.get(session, sweep_id, owner=OWNER)
        lowest = repository.best(session, sweep, Objective())
        highest = repository.best(session, sweep, Objective(mode="max"))
    assert lowest is not None
    assert highest is not None
    assert (lowest.trial.number, highest.trial.number) == (1, 2)


def test_the_tally_sums_up_the_jobs_of_each_sweep(desk: SweepDesk) -> None:
    first, second = desk.begun(), desk.begun(TPE)
    (ref,) = desk.claim(1)
    desk.train(ref)
    with desk.database.read() as session:
        found = repository.tallies(session, [first, second, "sweep_none"])
    assert found[first].counts == {"succeeded": 1, "queued": 4}
    assert found[first].fraction == 1
    assert found[first].seconds == 1.5
    assert found[second].counts == {"queued": 2}
    assert found["sweep_none"].counts == {}


def test_jobs_are_listed_by_their_sweep(desk: SweepDesk) -> None:
    desk.submit()
    sweep_id = desk.begun({**RANDOM, "trials": 2})
    with desk.database.read() as session:
        found, _ = list_jobs(session, owner=OWNER, limit=9, after=None, only=JobFilter(sweep_id=sweep_id))
    assert [job.trial for job in found] == [1, 0]
