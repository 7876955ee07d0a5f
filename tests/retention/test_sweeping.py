"""What may go goes, and nothing that somebody still needs."""

import fcntl
import os
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.datasets.orm import DatasetSchema
from service.db import now
from service.doorbell import JOB_QUEUED, PipeListener
from service.jobs import expiry, workers
from service.jobs.orm import JobEvent
from service.registry import service
from service.retention import sweeper
from service.retention.sweeper import Swept, sweep_once
from service.worker.presence import Presence
from tests.jobs.desk import CANCELLED, FAILED
from tests.registry.model_desk import ModelDesk
from tests.retention.household import AT_ONCE, Household

NOTHING = Swept(0, 0, 0, 0, 0)


def sweep(house: Household, **rules: float) -> Swept:
    return sweep_once(house.with_rules(**rules), house.database)


def test_by_default_nothing_of_the_users_goes(house: Household) -> None:
    for how in (FAILED, CANCELLED):
        house.ended(days_ago=3000, how=how)
    house.upload(days_ago=3000)
    before = house.everything()
    assert sweep(house) == NOTHING
    assert house.everything() == before
    house.assert_whole()


def test_jobs_go_by_age_with_all_they_own(house: Household) -> None:
    old, young, queued = house.ended(days_ago=8), house.ended(days_ago=6), house.submit()
    running = house.running()
    for unfinished in (queued, running.id):
        house.alter(unfinished, created_at=now() - timedelta(days=100))
    assert sweep(house, jobs_days=7) == Swept(1, 0, 0, 0, 0)
    assert house.ids() == {young, queued, running.id}
    assert old not in house.ids()
    seqs = {house.job(one).seq for one in house.ids()}
    with house.database.read() as session:
        assert set(session.scalars(sa.select(JobEvent.job_seq))) <= seqs


def test_what_is_registered_outlives_the_job_and_the_dataset_that_go(house: Household) -> None:
    desk, dataset = ModelDesk(house.database), house.upload(days_ago=30)
    old = house.ended(days_ago=8, dataset_id=dataset.id)
    desk.register("line", old)
    swept = sweep(house, jobs_days=7, datasets_days=7)
    assert (swept.jobs, swept.datasets) == (1, 1)
    assert old not in house.ids()
    with house.database.read() as session:
        assert service.artifact_of(session, desk.find("line").digest).parameters == b"tensors"


def test_of_each_owner_so_many_are_kept_that_ended_last(house: Household) -> None:
    mine = [house.ended(days_ago=days) for days in (4, 1, 3, 2)]
    theirs = [house.ended(days_ago=days, owner="ann") for days in (9, 8)]
    waiting = house.submit()
    assert sweep(house, jobs_kept=2) == Swept(2, 0, 0, 0, 0)
    assert house.ids() == {mine[1], mine[3], *theirs, waiting}


def test_a_job_from_which_an_unfinished_one_starts_stays(house: Household) -> None:
    start, other = house.ended(days_ago=9), house.ended(days_ago=9)
    later = house.running()
    house.alter(later.id, init_job_id=start)
    sweep(house, jobs_days=1)
    assert house.ids() == {start, later.id}
    assert other not in house.ids()
    house.finish(later)
    sweep(house, jobs_days=1)
    assert house.ids() == {later.id}


def test_what_was_submitted_after_the_survey_is_seen(house: Household) -> None:
    start, dataset = house.ended(days_ago=9), house.upload(days_ago=9)
    settings = house.with_rules(jobs_days=1, datasets_days=1)
    survey = sweeper._survey(settings, house.database)
    assert (len(survey.jobs), len(survey.datasets)) == (1, 1)
    later = house.submit()
    house.alter(later, init_job_id=start, dataset_id=dataset.id)
    swept = sweeper._Sweep(settings, house.database, threading.Event()).carry_out(survey)
    assert swept == NOTHING
    assert house.ids() == {start, later}
    assert house.dataset_ids() == {dataset.id}
    house.assert_whole()


def test_a_job_of_many_events_goes_in_small_transactions(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "EVENTS_AT_ONCE", 10)
    job_id = house.ended(days_ago=9, reports=45)
    house.ended(days_ago=9)
    writes: list[int] = []
    write = house.database.write

    def counted() -> object:
        writes.append(1)
        return write()

    monkeypatch.setattr(house.database, "write", counted)
    sweep(house, jobs_days=1)
    assert job_id not in house.ids()
    assert 5 <= len(writes) <= 8
    assert set(house.owned_rows().values()) == {0}


