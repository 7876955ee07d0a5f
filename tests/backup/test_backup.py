"""What is backed up comes back, on whichever database; what is not whole does not."""

import json
import shutil
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import migrations
from service.access import service as access
from service.access.scopes import Scope
from service.backup import manifest, rows
from service.backup.making import back_up
from service.backup.restoring import EVENT_GAP, Restored, restore
from service.backup.snapshot import take
from service.db import Database, now
from service.exceptions import BackupFailed, BackupUnusable, DatabaseNotReady, RestoreRefused
from service.jobs import workers
from service.jobs.attempts import Ended, JobRef
from service.jobs.lifecycle import Status, StopReason
from service.jobs.orm import Job
from service.trackers import repository as trackers
from tests.conftest import SYSTEMS
from tests.jobs.desk import CANCELLED, FAILED, Desk, progress
from tests.predictions.prediction_desk import PredictionDesk
from tests.registry.model_desk import ModelDesk
from tests.retention.household import Household
from tests.sweeps.sweep_desk import SweepDesk


def furnish(house: Household) -> dict[str, Any]:
    """Something of everything, with no job under way; gives the ids that the tests ask for."""
    predictions(house)
    done = house.ended(days_ago=3, reports=12)
    house.ended(how=FAILED)
    house.ended(how=CANCELLED)
    shared = house.upload(owner="ann")
    house.upload(owner="bob")
    paused, ref = paused_job(house)
    named = house.submit(name="naïve 雪", metadata={"team": "ß"}, key="key")
    house.alter(house.submit(), dataset_id=shared.id, init_job_id=done, max_seconds=1e300)
    with house.database.write() as session:
        access.create(session, access.NewKey(name="ci", owner="ann", scopes=[Scope.READ]))
    sweep(house)
    with house.database.write() as session:
        trackers.register(session, "mlflow", target="0" * 64)
        trackers.add(session, "mlflow", [done], kind="job")
    ModelDesk(house.database).register("line", done, aliases=["champion"], metadata={"team": "ß"})
    gone = house.submit()  # What is deleted has had its numbers all the same.
    house.cancel(gone)
    house.delete(gone)
    return {"done": done, "paused": paused, "named": named, "ref": ref, "digest": shared.digest}


def sweep(house: Household) -> str:
    """A sweep of which some trials are added."""
    desk = SweepDesk(house.database)
    return desk.begun({"type": "tpe", "trials": 4, "seed": 0, "parallel": 2}, name="ß")


def predictions(house: Household) -> None:
    """One that has ended, with its file, and one that waits, with its model."""
    desk = PredictionDesk(house.settings.data_dir, house.database)
    job = desk.trained()
    with desk.employed():
        desk.made(job, "x,ß\n1,2\n", keep=["ß"])
    desk.predict(job, desk.upload("x\n3\n").id)


def paused_job(house: Household) -> tuple[str, JobRef]:
    ref = house.running()
    house.report(ref, progress(1, 4))
    house.checkpoint(ref, 1, b"the first")
    house.checkpoint(ref, 2, b"the second")
    house.pause(ref.id)
    assert house.let_go(ref) == "paused"
    return ref.id, ref


def carried(house: Household, elsewhere: Household, dest: Path) -> Restored:
    back_up(house.settings, house.database, dest)
    return restore(elsewhere.settings, elsewhere.database, dest)


