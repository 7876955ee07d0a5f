"""The example `over-fitting`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk

NOISE = 0.09
"""Loss of the truth itself."""


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("over-fitting")


def test_too_large_a_model_knows_its_rows_by_heart(walked: Walk) -> None:
    rows, train, dev, _ = walked.table("job ")["over-fit"]
    assert rows == 20
    assert train < NOISE / 4
    assert dev > 5 * NOISE


@pytest.mark.parametrize("cure", ["penalty", "more-data", "early-stopping"])
def test_each_cure_brings_the_dev_loss_down_and_the_train_loss_up(walked: Walk, cure: str) -> None:
    found = walked.table("job ")
    _, train, dev, _ = found["over-fit"]
    _, cured_train, cured_dev, _ = found[cure]
    assert cured_dev < dev / 4
    assert cured_dev < 2 * NOISE
    assert cured_train > 2 * train


def test_early_stopping_keeps_an_early_epoch(walked: Walk) -> None:
    kept = {name: epoch for name, (*_, epoch) in walked.table("job ").items()}
    assert kept["early-stopping"] < 100 < kept["over-fit"] == 200


def test_high_bias_is_cured_by_a_larger_model_and_not_by_rows(walked: Walk) -> None:
    found = walked.table("job ", which=1)
    rows, train, dev, _ = found["high-bias"]
    assert rows == 800
    assert min(train, dev) > 2 * NOISE
    assert max(train, dev) < 1.6 * min(train, dev)
    _, larger_train, larger_dev, _ = found["larger-model"]
    assert max(larger_train, larger_dev) < 1.4 * NOISE


def test_the_pictures_are_saved(walked: Walk) -> None:
    jobs = [*walked.table("job "), *walked.table("job ", which=1)]
    assert len(jobs) == 6
    assert walked.pictures() == {f"{name}-{picture}" for name in jobs for picture in ("loss", "fit")}