def test_old_history_events_go_and_the_stream_says_so(house: Household) -> None:
    job_id, other = house.ended(days_ago=9, reports=5), house.ended(days_ago=1)
    before = house.events(job_id)
    ids = [event.id for event, _ in before]
    untouched = [event.id for event, _ in house.events(other)]
    assert sweep(house, events_days=5) == Swept(0, 1, 0, 0, 0)
    left = [event for event, _ in house.events(job_id)]
    assert [event.type for event in left] == ["status", "status", "log", "status"]
    assert [event.id for event in left] == [ids[0], ids[1], ids[-2], ids[-1]]
    assert "/history" in left[2].data["message"]
    assert house.epochs(job_id) == list(range(1, 16))
    assert [event.id for event, _ in house.events(other)] == untouched
    # Whoever resumes before the gap is told of it; whoever has seen all of them is told nothing twice.
    for seen in ids[1:-2]:
        assert [event.type for event, _ in house.events(job_id, after=seen)] == ["log", "status"]
    assert [event.type for event, _ in house.events(job_id, after=ids[-2])] == ["status"]
    assert sweep(house, events_days=5) == NOTHING


def test_a_sweep_that_was_cut_short_tells_only_once_that_events_are_gone(house: Household) -> None:
    job_id = house.ended(days_ago=9, reports=9)
    seq = house.job(job_id).seq
    with house.database.write() as session:
        assert expiry.remove_events(session, seq, limit=4) > 0
    told = [event.type for event, _ in house.events(job_id)]
    assert told.count("log") == 1
    assert 0 < told.count("history") < 8
    assert told[-2:] == ["log", "status"]
    sweep(house, events_days=1)
    assert [event.type for event, _ in house.events(job_id)] == ["status", "status", "log", "status"]


def test_a_job_without_history_has_no_events_to_remove(house: Household) -> None:
    job_id = house.ended(days_ago=9, reports=0)
    before = [event.id for event, _ in house.events(job_id)]
    assert sweep(house, events_days=1) == NOTHING
    assert [event.id for event, _ in house.events(job_id)] == before


def test_checkpoints_of_ended_jobs_go_and_those_of_unfinished_ones_stay(house: Household) -> None:
    running, done = house.running(), house.running()
    kept = house.checkpoint(running, 1)
    house.finish(done)
    house.checkpoint(done, 1)  # As versions left it that kept the checkpoints of ended jobs.
    house.alter(done.id, finished_at=now() - timedelta(hours=2))
    house.alter(running.id, created_at=now() - timedelta(days=9))
    house.age_files(seconds=9e6)
    assert sweep(house, leftovers_hours=3) == NOTHING
    assert sweep(house, leftovers_hours=1) == Swept(0, 0, 1, 0, 0)
    assert house.checkpoint_files() == {kept}
    house.assert_whole()


def test_a_job_takes_its_checkpoints_along(house: Household) -> None:
    done = house.running()
    house.finish(done)
    house.checkpoint(done, 1)
    house.checkpoints.write(done.id, 9, 9, b"of a zombie")
    house.alter(done.id, finished_at=now() - timedelta(days=2))
    sweep(house, jobs_days=1, leftovers_hours=0)
    assert house.checkpoint_files() == set()


def test_datasets_go_when_they_were_not_used_for_long(house: Household) -> None:
    never, old, late, needed, fresh = (
        house.upload(f"x,y\n{number},1\n2,3\n", days_ago=days)
        for number, days in enumerate((40, 40, 40, 40, 3))
    )
    house.ended(days_ago=35, dataset_id=old.id)
    house.ended(days_ago=35, dataset_id=late.id)
    house.ended(days_ago=5, dataset_id=late.id)
    house.ended(days_ago=35, dataset_id=needed.id)
    house.alter(house.submit(), dataset_id=needed.id)
    assert sweep(house, datasets_days=30) == Swept(0, 0, 0, 2, 0)
    assert house.dataset_ids() == {late.id, needed.id, fresh.id}
    assert never.id not in house.dataset_ids()
    house.assert_whole()


def test_the_use_of_a_dataset_is_remembered_when_its_jobs_go(house: Household) -> None:
    dataset = house.upload(days_ago=40)
    house.ended(days_ago=8, dataset_id=dataset.id)
    sweep(house, jobs_days=7, datasets_days=30)
    assert house.ids() == set()
    sweep(house, jobs_days=7, datasets_days=30)
    assert house.dataset_ids() == {dataset.id}
    assert sweep(house, jobs_days=7, datasets_days=7).datasets == 1


def test_datasets_that_are_too_many_go(house: Household) -> None:
    first, second, third = (
        house.upload(f"x,y\n{number},1\n2,3\n", days_ago=days) for number, days in enumerate((5, 9, 7))
    )
    swept = sweep(house, datasets_bytes=first.stored_bytes + third.stored_bytes)
    assert swept == Swept(0, 0, 0, 1, 0)
    assert house.dataset_ids() == {first.id, third.id}
    assert second.id not in house.dataset_ids()
    house.assert_whole()


def test_a_dataset_of_two_owners_stays_for_the_one_who_uses_it(house: Household) -> None:
    mine, theirs = house.upload(owner="ann", days_ago=9), house.upload(owner="bob", days_ago=9)
    house.alter(house.submit(), dataset_id=theirs.id)
    sweep(house, datasets_days=1)
    assert house.dataset_ids() == {theirs.id}
    assert mine.digest == theirs.digest
    house.assert_whole()
    with house.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(DatasetSchema)) == 1


