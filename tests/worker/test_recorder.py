"""The recorder keeps what a training tells: each epoch once, whatever happened to earlier attempts."""

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from service.db import Database
from service.doorbell import JOB_CHANGED, JOB_QUEUED, Doorbell, Listener
from service.exceptions import LeaseLost, TrainingFailed
from service.jobs import attempts
from service.jobs.attempts import JobRef
from service.spec.job import JobSpec
from service.spec.plan import Plan
from service.training import callbacks
from service.training.callbacks import Callback, Pulse
from service.training.frames import load
from service.training.trainer import Trainer
from service.training.weights import from_bytes
from service.worker import recorder as recording
from service.worker.messages import Drain
from service.worker.recorder import Recorder
from tests.jobs.desk import ELSEWHERE, HERE, Desk

JOB = {"training": {"epochs": 40, "seed": 0}}
ALL_EPOCHS = list(range(1, 41))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def pipes() -> Iterator[tuple[Connection, Connection]]:
    """The worker's end and the runner's end."""
    ours, theirs = multiprocessing.Pipe()
    yield ours, theirs
    ours.close()
    theirs.close()


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

    def train(self, ref: JobRef, *before: Callback, environment: dict[str, Any] = HERE) -> None:
        with self.desk.database.read() as session:
            text = attempts.spec_of(session, ref)
        assert text is not None
        spec = JobSpec.model_validate_json(text)
        recorder = self.recorder(ref)
        recorder.begin(device="cpu", environment=environment)
        frame = load(spec.data)
        plan = Plan(spec, frame.schema)
        recorder.finish(plan, Trainer(plan, frame, callbacks=[*before, recorder]).fit())

    def recorder(self, ref: JobRef) -> Recorder:
        return Recorder(ref, database=self.desk.database, doorbell=Doorbell(self.folder), pipe=self.pipe)


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
    with Listener(runner.folder, JOB_CHANGED) as changed, Listener(runner.folder, JOB_QUEUED) as queued:
        ref = desk.running(**JOB)
        runner.train(ref)
        assert changed.messages() == {ref.id}
        assert queued.messages() == set()
        other = desk.running(**JOB)
        runner.train(other, AtEpoch(10, lambda: pipes[0].send(Drain())))
        assert changed.messages() == {other.id}
        assert queued.messages()
