"""Carrying a prediction out: what is in the result, what is told of rows that have none, and what is left behind."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy.orm import Session

from service.api.context import Context
from service.api.keyring import Caller
from service.api.predictions import _submit
from service.db import Database
from service.exceptions import ColumnMismatch, DatabaseBusy, InvalidRequest, ResultDamaged
from service.inference.grouped import predictor_of
from service.predictions import service
from service.predictions.order import read
from service.spec.schema import Column, Schema
from service.storage.checkpoints import StoredFile
from service.tables.files import open_dataset, read_manifest
from service.worker import memory
from tests.jobs.desk import OWNER
from tests.predictions.asked import TOWNS, order
from tests.predictions.prediction_desk import PredictionDesk
from tests.registry.model_desk import ModelDesk

GROUPS = {
    "type": "inline",
    "columns": {"shop": ["a"] * 4 + ["b"] * 4, "x": [0, 1, 2, 3] * 2, "y": [0, 1, 2, 3, 9, 8, 7, 6]},
    "target": "y",
    "group_by": "shop",
}


def test_rows_that_cannot_be_predicted_are_empty_and_told(desk: PredictionDesk) -> None:
    text = "größe,Stadt,n\n50,Zürich,1\n,Łódź,2\n60,Kraków,3\n,Kraków,4\n70,,5\n80,Łódź,6\n"
    made = desk.made(desk.trained(**TOWNS), text, keep=["n", "Stadt"])
    assert made.result is not None, made.error
    rows = desk.rows(made)
    assert rows["n"] == [1, 2, 3, 4, 5, 6]
    assert rows["Stadt"] == ["Zürich", "Łódź", "Kraków", "Kraków", None, "Łódź"]
    assert [one is None for one in rows["класс"]] == [False, True, True, True, True, False]
    assert made.result["unpredicted_rows"] == 4
    told = {(one["code"], one["column"]): (one["rows"], one["first_row"]) for one in made.result["warnings"]}
    assert told == {
        ("missing_values", "größe"): (2, 1),
        ("unknown_category", "Stadt"): (2, 2),
        ("missing_values", "Stadt"): (1, 4),
    }


def test_a_model_that_fills_gaps_predicts_them(desk: PredictionDesk) -> None:
    columns = {"x": [0.0, None, 2.0, 3.0], "y": [7.0, 12.0, 17.0, 22.0]}
    data = {"type": "inline", "columns": columns, "target": "y"}
    job = desk.trained(data=data, preprocessing={"missing": "median"})
    rows = desk.rows(desk.made(job, "x,n\n2,1\n,2\n"))
    assert rows["y"][0] == rows["y"][1]  # The median is 2.


def test_a_column_without_any_value_is_one_of_gaps(desk: PredictionDesk) -> None:
    made = desk.made(desk.trained(**TOWNS), "größe,Stadt\n50,\n60,\n")
    assert made.error is not None
    assert made.error["code"] == "no_row_predicted"
    assert "`Stadt`" in made.error["message"]
    assert desk.result_files() == set()


def test_kept_columns_stay_what_they_are(desk: PredictionDesk) -> None:
    text = "x,y,day,flag\n1,5,2024-02-29,true\n2,,2024-03-01,\n"
    made = desk.made(desk.trained(), text, keep=["y", "day", "flag"])
    assert made.result is not None
    # The prediction has the name of the target; what the dataset has under that name steps aside.
    assert made.result["columns"] == ["dataset.y", "day", "flag", "y"]
    rows = desk.rows(made)
    assert rows["dataset.y"] == [5, None]
    assert [str(one) for one in rows["day"]] == ["2024-02-29 00:00:00+00:00", "2024-03-01 00:00:00+00:00"]
    assert rows["flag"] == [1, None]


def test_groups_without_a_model_are_told(desk: PredictionDesk) -> None:
    job = desk.trained(data=GROUPS, model={"type": "linear"})
    made = desk.made(job, "shop,x\na,1\nc,1\nb,1\n,1\na,2\n")
    assert made.result is not None, made.error
    rows = desk.rows(made)["y"]
    assert [one is None for one in rows] == [False, True, False, True, False]
    (told,) = made.result["warnings"]
    assert (told["code"], told["rows"], told["first_row"]) == ("unknown_group", 2, 1)


@pytest.mark.parametrize(
    ("spec", "columns"),
    [
        ({"loss": {"type": "GaussianNLLLoss"}}, ["y", "std.y"]),
        ({"loss": {"type": "L1Loss"}, "model": {"type": "linear"}}, ["y"]),
    ],
)
def test_what_a_loss_gives_beside_the_target_is_there(
    desk: PredictionDesk, spec: dict[str, Any], columns: list[str]
) -> None:
    made = desk.made(desk.trained(**spec), "x\n1\n2\n")
    assert made.result is not None, made.error
    assert made.result["columns"] == columns


def test_a_dataset_that_is_gone_is_a_cause(desk: PredictionDesk) -> None:
    prediction_id = desk.predict(desk.trained(), desk.upload().id)
    ref = desk.take()
    assert ref is not None
    desk.lose_dataset(prediction_id)
    desk.work().do(ref)
    failed = desk.prediction(prediction_id)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == ("failed", "dataset_damaged")


def test_a_zombie_leaves_nothing_and_hurts_nobody(
    desk: PredictionDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction_id = desk.predict(desk.trained(), desk.upload().id)
    zombie, work = desk.take(), desk.work()
    assert zombie is not None
    write = work._results.write

    def slowly(*what: Any) -> StoredFile:  # noqa: ANN401
        """Lose the lease to another attempt, which finishes first."""
        file = write(*what)
        desk.give_back(zombie)
        again = desk.take()
        assert again is not None
        desk.work().do(again)
        return file

    monkeypatch.setattr(work._results, "write", slowly)
    work.do(zombie)
    ended = desk.prediction(prediction_id)
    assert (ended.status, ended.attempt) == ("succeeded", 2)
    assert desk.result_files() == {f"{prediction_id}/2.parquet"}
    assert desk.rows(ended)["y"]


class Lossy:
    """A database whose answer to one commit is lost: what was written is there, and nobody is told."""

    def __init__(self, database: Database) -> None:
        self.read, self._write = database.read, database.write
        self.lost = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        with self._write() as session:
            yield session
        if not self.lost:
            self.lost += 1
            raise DatabaseBusy


def test_an_end_whose_answer_was_lost_is_kept(desk: PredictionDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, the attempt must not take its own result away."""
    prediction_id = desk.predict(desk.trained(), desk.upload().id)
    ref, work = desk.take(), desk.work()
    assert ref is not None
    lossy = Lossy(desk.database)
    monkeypatch.setattr(work, "_database", lossy)
    monkeypatch.setattr("service.worker.predicting.work.RETRY_SECONDS", 0.0)
    work.do(ref)
    assert lossy.lost == 1
    ended = desk.prediction(prediction_id)
    assert desk.result_files() == {ended.path}
    assert desk.rows(ended)["y"]


