"""The recorder keeps what a training tells: each epoch once, whatever happened to earlier attempts."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from service.db import Database
from service.doorbell import JOB_CHANGED, JOB_QUEUED, PipeDoorbell, PipeListener
from service.exceptions import LeaseLost, TrainingFailed
from service.jobs.attempts import JobRef
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.storage.checkpoints import CheckpointStore
from service.training import callbacks
from service.training.callbacks import Callback, Pulse, Stop
from service.training.frames import load
from service.training.trainer import Trainer
from service.training.weights import from_bytes
from service.worker import checkpoints as checkpointing
from service.worker import recorder as recording
from service.worker.checkpoints import newest_usable
from service.worker.messages import Drain
from service.worker.orders import Orders
from service.worker.outcome import cancelled
from service.worker.recorder import LetGo, Recorder, record_ends
from tests.jobs.desk import ELSEWHERE, HERE, Desk

JOB = {"training": {"epochs": 40, "seed": 0, "engine": "eager"}}
ALL_EPOCHS = list(range(1, 41))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture(autouse=True)
def _talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulse at every epoch, and each pulse recorded."""
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    monkeypatch.setattr(recording, "REPORT_SECONDS", 0.0)


class AtEpoch(Callback):
    """Does something when an epoch is told, before the recorder hears of it."""

    def __init__(self, epoch: int, action: Callable[[], object]) -> None:
        self._epoch, self._action = epoch, action

    def on_pulse(self, pulse: Pulse) -> None:
        if pulse.first_epoch == self._epoch and pulse.train_loss:
            self._action()


class Runner:
    """Trains as the runner process does, in this process."""

    def __init__(self, desk: Desk, folder: Path, pipe: Connection) -> None:
        self.desk, self.folder, self.pipe = desk, folder, pipe
        self.store = CheckpointStore(folder.parent / "checkpoints", min_free_bytes=0)

    def train(
        self,
        ref: JobRef,
        *before: Callback,
        environment: dict[str, Any] = HERE,
        checkpoint_seconds: float = 1000.0,
    ) -> None:
        start = self.desk.begin(ref)
        assert start is not None
        spec = JobSpec.model_validate_json(start.spec)
        recorder = self.recorder(ref, checkpoint_seconds)
        resumable = newest_usable(self.store, start.checkpoints)
        recorder.begin(start, device="cpu", environment=environment, resumable=resumable)
        frame = load(spec.data)
        plan = Plan(spec, frame.schema)
        trainer = Trainer(plan, frame, callbacks=[*before, recorder], checkpoint=resumable.checkpoint)
        try:
            recorder.finish(plan, trainer.fit())
        except LetGo as gone:
            recorder.let_go(gone.reason)

    def recorder(self, ref: JobRef, checkpoint_seconds: float = 1000.0) -> Recorder:
        return Recorder(
            ref,
            database=self.desk.database,
            doorbell=PipeDoorbell(self.folder),
            orders=Orders(self.pipe),
            store=self.store,
            checkpoint_seconds=checkpoint_seconds,
        )


@pytest.fixture
def runner(desk: Desk, tmp_path: Path, pipes: tuple[Connection, Connection]) -> Runner:
    return Runner(desk, tmp_path / "doorbells", pipes[1])


class Died(Exception):
    """The process is gone, in the words of a test."""


def die() -> None:
    raise Died


def test_a_training_is_recorded_from_its_first_epoch_to_its_result(desk: Desk, runner: Runner) -> None:
    ref = desk.running(**JOB)
    runner.train(ref)
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason, job.epoch, job.fraction) == ("succeeded", "completed", 40, 1.0)
    assert (job.device, job.environment) == ("cpu", HERE)
    assert desk.epochs(ref.id) == ALL_EPOCHS
    tensors = from_bytes(desk.parameters(ref.id) or b"")
    assert job.result is not None
    assert job.result["coefficients"] == {"x": tensors["weight"].item()}
    assert job.result["intercept"] == tensors["bias"].item()


