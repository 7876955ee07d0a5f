"""What becomes of predictions with time, and in a backup; on both databases."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from service.backup.making import back_up
from service.backup.restoring import restore
from service.exceptions import BackupFailed
from service.predictions.orm import Prediction
from service.retention.sweeper import sweep_once
from tests.conftest import SYSTEMS
from tests.predictions.prediction_desk import PredictionDesk

HOUR = 3600.0


def test_old_predictions_go_with_their_files(desk: PredictionDesk) -> None:
    job = desk.trained()
    old = desk.made(job, "x\n1\n", days_ago=10)
    young = desk.made(job, "x\n2\n", days_ago=1)
    waiting = desk.predict(job, desk.upload("x\n3\n").id)
    rules = desk.with_rules(jobs_days=5)
    assert sweep_once(rules, desk.database, dry_run=True).predictions == 1
    assert sweep_once(rules, desk.database).predictions == 1
    assert desk.result_files() == {young.path}
    assert desk.state(waiting) == "queued"
    with desk.database.read() as session:
        assert old.id not in set(session.scalars(sa.select(Prediction.id)))


def test_only_the_last_are_kept(desk: PredictionDesk) -> None:
    job = desk.trained()
    made = [desk.made(job, f"x\n{days}\n", days_ago=days) for days in (1, 2, 3)]
    assert sweep_once(desk.with_rules(jobs_kept=2), desk.database).predictions == 1
    assert desk.result_files() == {one.path for one in made[:2]}


def test_a_dataset_is_used_by_predictions(desk: PredictionDesk) -> None:
    job = desk.trained()
    waiting = desk.upload("x\n1\n", days_ago=30)
    desk.predict(job, waiting.id)
    ref = desk.take()
    used, unused = desk.upload("x\n2\n", days_ago=30), desk.upload("x\n3\n", days_ago=30)
    desk.made(job, "x\n2\n")
    # Uploading it again for that made it young: only its use is to count.
    assert sweep_once(desk.with_rules(datasets_days=10), desk.database).datasets == 1
    assert desk.dataset_ids() == {waiting.id, used.id}
    assert unused.id not in desk.dataset_ids()
    assert ref is not None


def test_what_dead_processes_left_goes(desk: PredictionDesk) -> None:
    made = desk.made(desk.trained(), "x\n1\n")
    root = desk.settings.predictions_dir
    for path in ("pred_gone/1.parquet", f"{made.id}/1.abc.tmp", f"{made.id}/7.parquet"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text("left")
    assert sweep_once(desk.settings, desk.database).leftovers == 0  # They may be about to get their rows.
    desk.age_files(seconds=2 * HOUR)
    assert sweep_once(desk.settings, desk.database, dry_run=True).leftovers == 3
    assert sweep_once(desk.settings, desk.database).leftovers == 3
    assert desk.result_files() == {made.path}
    assert {path.name for path in root.iterdir()} == {made.id}


def test_a_backup_has_results_and_what_waits(
    desk: PredictionDesk, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    job = desk.trained()
    made = desk.made(job, "x,id\n1,5\n2,6\n", keep=["id"])
    desk.predict(job, desk.upload("x\n3\n").id)
    ref = desk.take()
    assert ref is not None
    manifest = back_up(desk.settings, desk.database, tmp_path / "backup")
    assert f"predictions/{made.path}" in {file.path for file in manifest.files}
    assert manifest.damaged == ()
    with SYSTEMS["sqlite"](request, migrated=False, name="elsewhere") as database:
        there = PredictionDesk(tmp_path / "elsewhere", database)
        restore(there.settings, database, tmp_path / "backup")
        assert there.rows(there.prediction(made.id)) == desk.rows(made)
        assert there.state(ref.id) == "queued"  # It was under way: it begins again.
        there.live()
        again = there.take()
        assert again is not None
        there.work().do(again)
        assert there.state(ref.id) == "succeeded"


def test_a_backup_is_refused_without_what_a_prediction_needs(desk: PredictionDesk, tmp_path: Path) -> None:
    prediction_id = desk.predict(desk.trained(), desk.upload("x\n3\n").id)
    desk.lose_dataset(prediction_id)
    with pytest.raises(BackupFailed, match=prediction_id):
        back_up(desk.settings, desk.database, tmp_path / "backup")


def test_a_backup_leaves_out_a_prediction_whose_file_is_gone(desk: PredictionDesk, tmp_path: Path) -> None:
    made = desk.made(desk.trained(), "x\n1\n")
    desk.results.remove_folder(made.id)
    manifest = back_up(desk.settings, desk.database, tmp_path / "backup")
    assert manifest.rows["predictions"] == 0
