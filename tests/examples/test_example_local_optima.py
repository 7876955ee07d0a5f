"""The example `local-optima`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("local-optima")


def test_one_start_gets_stuck_and_the_best_of_eight_does_not(walked: Walk) -> None:
    assert walked.number(r"one start: dev_loss ([\d.]+)") > 0.3
    assert walked.number(r"one start: .* accuracy ([\d.]+)") < 0.9
    assert walked.number(r"best of eight: dev_loss ([\d.]+)") < 0.06
    assert walked.number(r"best of eight: .* accuracy ([\d.]+)") > 0.95


def test_the_starts_end_in_different_valleys_and_the_best_on_dev_is_kept(walked: Walk) -> None:
    runs = walked.rows("seed ")
    assert [int(seed) for seed, *_ in runs] == list(range(8))
    dev = [float(loss) for _, _, loss, *_ in runs]
    assert sum(loss > 0.3 for loss in dev) >= 2
    assert sum(loss < 0.12 for loss in dev) >= 2
    kept = [float(loss) for _, _, loss, *mark in runs if mark == ["kept"]]
    assert kept == [min(dev)]
    assert kept[0] == pytest.approx(walked.number(r"best of eight: dev_loss ([\d.]+)"), abs=1e-4)


def test_the_single_start_is_one_of_the_eight(walked: Walk) -> None:
    dev = {seed: float(loss) for seed, _, loss, *_ in walked.rows("seed ")}
    assert dev["1"] == pytest.approx(walked.number(r"one start: dev_loss ([\d.]+)"), rel=0.02)


def test_the_pictures_are_saved(walked: Walk) -> None:
    jobs, pictures = ("one-start", "restarts"), ("loss", "boundary")
    assert walked.pictures() == {f"{job}-{picture}" for job in jobs for picture in pictures}
