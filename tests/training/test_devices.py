"""A job runs where it asks to, or is told what is there."""

import pytest

from service.exceptions import TrainingFailed
from service.training import devices


def test_the_processor_is_always_there_and_the_last_choice() -> None:
    assert devices.available()[-1] == "cpu"
    assert devices.resolve("cpu", dtype="float64") == "cpu"


def test_auto_takes_the_preferred_device() -> None:
    assert devices.resolve("auto", dtype="float32") == devices.available()[0]


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(name: str) -> None:
    if name in devices.available():
        pytest.skip("this machine has the device")
    with pytest.raises(TrainingFailed) as error:
        devices.resolve(name, dtype="float32")
    assert error.value.code == "device_unavailable"
    assert "cpu" in error.value.message
    assert error.value.hint


def test_a_device_without_float64_is_left_out_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: ["mps", "cpu"])
    assert devices.resolve("auto", dtype="float32") == "mps"
    assert devices.resolve("auto", dtype="float64") == "cpu"
    with pytest.raises(TrainingFailed):
        devices.resolve("mps", dtype="float64")