def everything(house: Household) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in an order that is the same everywhere."""
    return {name: sorted(found, key=repr) for name, found in house.everything().items()}


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_row_and_file_comes_back(
    house: Household, elsewhere: Household, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.backup.rows.AT_ONCE", 5)  # Some tables have more.
    ids = furnish(house)
    before, checkpoints = everything(house), files_below(house.settings.checkpoints_dir)
    datasets = files_below(house.settings.datasets_dir / ids["digest"])
    results = files_below(house.settings.predictions_dir)
    assert all(before[table.name] for table in rows.tables() if table.name != "workers")
    made = back_up(house.settings, house.database, dest)
    assert (made.missing, made.damaged) == ((), ())
    assert made.rows == {name: len(found) for name, found in before.items()}
    kept = files_below(dest)
    shutil.rmtree(house.settings.data_dir)
    assert restore(elsewhere.settings, elsewhere.database, dest).let_go == 0
    assert everything(elsewhere) == before
    assert files_below(elsewhere.settings.checkpoints_dir) == checkpoints
    assert files_below(elsewhere.settings.datasets_dir / ids["digest"]) == datasets
    assert files_below(elsewhere.settings.predictions_dir) == results != {}
    elsewhere.assert_whole()
    assert files_below(dest) == kept, "the backup itself was changed"
    assert not list(elsewhere.settings.data_dir.glob(".restore*"))


def test_a_restored_service_goes_on_with_new_numbers(
    house: Household, elsewhere: Household, dest: Path
) -> None:
    furnish(house)
    carried(house, elsewhere, dest)
    with house.database.read() as there, elsewhere.database.read() as here:
        before, after = rows.counters(there), rows.counters(here)
    assert after == {**before, "job_events": before["job_events"] + EVENT_GAP}
    job_id = elsewhere.submit()
    assert elsewhere.job(job_id).seq == before["jobs"] + 1
    assert elsewhere.upload("a\n1\n").seq > before["datasets"]
    (event, _), *_ = elsewhere.events(job_id)
    assert event.id > before["job_events"] + EVENT_GAP
    ref = elsewhere.running()
    assert elsewhere.finish(ref)


def test_jobs_under_way_are_let_go(house: Household, elsewhere: Household, dest: Path) -> None:
    running, pausing, cancelling = (house.running() for _ in range(3))
    for ref in (running, pausing, cancelling):
        house.checkpoint(ref, 1)
    house.pause(pausing.id)
    house.cancel(cancelling.id)
    with house.database.write() as session:
        workers.register(session, "worker_a", slots=3)
    assert carried(house, elsewhere, dest).let_go == 3
    expected = {running.id: "queued", pausing.id: "paused", cancelling.id: "cancelled"}
    assert {job_id: elsewhere.status(job_id) for job_id in expected} == expected
    for job_id, status in expected.items():
        event, _ = elsewhere.events(job_id)[-1]
        assert (event.data["status"], event.data["cause"]["code"]) == (status, "restored")
        assert elsewhere.job(job_id).worker_id is None
        assert (elsewhere.job(job_id).crashes, elsewhere.job(job_id).attempt) == (0, 1)
    with elsewhere.database.read() as session:
        assert workers.listed(session) == []
    elsewhere.assert_whole()
    (again,) = elsewhere.claim()
    assert again == JobRef(running.id, 2)
    assert [one.number for one in elsewhere.begin(again).checkpoints] == [1]  # type: ignore[union-attr]
    # The service that was backed up knows nothing of it.
    assert house.status(running.id) == "running"


def test_a_checkpoint_that_was_pruned_meanwhile_loses_its_row(
    house: Household, elsewhere: Household, dest: Path
) -> None:
    job_id, ref = paused_job(house)
    (house.settings.checkpoints_dir / ref.id / "1-1.ckpt").unlink()
    carried(house, elsewhere, dest)
    assert [one.number for one in Desk(elsewhere.database).checkpoints(job_id)] == [2]
    assert [one.number for one in Desk(house.database).checkpoints(job_id)] == [2, 1]
    elsewhere.assert_whole()


def test_a_dataset_that_was_deleted_meanwhile_is_left_out(
    house: Household, elsewhere: Household, dest: Path
) -> None:
    gone, stays = house.upload(), house.upload("a\n1\n2\n")
    house.ended(dataset_id=gone.id)
    shutil.rmtree(house.datasets.folder(gone.digest))
    assert carried(house, elsewhere, dest).manifest.missing == (gone.digest,)
    assert elsewhere.dataset_ids() == {stays.id}
    assert len(elsewhere.ids()) == 1
    elsewhere.assert_whole()


def test_a_dataset_that_a_job_needs_must_be_there(house: Household, dest: Path) -> None:
    gone = house.upload()
    job_id = house.submit()
    house.alter(job_id, dataset_id=gone.id)
    shutil.rmtree(house.datasets.folder(gone.digest))
    with pytest.raises(BackupFailed, match=job_id):
        back_up(house.settings, house.database, dest)
    with pytest.raises(BackupUnusable, match="no finished backup"):
        manifest.read(dest)


def test_what_was_damaged_before_is_carried_as_it_is_and_told(
    house: Household, elsewhere: Household, dest: Path
) -> None:
    dataset = house.upload()
    column = next(house.datasets.folder(dataset.digest).glob("*.npy"))
    column.write_bytes(column.read_bytes()[:-1] + b"!")
    told = carried(house, elsewhere, dest).manifest.damaged
    assert told == (f"datasets/{dataset.digest}/{column.name}",)
    assert (elsewhere.datasets.folder(dataset.digest) / column.name).read_bytes() == column.read_bytes()


def test_checkpoints_of_ended_jobs_are_left_out(house: Household, elsewhere: Household, dest: Path) -> None:
    ref = house.running()
    house.finish(ref)
    house.checkpoint(ref, 1)  # As versions left it that kept the checkpoints of ended jobs.
    carried(house, elsewhere, dest)
    assert elsewhere.checkpoint_files() == set()
    elsewhere.assert_whole()


class TestWhatIsRefused:
    """One system is enough: the checks do not ask which it is."""

    @pytest.fixture
    def database(self, request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
        with SYSTEMS["sqlite"](request, migrated=True) as database:
            yield database

    @pytest.fixture
    def elsewhere(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:  # noqa: ANN401
        with SYSTEMS["sqlite"](request, migrated=False, name="elsewhere") as database:
            yield Household(tmp_path / "elsewhere", database)

    @pytest.fixture
    def made(self, house: Household, dest: Path) -> manifest.BackupManifest:
        furnish(house)
        return back_up(house.settings, house.database, dest)

    def refused(self, elsewhere: Household, dest: Path, words: str) -> None:
        with pytest.raises(BackupUnusable, match=words):
            restore(elsewhere.settings, elsewhere.database, dest)
        with elsewhere.database.read() as session:
            assert sa.inspect(session.connection()).get_table_names() == []
        assert files_below(elsewhere.settings.data_dir) == {}

    def test_one_flipped_bit_anywhere(
        self, made: manifest.BackupManifest, elsewhere: Household, dest: Path
    ) -> None:
        for file in made.files:
            path = dest / file.path
            whole = path.read_bytes()
            middle = len(whole) // 2
            flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
            path.unlink()  # The file of the service is the same one.
            path.write_bytes(flipped)
            self.refused(elsewhere, dest, "is not as it was written")
            path.write_bytes(whole)
        restore(elsewhere.settings, elsewhere.database, dest)

    def test_a_missing_file(self, made: manifest.BackupManifest, elsewhere: Household, dest: Path) -> None:
        for file in made.files:
            (dest / file.path).rename(dest / "hidden")
            self.refused(elsewhere, dest, "is missing")
            (dest / "hidden").rename(dest / file.path)

    def test_a_file_that_the_manifest_forgets(
        self, made: manifest.BackupManifest, elsewhere: Household, dest: Path
    ) -> None:
        for file in made.files:
            if file.path.endswith((".ckpt", "manifest.json", "fitd.db")):
                made.model_copy(update={"files": tuple(set(made.files) - {file})}).write(dest)
                self.refused(elsewhere, dest, "not whole")

    def test_an_unfinished_backup(
        self, made: manifest.BackupManifest, elsewhere: Household, dest: Path
    ) -> None:
        assert made.files
        text = (dest / "manifest.json").read_text("utf-8")
        (dest / "manifest.json").unlink()
        (dest / "manifest.json.tmp").write_text(text)
        self.refused(elsewhere, dest, "no finished backup")

    @pytest.mark.parametrize(
        "change",
        [
            {"version": 2},
            {"format": "another"},
            {"files": [{"path": "datasets/../../x", "bytes": 1, "sha256": ""}]},
            {"files": [{"path": "/etc/passwd", "bytes": 1, "sha256": ""}]},
            {"files": [{"path": "checkpoints/../1-1.ckpt", "bytes": 1, "sha256": ""}]},
        ],
    )
    def test_a_manifest_of_another_kind(
        self, made: manifest.BackupManifest, elsewhere: Household, dest: Path, change: dict[str, Any]
    ) -> None:
        text = json.dumps({**made.model_dump(mode="json"), **change})
        (dest / "manifest.json").write_text(text)
        self.refused(elsewhere, dest, "cannot be read")

    def test_a_place_that_is_in_use(
        self, made: manifest.BackupManifest, elsewhere: Household, dest: Path
    ) -> None:
        assert made.files
        migrations.migrate(elsewhere.database)
        with elsewhere.database.write() as session:
            access.create(session, access.NewKey(name="ci", owner="ann", scopes=[Scope.READ]))
        with pytest.raises(RestoreRefused, match="api_keys"):
            restore(elsewhere.settings, elsewhere.database, dest)
        elsewhere.submit()
        with pytest.raises(RestoreRefused, match="jobs"):
            restore(elsewhere.settings, elsewhere.database, dest)
        assert len(elsewhere.ids()) == 1

    def test_a_folder_that_is_not_empty_or_not_safe(self, house: Household, dest: Path) -> None:
        dest.mkdir()
        (dest / "something").touch()
        with pytest.raises(BackupFailed, match="not empty"):
            back_up(house.settings, house.database, dest)
        with pytest.raises(BackupFailed, match="folder of the service"):
            back_up(house.settings, house.database, house.settings.datasets_dir / "backup")

    def test_a_disk_that_does_not_take_it(self, house: Household, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(BackupFailed, match="cannot be written"):
            back_up(house.settings, house.database, tmp_path / "file" / "backup")


def resealed(dest: Path, made: manifest.BackupManifest) -> None:
    """Make the manifest fit a changed database."""
    files = (manifest.described(dest, "fitd.db"), *(file for file in made.files if file.path != "fitd.db"))
    made.model_copy(update={"files": files}).write(dest)


def test_a_backup_of_an_older_version_is_upgraded(house: Household, elsewhere: Household, dest: Path) -> None:
    ids = furnish(house)
    made = back_up(house.settings, house.database, dest)
    older = Database(f"sqlite:///{dest / 'fitd.db'}")
    migrations.downgrade(older, "0003")
    older.close()
    resealed(dest, made)
    restore(elsewhere.settings, elsewhere.database, dest)
    assert elsewhere.ids() == house.ids()
    assert elsewhere.parameters(ids["done"]) == house.parameters(ids["done"])


def test_a_backup_of_a_newer_version_is_refused(house: Household, elsewhere: Household, dest: Path) -> None:
    made = back_up(house.settings, house.database, dest)
    with sqlite3.connect(dest / "fitd.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    resealed(dest, made)
    with pytest.raises(DatabaseNotReady, match="9999"):
        restore(elsewhere.settings, elsewhere.database, dest)


def test_a_restore_that_was_killed_is_run_again(
    house: Household, elsewhere: Household, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(house)
    back_up(house.settings, house.database, dest)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    # After the rows, before the commit: nothing of them may be there.
    monkeypatch.setattr("service.backup.rows.set_counters", die)
    with pytest.raises(KeyboardInterrupt):
        restore(elsewhere.settings, elsewhere.database, dest)
    assert elsewhere.ids() == set()
    monkeypatch.undo()
    (elsewhere.settings.data_dir / ".restore").mkdir()
    restore(elsewhere.settings, elsewhere.database, dest)
    assert everything(elsewhere) == everything(house)
    elsewhere.assert_whole()


def test_rows_written_after_the_backup_began_are_in_it_whole_or_not_at_all(
    house: Household, elsewhere: Household, dest: Path
) -> None:
    done = house.ended(reports=3)
    house.alter(done, finished_at=now() - timedelta(days=1))
    carried(house, elsewhere, dest)
    house.submit()
    assert elsewhere.ids() == {done}


def test_writers_go_on_and_the_backup_is_one_state(
    house: Household, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.backup.snapshot.PAGES_AT_ONCE", 1)
    monkeypatch.setattr("service.backup.rows.AT_ONCE", 1)
    pair = [house.submit() for _ in range(2)]
    large = Ended(Status.SUCCEEDED, StopReason.COMPLETED, parameters=bytes(16 * 2**20))
    house.ended(how=large)  # So that the copy takes longer than a commit.
    done, stop = [0], threading.Event()

    def write() -> None:
        while not stop.is_set():
            with house.database.write() as session:
                for job_id in pair:
                    session.execute(sa.update(Job).where(Job.id == job_id).values(crashes=done[0]))
            done[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while done[0] < 5:
            time.sleep(0.01)
        before = done[0]
        take(house.database, dest)
        after = done[0]
    finally:
        stop.set()
        writer.join()
    with sqlite3.connect(dest) as connection:
        first, second = connection.execute("SELECT crashes FROM jobs WHERE id IN (?, ?)", pair).fetchall()
    connection.close()
    assert first == second
    assert before - 1 <= first[0] <= after
    assert after > before
