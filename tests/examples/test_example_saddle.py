"""The example `saddle`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("saddle")


def test_from_zeros_nothing_is_learnt_but_the_mean(walked: Walk) -> None:
    first, last, r2 = walked.table("start ")["zeros"]
    assert last == pytest.approx(first, rel=0.02)
    assert r2 == pytest.approx(0, abs=0.01)


def test_units_that_start_alike_stay_behind_random_ones(walked: Walk) -> None:
    found = walked.table("start ")
    assert found["zeros"][1] > 2 * found["all-alike"][1] > 4 * found["xavier"][1]
    assert found["xavier"][2] > 0.9


def test_the_pictures_are_saved(walked: Walk) -> None:
    starts = ("zeros", "all-alike", "xavier")
    assert walked.pictures() == {f"{start}-{picture}" for start in starts for picture in ("loss", "fit")}