def test_a_cancel_is_heard_and_what_is_trained_so_far_is_kept(desk: Desk, runner: Runner) -> None:
    ref = desk.running(**JOB)
    runner.train(ref, AtEpoch(10, lambda: desk.cancel(ref.id)))
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason, job.epoch) == ("cancelled", "cancelled", 10)
    assert desk.epochs(ref.id) == list(range(1, 11))
    assert desk.parameters(ref.id)


def test_a_drain_gives_the_job_back_uncounted(
    desk: Desk, runner: Runner, pipes: tuple[Connection, Connection]
) -> None:
    ref = desk.running(**JOB)
    runner.train(ref, AtEpoch(10, lambda: pipes[0].send(Drain())))
    job = desk.job(ref.id)
    assert (job.status, job.crashes, job.worker_id) == ("queued", 0, None)
    assert desk.parameters(ref.id) is None
    (left,) = desk.checkpoints(ref.id)
    assert (left.reason, left.epoch) == ("drain", 10)
    assert desk.epochs(ref.id) == list(range(1, 11))


def pulse_in_a_step() -> Pulse:
    """What is heard while rows are read from disk: nothing can be kept of the step."""
    return Pulse(1, {"train_loss": [], "learning_rate": []}, 0.4, None, None)


@pytest.mark.parametrize("seconds", [0.0, 1000.0], ids=["a checkpoint is due", "none is due"])
def test_in_the_midst_of_a_step_progress_is_told_and_no_checkpoint_taken(
    desk: Desk, runner: Runner, seconds: float
) -> None:
    ref = desk.running(**JOB)
    recorder = runner.recorder(ref, seconds)
    recorder.on_pulse(pulse_in_a_step())
    assert desk.job(ref.id).fraction == 0.4
    assert desk.checkpoints(ref.id) == []
    desk.cancel(ref.id)
    with pytest.raises(Stop):
        recorder.on_pulse(pulse_in_a_step())


def test_a_drain_in_the_midst_of_a_step_gives_the_job_back_at_once(
    desk: Desk, runner: Runner, pipes: tuple[Connection, Connection]
) -> None:
    ref = desk.running(**JOB)
    recorder = runner.recorder(ref)
    pipes[0].send(Drain())
    with pytest.raises(LetGo) as gone:
        recorder.on_pulse(pulse_in_a_step())
    recorder.let_go(gone.value.reason)
    assert desk.status(ref.id) == "queued"
    assert desk.checkpoints(ref.id) == []


def test_a_job_that_is_cancelled_before_it_trains_has_no_result(desk: Desk, runner: Runner) -> None:
    ref = desk.running(**JOB)
    desk.cancel(ref.id)
    assert record_ends({runner.recorder(ref): cancelled()})
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason, job.result) == ("cancelled", "cancelled", None)
    assert desk.parameters(ref.id) is None


def test_the_death_of_the_worker_ends_the_training(
    desk: Desk, runner: Runner, pipes: tuple[Connection, Connection]
) -> None:
    ref = desk.running(**JOB)
    with pytest.raises(EOFError):
        runner.train(ref, AtEpoch(10, pipes[0].close))
    assert desk.status(ref.id) == "running"


def test_a_lost_lease_ends_the_training_and_nothing_more_is_written(desk: Desk, runner: Runner) -> None:
    def take_over() -> None:
        desk.crashed(ref)
        desk.claim(worker_id="another")

    ref = desk.running(**JOB)
    with pytest.raises(LeaseLost):
        runner.train(ref, AtEpoch(10, take_over))
    assert desk.epochs(ref.id) == list(range(1, 10))
    assert desk.status(ref.id) == "running"
    assert desk.job(ref.id).attempt == 2


def second_attempt(desk: Desk, runner: Runner, *, dies_at: int) -> JobRef:
    """A job whose first attempt died in an epoch, claimed again."""
    ref = desk.running(**JOB)
    with pytest.raises(Died):
        runner.train(ref, AtEpoch(dies_at, die))
    desk.crashed(ref)
    (second,) = desk.claim()
    return second