def test_files_of_other_attempts_go_with_the_end(desk: PredictionDesk) -> None:
    prediction_id = desk.predict(desk.trained(), desk.upload().id)
    ref = desk.take()
    assert ref is not None
    folder = desk.settings.predictions_dir / prediction_id
    folder.mkdir(parents=True)
    for name in ("1.parquet", "1.abc.tmp"):
        (folder / name).write_text("half of it")
    desk.give_back(ref)
    again = desk.take()
    assert again is not None
    desk.work().do(again)
    assert desk.result_files() == {f"{prediction_id}/2.parquet"}


def test_a_full_disk_is_a_cause_and_leaves_nothing(
    desk: PredictionDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction_id = desk.predict(desk.trained(), desk.upload().id)
    ref = desk.take()
    assert ref is not None
    work = desk.work()
    monkeypatch.setattr(work._results, "_min_free_bytes", 2**60)
    work.do(ref)
    failed = desk.prediction(prediction_id)
    assert failed.error is not None
    assert (failed.status, failed.error["code"]) == ("failed", "disk_full")
    assert desk.result_files() == set()


def test_a_damaged_file_is_told_and_none_leads_out(desk: PredictionDesk) -> None:
    made = desk.made(desk.trained(), "x\n1\n")
    assert made.path is not None
    (desk.settings.predictions_dir / made.path).write_bytes(b"PAR1 no more")
    with pytest.raises(ResultDamaged):
        desk.results.open(made.path)
    with pytest.raises(ResultDamaged, match="not the path"):
        desk.results.full_path("../1.parquet")


def test_one_process_makes_one_prediction_after_the_other(desk: PredictionDesk) -> None:
    work, job = desk.work(), desk.trained()
    ids = [desk.predict(job, desk.upload(f"x\n{number}\n").id) for number in range(2)]
    for _ in ids:
        ref = desk.take()
        assert ref is not None
        work.do(ref)
    assert [desk.state(one) for one in ids] == ["succeeded"] * 2


def test_a_registered_version_predicts_and_may_go(desk: PredictionDesk) -> None:
    job = desk.trained()
    ModelDesk(desk.database).register("calibration", job, aliases=["champion"])
    body = {
        "model": "calibration",
        "version": "champion",
        "data": {"type": "dataset", "id": desk.upload().id},
    }
    prediction_id = desk.ordered(body)
    ref = desk.take()
    assert ref is not None
    desk.work().do(ref)
    made = desk.prediction(prediction_id)
    assert (made.job_id, made.model_name, made.model_version) == (None, "calibration", 1)
    assert desk.rows(made) == desk.rows(desk.made(job, "x,y\n1,2\n3,4\n"))
    with pytest.raises(InvalidRequest, match="no version 7"):
        desk.ordered(body | {"version": 7})
    with pytest.raises(InvalidRequest, match="no model `scale`"):
        desk.ordered(body | {"model": "scale"})


def test_a_cancel_is_heard_between_blocks(desk: PredictionDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.predicting.work.REPORT_SECONDS", 0.0)
    prediction_id = desk.predict(desk.trained(), desk.upload().id)
    ref = desk.take()
    assert ref is not None
    desk.stop(prediction_id)
    desk.work().do(ref)
    assert desk.state(prediction_id) == "cancelled"
    assert desk.result_files() == set()


LARGE = 2**31
"""Bytes of a column; the file is one hole and takes no room on the disk."""


def _with_a_large_column(desk: PredictionDesk) -> tuple[str, Path]:
    """Upload a dataset, and make one of its columns large."""
    dataset = desk.upload("x,id\n1,2\n3,4\n")
    folder = desk.datasets.folder(dataset.digest)
    manifest = read_manifest(folder)
    (stored,) = [one for one in manifest.files if one.column == "id"]
    header = {"descr": "<f8", "fortran_order": False, "shape": (2, LARGE // 16)}
    with (folder / stored.file).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, cast("Any", header))
        size = file.tell() + LARGE
        file.truncate(size)
    files = tuple(one.model_copy(update={"bytes": size}) if one is stored else one for one in manifest.files)
    manifest.model_copy(update={"files": files}).write(folder)
    return dataset.id, folder


def test_a_dataset_may_be_larger_than_the_memory_of_a_prediction(desk: PredictionDesk) -> None:
    dataset_id, _ = _with_a_large_column(desk)
    prediction_id = desk.predict(desk.trained(), dataset_id)
    ref = desk.take()
    assert ref is not None
    desk.work(memory_bytes=LARGE // 2).do(ref)
    made = desk.prediction(prediction_id)
    assert (made.status, made.error) == ("succeeded", None)


def test_a_dataset_that_finds_no_room_is_not_called_damaged(desk: PredictionDesk) -> None:
    _, folder = _with_a_large_column(desk)
    with pytest.raises(MemoryError), memory.limited(LARGE // 2):
        open_dataset(folder)


@pytest.mark.parametrize(
    "column",
    [
        Column(name="shop", kind="text", dtype="str"),
        Column(name="shop", kind="array", dtype="uint8", shape=(2, 2)),
    ],
)
def test_a_column_that_names_no_groups_is_refused_at_the_submission(
    desk: PredictionDesk, column: Column
) -> None:
    body = order(desk.trained(data=GROUPS, model={"type": "linear"}), desk.upload("shop,x\na,1\n").id)
    with desk.database.read() as session:
        prepared = service.prepare(session, read(json.dumps(body).encode()), body=b"", owner=OWNER)
    service.check(prepared)
    number = Column(name="x", kind="number", dtype="float64")
    with pytest.raises(ColumnMismatch) as told:
        service.check(dataclasses.replace(prepared, table=Schema(rows=5, columns=(column, number))))
    (problem,) = told.value.problems
    assert (problem.pointer, problem.code) == ("/data/id", "wrong_type")
    assert problem.message.startswith(f"The column `shop` is {column.kind}")


def test_a_model_is_loaded_when_the_session_is_over(
    desk: PredictionDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database may end a session that stands idle, and loading may take seconds."""
    held: list[int] = []

    def watched(*made_of: Any) -> Any:  # noqa: ANN401
        held.append(desk.database.engine.pool.checkedout())  # type: ignore[attr-defined]
        return predictor_of(*made_of)

    monkeypatch.setattr("service.inference.grouped.predictor_of", watched)
    body = json.dumps(order(desk.trained(), desk.upload().id)).encode()
    running = SimpleNamespace(database=desk.database, settings=desk.settings, doorbell=desk.bell)
    prediction_id = _submit(cast("Context", running), Caller(OWNER, frozenset()), body, None)
    assert desk.state(prediction_id) == "queued"
    assert held == [0]
