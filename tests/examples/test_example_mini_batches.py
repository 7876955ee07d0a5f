"""The example `mini-batches`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk

SIZES = ["1", "2", "4", "8", "16", "32", "64", "128", "256", "full"]


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("mini-batches")


def test_every_size_makes_its_number_of_steps(walked: Walk) -> None:
    steps = {size: count for size, (count, *_) in walked.table("batch_size").items()}
    assert list(steps) == SIZES
    assert steps == {size: 10 * 512 / int(size.replace("full", "512")) for size in SIZES}


def test_a_step_costs_something_however_few_its_rows(walked: Walk) -> None:
    seconds = {size: time for size, (_, time, *_) in walked.table("batch_size").items()}
    assert seconds["1"] > 5 * seconds["64"]


def test_a_size_in_between_comes_furthest(walked: Walk) -> None:
    loss = {size: value for size, (_, _, value, *_) in walked.table("batch_size").items()}
    best = min(loss["8"], loss["16"], loss["32"])
    assert best < 0.98 * loss["1"]
    assert best < 0.7 * loss["256"]
    assert loss["64"] < loss["128"] < loss["256"] < loss["full"]


def test_the_pictures_are_saved(walked: Walk) -> None:
    assert walked.pictures() == {f"{size}-{what}" for size in ("1", "32", "full") for what in ("loss", "fit")}