def test_leftovers_of_dead_processes_go(house: Household) -> None:
    data_dir, running = house.settings.data_dir, house.running()
    kept = house.checkpoint(running, 1)
    house.checkpoints.write(running.id, 1, 2, b"no row")
    house.checkpoints.write("job_never", 1, 1, b"no job")
    house.settings.doorbell_dir.mkdir(exist_ok=True)
    os.mkfifo(house.settings.doorbell_dir / "queued.1.abc")
    (house.settings.datasets_dir / ("e" * 64)).mkdir(parents=True)
    (house.settings.datasets_dir / ".incoming" / "dead").mkdir(parents=True)
    with PipeListener(house.settings.doorbell_dir, JOB_QUEUED) as listener:
        dead, alive = (
            data_dir / "workers" / "worker_dead.lock",
            Presence(data_dir / "workers", "worker_alive"),
        )
        dead.touch()
        buried = data_dir / "workers" / "worker_listed.lock"
        buried.touch()
        with house.database.write() as session:
            workers.register(session, "worker_listed", slots=1)
        house.age_files(seconds=7200)
        young = house.checkpoints.write("job_young", 1, 1, b"its row is coming")
        found = sweep_once(house.with_rules(leftovers_hours=1), house.database, dry_run=True)
        assert found == Swept(0, 0, 0, 0, 6)
        assert dead.exists()
        assert sweep(house, leftovers_hours=0) == NOTHING
        assert sweep(house, leftovers_hours=1) == found
        assert house.checkpoint_files() == {kept, young.path}
        assert {path.name for path in (data_dir / "workers").iterdir()} == {"worker_alive.lock", buried.name}
        assert [path.name for path in house.settings.doorbell_dir.iterdir()] == [listener._path.name]
        alive.close()


def test_an_upload_under_way_is_no_leftover(house: Household) -> None:
    with house.datasets.workspace() as workspace:
        house.age_files(seconds=9e6)
        assert sweep(house, leftovers_hours=1) == NOTHING
        assert workspace.columns.is_dir()


def test_a_dry_run_tells_what_would_go_and_removes_nothing(house: Household) -> None:
    house.ended(days_ago=9, reports=3)
    house.ended(days_ago=4)
    house.upload(days_ago=9)
    done = house.running()
    house.finish(done)
    house.checkpoint(done, 1)  # As versions left it that kept the checkpoints of ended jobs.
    house.alter(done.id, finished_at=now() - timedelta(hours=2))
    before = house.everything()
    rules = {"jobs_days": 7, "events_days": 2, "datasets_days": 7, "leftovers_hours": 1}
    settings = house.with_rules(**rules)
    would = sweep_once(settings, house.database, dry_run=True)
    assert would == Swept(1, 1, 1, 1, 0)
    assert house.everything() == before
    house.assert_whole()
    assert sweep_once(settings, house.database) == would


def test_a_sweep_that_is_told_to_stop_stops_after_its_transaction(house: Household) -> None:
    for _ in range(3):
        house.ended(days_ago=9)
    stop = threading.Event()
    stop.set()
    assert sweep_once(house.with_rules(jobs_days=1), house.database, stop=stop) == NOTHING
    assert len(house.ids()) == 3


def test_datasets_that_another_process_holds_are_put_off(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.tables.store._LOCK_SECONDS", 0.05)
    house.upload(days_ago=9)
    from service.exceptions import StorageBusy

    with (house.settings.datasets_dir / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageBusy):
            sweep(house, datasets_days=1)
    assert sweep(house, datasets_days=1).datasets == 1
    shutil.rmtree(house.settings.datasets_dir)


def test_several_sweep_at_once(house: Household) -> None:
    for number in range(60):
        house.ended(days_ago=9, reports=1)
        house.upload(f"x,y\n{number},1\n2,3\n", days_ago=9)
    kept = house.ended()
    settings = house.with_rules(jobs_days=1, datasets_days=1, leftovers_hours=AT_ONCE)
    found: list[Swept] = []
    threads = [
        threading.Thread(target=lambda: found.append(sweep_once(settings, house.database))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert sum(one.jobs for one in found) == 60
    assert sum(one.datasets for one in found) == 60
    assert house.ids() == {kept}
    house.assert_whole()
    assert Path(house.settings.data_dir).exists()


def test_exports_go_with_their_job(house: Household) -> None:
    kept, root = house.ended(), house.settings.exports_dir
    for name in (kept, "job_gone", ".making/dead"):
        (root / name).mkdir(parents=True)
    house.age_files(seconds=7200)
    assert sweep(house, leftovers_hours=1) == Swept(0, 0, 0, 0, 2)
    assert sorted(path.name for path in root.iterdir()) == [".making", kept]