def test_a_second_attempt_tells_each_epoch_only_once_and_ends_the_same(desk: Desk, runner: Runner) -> None:
    undisturbed = desk.running(**JOB)
    runner.train(undisturbed)
    second = second_attempt(desk, runner, dies_at=15)
    told = len([event for event, _ in desk.events(second.id) if event.type == "history"])
    assert told == 14
    runner.train(second)
    assert desk.epochs(second.id) == ALL_EPOCHS
    histories = [history for event, history in desk.events(second.id) if event.type == "history"]
    assert [epoch for history in histories for epoch in history.epochs.tolist()] == ALL_EPOCHS
    assert desk.parameters(second.id) == desk.parameters(undisturbed.id)
    assert desk.job(second.id).result == desk.job(undisturbed.id).result


def test_a_second_attempt_elsewhere_tells_all_epochs_again(desk: Desk, runner: Runner) -> None:
    second = second_attempt(desk, runner, dies_at=15)
    runner.train(second, environment=ELSEWHERE)
    assert desk.epochs(second.id) == ALL_EPOCHS
    assert desk.job(second.id).environment == ELSEWHERE


def test_the_progress_of_a_second_attempt_never_goes_back(desk: Desk, runner: Runner) -> None:
    fractions: list[float] = []

    class Watch(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            assert pulse
            fractions.append(desk.job(second.id).fraction)

    second = second_attempt(desk, runner, dies_at=15)
    runner.train(second, Watch())
    assert fractions == sorted(fractions)


def test_a_divergence_is_a_failure_with_a_cure_and_parameters(desk: Desk, runner: Runner) -> None:
    ref = desk.running(**JOB, optimizer={"type": "SGD", "lr": 1e30})
    runner.train(ref)
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason) == ("failed", "diverged")
    assert job.error is not None
    assert job.error["code"] == "diverged"
    assert "largest stable learning rate" in job.error["hint"]
    assert desk.parameters(ref.id)


def test_an_error_is_recorded_with_its_code(desk: Desk, runner: Runner) -> None:
    ref = desk.running(**JOB)
    runner.recorder(ref).fail(TrainingFailed("data_not_finite", "No.", "Send others."))
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason) == ("failed", "error")
    assert job.error == {"code": "data_not_finite", "message": "No.", "hint": "Send others."}


def test_an_error_of_an_attempt_that_lost_its_job_is_dropped(desk: Desk, runner: Runner) -> None:
    ref = desk.running(**JOB)
    desk.crashed(ref)
    before = desk.everything()
    runner.recorder(ref).fail(TrainingFailed("internal_error", "No."))
    assert desk.everything() == before


def test_every_record_rings_and_a_job_given_back_calls_the_workers(
    desk: Desk, runner: Runner, pipes: tuple[Connection, Connection]
) -> None:
    with (
        PipeListener(runner.folder, JOB_CHANGED) as changed,
        PipeListener(runner.folder, JOB_QUEUED) as queued,
    ):
        ref = desk.running(**JOB)
        runner.train(ref)
        assert changed.messages() == {ref.id, f"{ref.id}+"}
        assert queued.messages() == set()
        other = desk.running(**JOB)
        runner.train(other, AtEpoch(10, lambda: pipes[0].send(Drain())))
        assert changed.messages() == {other.id, f"{other.id}+"}
        assert queued.messages()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> float:
    """A checkpoint at every pulse, however long one takes."""
    monkeypatch.setattr(checkpointing, "SHARE", 0)
    return 0.0


def files(runner: Runner, ref: JobRef) -> list[str]:
    return sorted(path.name for path in (runner.folder.parent / "checkpoints").rglob(f"{ref.id}/*"))


