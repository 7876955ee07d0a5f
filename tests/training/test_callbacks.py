"""Callbacks hear of each epoch once, in order, and can end the training."""

import itertools
import time

import pytest
import torch

from service.training import callbacks
from service.training.callbacks import Callback, Pulse, Stop
from tests.training.jobs import STILL, inline_job, trainer


class Record(Callback):
    """Keeps what it hears; stops the training at a pulse if it is told to."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.heard: list[str] = []
        self.pulses: list[Pulse] = []
        self._stop_after = stop_after

    def on_start(self) -> None:
        self.heard.append("start")

    def on_pulse(self, pulse: Pulse) -> None:
        self.heard.append("pulse")
        self.pulses.append(pulse)
        if self._stop_after is not None and len(self.pulses) >= self._stop_after:
            raise Stop

    def on_end(self) -> None:
        self.heard.append("end")

    @property
    def epochs(self) -> list[int]:
        """Every epoch that was told, by number."""
        return [pulse.first_epoch + i for pulse in self.pulses for i in range(len(pulse.train_loss))]


@pytest.fixture(params=[0.0, 0.001, 1e9], ids=["at every chance", "now and then", "only at the end"])
def pulses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often the training tells."""
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", request.param)


@pytest.mark.usefixtures("pulses")
@pytest.mark.parametrize("batch_size", ["full", 3])
def test_each_epoch_is_told_once_and_in_order(batch_size: object) -> None:
    record = Record()
    fit = trainer(inline_job(epochs=40, batch_size=batch_size), callbacks=[record]).fit()
    assert record.epochs == list(range(1, 41))
    assert all(len(pulse.train_loss) == len(pulse.learning_rate) for pulse in record.pulses)
    assert fit.epochs == 40


@pytest.mark.usefixtures("pulses")
@pytest.mark.parametrize("batch_size", ["full", 3])
def test_the_fraction_grows_to_one(batch_size: object) -> None:
    record = Record()
    trainer(inline_job(epochs=20, batch_size=batch_size), callbacks=[record]).fit()
    fractions = [pulse.fraction for pulse in record.pulses]
    assert all(0 <= one <= other for one, other in itertools.pairwise([0.0, *fractions]))
    assert fractions[-1] == 1.0


@pytest.mark.usefixtures("pulses")
def test_the_first_pulse_comes_after_the_start_and_the_end_after_the_last() -> None:
    record = Record()
    trainer(inline_job(epochs=20), callbacks=[record]).fit()
    assert record.heard == ["start", *["pulse"] * len(record.pulses), "end"]


@pytest.mark.usefixtures("pulses")
def test_a_divergence_tells_the_finite_epochs_and_ends() -> None:
    record = Record()
    fit = trainer(inline_job(epochs=100, optimizer={"type": "SGD", "lr": 1e6}), callbacks=[record]).fit()
    assert record.epochs == list(range(1, fit.epochs + 1))
    assert record.pulses[-1].fraction < 1.0
    assert record.heard[-1] == "end"


def test_within_a_long_epoch_the_fraction_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    record = Record()
    trainer(inline_job(rows=10, epochs=1, batch_size=1), callbacks=[record]).fit()
    fractions = [pulse.fraction for pulse in record.pulses]
    assert fractions[:10] == [pytest.approx((i + 1) / 10) for i in range(10)]


@pytest.mark.parametrize("batch_size", ["full", 3])
def test_a_stop_keeps_what_is_trained_so_far(batch_size: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    record = Record(stop_after=7)
    fit = trainer(inline_job(epochs=10_000, batch_size=batch_size), callbacks=[record]).fit()
    assert fit.stop_reason == "stopped"
    assert fit.epochs == len(record.epochs) < 10_000
    assert record.heard == ["start", *["pulse"] * 7, "end"]
    start = trainer(inline_job(epochs=1, optimizer=STILL)).fit()
    assert not torch.equal(fit.state_dict["weight"], start.state_dict["weight"])


def test_a_stopped_training_has_the_parameters_of_a_shorter_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    stopped = trainer(inline_job(epochs=1000), callbacks=[Record(stop_after=5)]).fit()
    shorter = trainer(inline_job(epochs=5)).fit()
    assert stopped.epochs == 5
    assert torch.equal(stopped.state_dict["weight"], shorter.state_dict["weight"])
    assert stopped.train_loss == shorter.train_loss


def test_every_callback_hears_everything_in_the_order_given() -> None:
    heard: list[str] = []

    class Named(Record):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def on_pulse(self, pulse: Pulse) -> None:
            super().on_pulse(pulse)
            heard.append(self._name)

    first, second = Named("first"), Named("second")
    trainer(inline_job(epochs=10), callbacks=[first, second]).fit()
    assert first.epochs == second.epochs == list(range(1, 11))
    assert heard == ["first", "second"] * len(first.pulses)


def test_an_error_in_a_callback_is_not_swallowed() -> None:
    class Broken(Callback):
        def on_pulse(self, pulse: Pulse) -> None:
            raise LookupError(pulse.first_epoch)

    with pytest.raises(LookupError):
        trainer(inline_job(), callbacks=[Broken()]).fit()


def test_a_callback_without_hooks_does_nothing() -> None:
    assert trainer(inline_job(), callbacks=[Callback()]).fit().stop_reason == "completed"


def test_a_slow_callback_is_not_called_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 5)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    record = Record()
    trainer(inline_job(epochs=30), callbacks=[record]).fit()
    assert record.epochs == list(range(1, 31))
    assert 1 < len(record.pulses) <= 30 / 5 + 1
