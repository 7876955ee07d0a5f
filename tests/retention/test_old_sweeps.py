"""Sweeps go with their jobs, and their jobs with nothing else."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from service.db import now
from service.jobs.orm import Job
from service.retention import sweeper
from service.retention.sweeper import Swept, sweep_once
from service.sweeps import expiry as sweep_expiry
from service.sweeps.orm import Sweep
from tests.retention.household import Household
from tests.sweeps.bodies import TPE
from tests.sweeps.sweep_desk import SweepDesk


def ended(house: Household, *, days_ago: float, owner: str = "somebody") -> str:
    """A sweep of five jobs that ended so long ago."""
    desk = SweepDesk(house.database)
    sweep_id = desk.sweep()
    desk.train_all()
    with house.database.write() as session:
        then = now() - timedelta(days=days_ago)
        session.execute(sa.update(Sweep).where(Sweep.id == sweep_id).values(finished_at=then, owner=owner))
        session.execute(sa.update(Job).where(Job.sweep_id == sweep_id).values(finished_at=then))
    return sweep_id


def sweeps(house: Household) -> set[str]:
    with house.database.read() as session:
        return set(session.scalars(sa.select(Sweep.id)))


def test_sweeps_go_by_age_with_their_jobs(house: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "JOBS_AT_ONCE", 2)
    ended(house, days_ago=8)
    young = ended(house, days_ago=6)
    going = SweepDesk(house.database).begun()
    settings = house.with_rules(jobs_days=7)
    expected = Swept(5, 0, 0, 0, 0, 1)
    assert sweep_once(settings, house.database, dry_run=True) == expected
    assert sweep_once(settings, house.database) == expected
    assert sweeps(house) == {young, going}
    assert len(house.ids()) == 10
    assert "1 sweeps that have ended" in list(expected.in_words())


def test_the_jobs_of_a_sweep_are_neither_counted_nor_removed_by_themselves(house: Household) -> None:
    kept = ended(house, days_ago=1)
    alone = [house.ended(days_ago=days) for days in (3, 2)]
    swept = sweep_once(house.with_rules(jobs_kept=1), house.database)
    assert swept == Swept(1, 0, 0, 0, 0)
    assert sweeps(house) == {kept}
    assert house.ids() >= {alone[1]}
    assert len(house.ids()) == 6


def test_of_each_owner_so_many_sweeps_are_kept_that_ended_last(house: Household) -> None:
    mine = [ended(house, days_ago=days) for days in (1, 2)]
    theirs = ended(house, days_ago=9, owner="ann")
    assert sweep_once(house.with_rules(jobs_kept=1), house.database) == Swept(5, 0, 0, 0, 0, 1)
    assert sweeps(house) == {mine[0], theirs}


def test_a_sweep_stays_while_a_job_that_has_not_ended_starts_from_one_of_its_own(house: Household) -> None:
    sweep_id = ended(house, days_ago=9)
    user = house.submit()
    first = SweepDesk(house.database).jobs(sweep_id)[0].id
    rules = house.with_rules(jobs_days=7)
    survey = sweeper._survey(rules, house.database)
    house.alter(user, init_job_id=first)
    assert sweep_once(rules, house.database) == Swept(0, 0, 0, 0, 0)
    assert len(house.ids()) == 6
    # Submitted after the survey: what can go goes, the sweep stays with the job that is needed.
    carried = sweeper._Sweep(rules, house.database, threading.Event()).carry_out(survey)
    assert carried == Swept(4, 0, 0, 0, 0, 0)
    assert sweeps(house) == {sweep_id}
    house.cancel(user)
    assert sweep_once(rules, house.database) == Swept(1, 0, 0, 0, 0, 1)
    assert sweeps(house) == set()


def test_a_dataset_stays_while_a_sweep_needs_it_although_no_job_does(house: Household) -> None:
    needed, other = house.upload(days_ago=9), house.upload("x,y\n5,6\n7,8\n", days_ago=9)
    desk = SweepDesk(house.database)
    sweep_id = desk.begun({**TPE, "trials": 4}, objective={"monitor": "train_loss"})
    with house.database.write() as session:
        session.execute(sa.update(Job).values(dataset_id=needed.id))
    for ref in desk.claim(9):
        desk.train(ref)
    settings = house.with_rules(datasets_days=1e-9)
    survey = sweeper._Survey(now(), {}, [], [], [], [needed.seq, other.seq], [])
    with house.database.read() as session:
        assert sweep_expiry.sweep_that_needs(session, needed.id) == sweep_id
        assert sweep_expiry.sweep_that_needs(session, other.id) is None
    swept = sweeper._Sweep(settings, house.database, threading.Event()).carry_out(survey)
    assert (swept.datasets, house.dataset_ids()) == (1, {needed.id})
    assert sweep_once(settings, house.database).datasets == 0
    desk.asked("cancel", sweep_id)
    assert sweep_once(settings, house.database).datasets == 1