def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before_and_ends_the_same(
    desk: Desk, runner: Runner, often: float
) -> None:
    undisturbed = desk.running(**JOB)
    runner.train(undisturbed)
    ref = desk.running(**JOB)
    with pytest.raises(Died):
        runner.train(ref, AtEpoch(15, die), checkpoint_seconds=often)
    assert files(runner, ref) == ["1-13.ckpt", "1-14.ckpt"]
    desk.crashed(ref)
    (second,) = desk.claim()
    trained: list[int] = []

    class Count(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            trained.extend(range(pulse.first_epoch, pulse.first_epoch + len(pulse.train_loss)))

    runner.train(second, Count())
    assert trained == list(range(15, 41)), "nothing is trained twice"
    assert desk.parameters(ref.id) == desk.parameters(undisturbed.id)
    assert desk.job(ref.id).result == desk.job(undisturbed.id).result
    assert desk.epochs(ref.id) == ALL_EPOCHS


def test_after_the_end_no_checkpoint_is_left(desk: Desk, runner: Runner, often: float) -> None:
    ref = desk.running(**JOB)
    runner.train(ref, checkpoint_seconds=often)
    assert desk.status(ref.id) == "succeeded"
    assert desk.checkpoints(ref.id) == []
    assert files(runner, ref) == []


def test_a_damaged_checkpoint_is_left_aside_for_the_one_before(
    desk: Desk, runner: Runner, often: float
) -> None:
    undisturbed = desk.running(**JOB)
    runner.train(undisturbed)
    ref = desk.running(**JOB)
    with pytest.raises(Died):
        runner.train(ref, AtEpoch(15, die), checkpoint_seconds=often)
    newest = runner.folder.parent / "checkpoints" / ref.id / "1-14.ckpt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    desk.crashed(ref)
    (second,) = desk.claim()
    runner.train(second)
    logs = [event.data["message"] for event, _ in desk.events(ref.id) if event.type == "log"]
    assert ["checkpoint 14" in message for message in logs] == [True]
    assert desk.parameters(ref.id) == desk.parameters(undisturbed.id)
    assert desk.epochs(ref.id) == ALL_EPOCHS


def test_without_any_usable_checkpoint_the_training_starts_again_and_says_so(
    desk: Desk, runner: Runner, often: float
) -> None:
    ref = desk.running(**JOB)
    with pytest.raises(Died):
        runner.train(ref, AtEpoch(15, die), checkpoint_seconds=often)
    for path in (runner.folder.parent / "checkpoints" / ref.id).iterdir():
        path.unlink()
    desk.crashed(ref)
    (second,) = desk.claim()
    runner.train(second)
    logs = [event.data["message"] for event, _ in desk.events(ref.id) if event.type == "log"]
    assert len(logs) == 3
    assert "starts again" in logs[-1]
    assert (desk.status(ref.id), desk.epochs(ref.id)) == ("succeeded", ALL_EPOCHS)


def test_a_pause_is_heard_and_leaves_a_checkpoint(desk: Desk, runner: Runner) -> None:
    undisturbed = desk.running(**JOB)
    runner.train(undisturbed)
    ref = desk.running(**JOB)
    runner.train(ref, AtEpoch(10, lambda: desk.pause(ref.id)))
    assert desk.status(ref.id) == "paused"
    assert [one.reason for one in desk.checkpoints(ref.id)] == ["pause"]
    desk.unpause(ref.id)
    (second,) = desk.claim()
    runner.train(second)
    assert desk.parameters(ref.id) == desk.parameters(undisturbed.id)
    assert desk.epochs(ref.id) == ALL_EPOCHS


def test_a_training_whose_time_is_over_keeps_what_it_has_learnt(desk: Desk, runner: Runner) -> None:
    ref = desk.running(training={"epochs": 1_000_000, "seed": 0, "max_seconds": 0.2, "engine": "eager"})
    runner.train(ref)
    job = desk.job(ref.id)
    assert (job.status, job.stop_reason) == ("succeeded", "max_runtime")
    assert 0 < job.epoch < 1_000_000
    assert desk.parameters(ref.id)


def test_a_lost_lease_is_noticed_at_a_checkpoint_and_its_file_goes(
    desk: Desk, runner: Runner, often: float
) -> None:
    def take_over() -> None:
        desk.crashed(ref)
        desk.claim(worker_id="another")

    ref = desk.running(**JOB)
    with pytest.raises(LeaseLost):
        runner.train(ref, AtEpoch(10, take_over), checkpoint_seconds=often)
    assert files(runner, ref) == ["1-8.ckpt", "1-9.ckpt"]
    assert [one.number for one in desk.checkpoints(ref.id)] == [9, 8]
