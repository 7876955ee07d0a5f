"""What a tracker is told, read back with TensorBoard's own reader and MLflow's own client."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.jobs import workers
from service.jobs.attempts import Ended
from service.jobs.orm import JobSpecText, Worker
from service.jobs.repository import NewEpochs
from service.settings import Settings, Trackers
from service.trackers import repository
from service.trackers.keeper import Tracking
from service.trackers.sink import Sink, SinkAway
from service.trackers.sinks import switched_on
from service.trackers.telling import NotOurs
from service.trackers.to_mlflow import Mlflow
from service.trackers.to_tensorboard import TensorBoard
from tests.jobs.desk import CANCELLED, ELSEWHERE, FAILED, SUCCEEDED, progress
from tests.retention.test_keeper import wait_until
from tests.trackers.ledger import HOLDER, Ledger, client_of, history, runs, scalars, told_to_the_end

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")


def losses(first: int, last: int) -> list[tuple[int, float]]:
    return [(epoch, pytest.approx(1 / epoch)) for epoch in range(first, last + 1)]


def board_of(tmp_path: Path, job_id: str) -> dict[str, list[tuple[int, float]]]:
    (folder,) = (tmp_path / "board").rglob(f"*{job_id}")
    return scalars(folder)


def run_of(mlflow: Mlflow, uri: str) -> Any:  # noqa: ANN401
    (run,) = runs(uri, mlflow._experiment_name)
    return run


def test_a_job_becomes_a_run_of_mlflow(ledger: Ledger, mlflow: Mlflow, mlflow_uri: str) -> None:
    ledger.switch_on(mlflow)
    follower = ledger.follower(mlflow)
    ref = ledger.running(name="a line", metadata={"team": "red"})
    ledger.report(ref, progress(1, 3))
    told_to_the_end(follower)
    assert run_of(mlflow, mlflow_uri).info.status == "RUNNING"
    ledger.finish(ref, SUCCEEDED, progress(4, 2))
    told_to_the_end(follower)
    run = run_of(mlflow, mlflow_uri)
    assert (run.info.run_name, run.info.status) == ("a line", "FINISHED")
    assert run.data.params["optimizer.lr"] == "0.01"
    assert run.data.params["training.batch_size"] == "full"
    assert run.data.tags["team"] == "red"
    assert run.data.tags["fitd.stop_reason"] == "completed"
    assert run.data.tags["fitd.id"] == ref.id
    assert history(mlflow_uri, run.info.run_id) == losses(1, 5)
    assert history(mlflow_uri, run.info.run_id, "learning_rate") == [(epoch, 0.01) for epoch in range(1, 6)]
    assert run.data.metrics["final.train_loss"] == 1.0
    files = [one.path for one in mlflow._client.list_artifacts(run.info.run_id)]
    assert files == ["loss.svg", "parameters.safetensors"]
    assert ledger.states()["mlflow"].behind == 0


@pytest.mark.parametrize(("how", "status"), [(FAILED, "FAILED"), (CANCELLED, "KILLED")])
def test_how_a_job_ended_is_told(
    ledger: Ledger, mlflow: Mlflow, mlflow_uri: str, how: Ended, status: str
) -> None:
    ledger.switch_on(mlflow)
    ledger.finish(ledger.running(), how)
    told_to_the_end(ledger.follower(mlflow))
    run = run_of(mlflow, mlflow_uri)
    assert run.info.status == status
    assert run.data.tags.get("fitd.error", "") == ("broken: It broke." if how is FAILED else "")


def test_a_job_becomes_a_run_of_tensorboard(ledger: Ledger, board: TensorBoard, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    ledger.switch_on(board)
    follower = ledger.follower(board)
    ref = ledger.running(name="a line/of mine")
    ledger.report(ref, progress(1, 3))
    told_to_the_end(follower)
    ledger.finish(ref, SUCCEEDED, progress(4, 2))
    told_to_the_end(follower)
    (folder,) = (tmp_path / "board").iterdir()
    assert folder.name == f"a-line-of-mine-{ref.id}"
    assert len(list(folder.iterdir())) == 1
    told = scalars(folder)
    assert told["train_loss"] == losses(1, 5)
    assert told["final/train_loss"] == [(5, 1.0)]
    assert "dev_loss" not in told
    read = EventAccumulator(str(folder)).Reload()
    content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 0.01
    assert start.hparams["training.batch_size"].string_value == "full"
    assert b"completed" in read.Tensors("outcome")[0].tensor_proto.string_val[0]


def kill_in_between(ledger: Ledger, sink: Sink) -> None:
    """Tell what is new, and die before any cursor is moved."""
    follower = ledger.follower(sink)
    follower._note = lambda *_, **__: None  # type: ignore[method-assign]
    follower.turn()


@pytest.mark.parametrize("known", [False, True], ids=["new run", "known run"])
@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_a_kill_before_the_cursor_moves_leaves_no_gap_and_repeats_nothing(
    ledger: Ledger,
    board: TensorBoard,
    mlflow: Mlflow,
    mlflow_uri: str,
    tmp_path: Path,
    known: bool,  # noqa: FBT001
    ended: bool,  # noqa: FBT001
) -> None:
    sinks = (board, mlflow)
    for sink in sinks:
        ledger.switch_on(sink)
    ref = ledger.running()
    ledger.report(ref, progress(1, 3))
    if known:
        for sink in sinks:
            told_to_the_end(ledger.follower(sink))
    ledger.report(ref, progress(4, 3))
    if ended:
        ledger.finish(ref)
    for sink in sinks:
        kill_in_between(ledger, sink)
    if not ended:
        ledger.finish(ref, SUCCEEDED, progress(7, 2))
    for sink in sinks:
        told_to_the_end(ledger.follower(sink))
    last = 6 if ended else 8
    told = board_of(tmp_path, ref.id)
    assert told["train_loss"] == losses(1, last)
    assert told["final/train_loss"] == [(last, 1.0)]
    run = run_of(mlflow, mlflow_uri)
    assert history(mlflow_uri, run.info.run_id) == losses(1, last)
    assert history(mlflow_uri, run.info.run_id, "final.train_loss") == [(last, 1.0)]
    assert run.info.status == "FINISHED"


def test_history_that_was_dropped_is_taken_back_where_the_tracker_can_do_that(
    ledger: Ledger, board: TensorBoard, mlflow: Mlflow, mlflow_uri: str, tmp_path: Path
) -> None:
    sinks = (board, mlflow)
    followers = [ledger.follower(sink) for sink in sinks]
    for sink in sinks:
        ledger.switch_on(sink)
    first = ledger.running()
    ledger.keep(first, progress(1, 2), number=1, epoch=2)
    ledger.report(first, progress(3, 3))
    for follower in followers:
        told_to_the_end(follower)
    ledger.let_go(first)
    (second,) = ledger.claim()
    (checkpoint,) = ledger.begin(second).checkpoints
    assert ledger.resume(second, ELSEWHERE, checkpoint) == 2
    told_anew = progress(3, 5, ELSEWHERE)
    other = {**told_anew.epochs.columns, "train_loss": [9.0] * 5}
    ledger.finish(second, SUCCEEDED, replace(told_anew, epochs=NewEpochs(3, other)))
    for follower in followers:
        told_to_the_end(follower)
    anew = [(epoch, 9.0) for epoch in range(3, 8)]
    assert board_of(tmp_path, first.id)["train_loss"] == [*losses(1, 2), *anew]
    run = run_of(mlflow, mlflow_uri)
    assert history(mlflow_uri, run.info.run_id) == [*losses(1, 5), (6, 9.0), (7, 9.0)]


def test_a_tracker_that_is_away_gets_everything_when_it_is_back(ledger: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.touch()  # A file where the folder should be.
    board = TensorBoard(folder)
    ledger.switch_on(board)
    follower = ledger.follower(board)
    ref = ledger.running()
    ledger.report(ref, progress(1, 3))
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    wait_until(lambda: ledger.states()["tensorboard"].tracker.failing_since is not None)
    state = ledger.states()["tensorboard"]
    assert (state.behind, state.tracker.error) == (1, f"Not a directory: {folder}/{ref.id}")
    ledger.finish(ref, SUCCEEDED, progress(4, 2))
    folder.unlink()
    wait_until(lambda: ledger.states()["tensorboard"].tracker.failing_since is None)
    stop.set()
    thread.join()
    assert board_of(tmp_path, ref.id)["train_loss"] == losses(1, 5)
    assert ledger.states()["tensorboard"].behind == 0


def test_a_server_that_does_not_answer_is_away(ledger: Ledger) -> None:
    sink = Mlflow("http://anna:secret@127.0.0.1:9", experiment="fitd", artifacts=False)
    ledger.switch_on(sink)
    ledger.running()
    with pytest.raises(SinkAway, match=r"127\.0\.0\.1") as caught:
        ledger.follower(sink).turn()
    assert "secret" not in str(caught.value)


def test_one_run_that_a_tracker_refuses_holds_up_no_other(
    ledger: Ledger, mlflow: Mlflow, mlflow_uri: str
) -> None:
    ledger.switch_on(mlflow)
    follower = ledger.follower(mlflow)
    first = ledger.running()
    told_to_the_end(follower)
    mlflow._client.delete_run(run_of(mlflow, mlflow_uri).info.run_id)
    ledger.report(first, progress(1, 2))
    second = ledger.running()
    ledger.finish(second, SUCCEEDED, progress(1, 2))
    told_to_the_end(follower)
    assert run_of(mlflow, mlflow_uri).data.tags["fitd.id"] == second.id
    assert ledger.states()["mlflow"].behind == 0


def test_files_that_cannot_be_stored_hold_up_nothing(
    ledger: Ledger, mlflow_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "below")
    client_of(mlflow_uri).create_experiment("nowhere", artifact_location=place)
    sink = Mlflow(mlflow_uri, experiment="nowhere", artifacts=True)
    ledger.switch_on(sink)
    ledger.finish(ledger.running(), SUCCEEDED, progress(1, 2))
    told_to_the_end(ledger.follower(sink))
    assert run_of(sink, mlflow_uri).info.status == "FINISHED"
    assert "a file is not stored" in capsys.readouterr().out


def test_a_place_for_files_that_never_answers_holds_up_nothing_for_long(
    ledger: Ledger, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("service.trackers.to_mlflow._STORE_TRIES", 2)
    client_of(mlflow_uri).create_experiment("away", artifact_location="http://127.0.0.1:9/files")
    sink = Mlflow(mlflow_uri, experiment="away", artifacts=True)
    ledger.switch_on(sink)
    ledger.finish(ledger.running(), SUCCEEDED, progress(1, 2))
    follower = ledger.follower(sink)
    with pytest.raises(SinkAway):
        follower.turn()
    told_to_the_end(follower)
    assert run_of(sink, mlflow_uri).info.status == "FINISHED"
    assert capsys.readouterr().out.count("a file is not stored") == 2


def test_a_sweep_is_the_parent_of_its_trials(
    ledger: Ledger, board: TensorBoard, mlflow: Mlflow, mlflow_uri: str, tmp_path: Path
) -> None:
    for sink in (board, mlflow):
        ledger.switch_on(sink)
    sweep_id = ledger.begun({"type": "random", "trials": 2, "seed": 3}, name="rates")
    ledger.train_all()
    for sink in (board, mlflow):
        told_to_the_end(ledger.follower(sink))
    trials = sorted(ledger.jobs(sweep_id), key=lambda job: job.trial or 0)
    found = {run.data.tags["fitd.id"]: run for run in runs(mlflow_uri, mlflow._experiment_name)}
    parent = found.pop(sweep_id)
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    assert set(found) == {job.id for job in trials}
    assert (parent.info.run_name, parent.info.status) == ("rates", "FINISHED")
    assert parent.data.metrics == {"final.best.dev_loss": 0.5}
    assert parent.data.params["parameters./optimizer/lr.type"] == "log_uniform"
    folders = sorted(path.name for path in (tmp_path / "board" / f"rates-{sweep_id}").iterdir())
    assert folders == [f"{job.trial:04d}-{job.id}" for job in trials]


def test_a_run_whose_job_was_removed_before_its_end_is_closed(
    ledger: Ledger, mlflow: Mlflow, mlflow_uri: str
) -> None:
    ledger.switch_on(mlflow)
    ref = ledger.running()
    told_to_the_end(ledger.follower(mlflow))
    ledger.finish(ref)
    ledger.delete(ref.id)
    told_to_the_end(ledger.follower(mlflow))
    assert run_of(mlflow, mlflow_uri).info.status == "KILLED"
    told_to_the_end(ledger.follower(mlflow))
    assert ledger.everything()["tracker_cursors"] == []


def test_jobs_that_had_ended_before_are_not_told_and_waiting_ones_only_when_they_begin(
    on_each: Ledger, board: TensorBoard, tmp_path: Path
) -> None:
    on_each.finish(on_each.running(name="ended"))
    running = on_each.running(name="running")
    on_each.switch_on(board)
    on_each.submit(name="waits")
    cancelled = on_each.submit(name="never")
    on_each.cancel(cancelled)
    told_to_the_end(on_each.follower(board))
    assert [path.name for path in (tmp_path / "board").iterdir()] == [f"running-{running.id}"]
    on_each.claim()
    told_to_the_end(on_each.follower(board))
    names = sorted(path.name.partition("-")[0] for path in (tmp_path / "board").iterdir())
    assert names == ["running", "waits"]


def test_a_tracker_at_another_place_is_told_anew(ledger: Ledger, tmp_path: Path) -> None:
    ref = ledger.running()
    for place in ("one", "two"):
        sink = TensorBoard(tmp_path / place)
        ledger.switch_on(sink, target=place)
        ledger.report(ref, progress(1 if place == "one" else 3, 2))
        told_to_the_end(ledger.follower(sink))
    assert scalars(tmp_path / "two" / ref.id)["train_loss"] == losses(1, 4)


def test_one_worker_serves_a_tracker_until_it_is_dead(on_each: Ledger, board: TensorBoard) -> None:
    on_each.switch_on(board)
    on_each.running()
    follower = on_each.follower(board)
    with on_each.database.write() as session:
        workers.register(session, "worker_u", slots=1)
        assert not repository.hold(session, "tensorboard", "worker_u")
        assert not repository.hold(session, "tensorboard", "worker_nobody_knows")
    with on_each.database.write() as session:
        workers.forget(session, HOLDER)
        assert repository.hold(session, "tensorboard", "worker_u")
    with pytest.raises(NotOurs):
        follower.turn()


def served_by(ledger: Ledger, sink: Sink, worker_id: str) -> None:
    """Let a worker serve a tracker; all others are dead."""
    with ledger.database.write() as session:
        session.execute(sa.delete(Worker))
        workers.register(session, worker_id, slots=1)
    with ledger.database.write() as session:
        repository.register(session, sink.name, target="here")
        assert repository.hold(session, sink.name, worker_id)


def test_a_tracker_hears_only_of_the_worker_that_serves_it(
    ledger: Ledger, board: TensorBoard, tmp_path: Path
) -> None:
    ref = ledger.running()
    served_by(ledger, board, "worker_u")
    stop = threading.Event()
    with pytest.raises(NotOurs):
        ledger.follower(board).turn()
    assert not (tmp_path / "board").exists()
    thread = threading.Thread(target=ledger.follower(board).run, args=(stop,))
    thread.start()
    try:
        served_by(ledger, board, HOLDER)
        wait_until(lambda: ledger.states()["tensorboard"].behind == 0)
    finally:
        stop.set()
        thread.join()
    assert "train_loss" not in board_of(tmp_path, ref.id)


def test_the_process_tells_only_the_trackers_of_its_worker(
    ledger: Ledger, board: TensorBoard, tmp_path: Path
) -> None:
    trackers = Trackers(tensorboard_dir=tmp_path / "board", mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    settings = Settings(data_dir=tmp_path, trackers=trackers)
    served_by(ledger, board, "worker_u")
    with ledger.database.write() as session:
        workers.register(session, HOLDER, slots=1)
    tracking = Tracking(settings, ledger.database, worker_id=HOLDER)

    def told() -> list[str]:
        words = tracking._process.args if tracking._process else []
        return [name for name in switched_on(settings) if name in words]  # type: ignore[operator]

    with tracking:
        wait_until(lambda: tracking._process is not None)
        assert told() == ["mlflow"]
        with ledger.database.write() as session:
            workers.forget(session, "worker_u")
        wait_until(lambda: told() == ["mlflow", "tensorboard"])
    wait_until(lambda: tracking._process is None)


def test_a_long_job_leaves_room_for_others(
    ledger: Ledger, board: TensorBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.trackers.telling.EPOCHS_AT_ONCE", 4)
    ledger.switch_on(board)
    first = ledger.running()
    ledger.finish(first, SUCCEEDED, progress(1, 10))
    second = ledger.running()
    ledger.report(second, progress(1, 2))
    follower = ledger.follower(board)
    assert follower.turn()
    assert board_of(tmp_path, first.id)["train_loss"] == losses(1, 4)
    assert board_of(tmp_path, second.id)["train_loss"] == losses(1, 2)
    told_to_the_end(follower)
    assert board_of(tmp_path, first.id)["train_loss"] == losses(1, 10)
    assert board_of(tmp_path, first.id)["final/train_loss"] == [(10, 1.0)]


def test_a_job_that_cannot_be_told_holds_up_no_other(
    ledger: Ledger, board: TensorBoard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.switch_on(board)
    first, second = ledger.running(), ledger.running()
    with ledger.database.write() as session:
        session.execute(sa.update(JobSpecText).where(JobSpecText.job_seq == 1).values(effective="no JSON"))
    told_to_the_end(ledger.follower(board))
    assert [path.name for path in (tmp_path / "board").iterdir()] == [second.id]
    assert first.id in capsys.readouterr().out
