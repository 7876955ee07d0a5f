"""The example `optimizers`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk

NAMES = ["sgd", "momentum", "rmsprop", "adam"]
FLOOR = 0.06255
"""Loss of the best line through the rows."""


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("optimizers")


def test_all_four_find_the_line(walked: Walk) -> None:
    found = walked.table("optimizer ")
    assert list(found) == NAMES
    for _, w, b, loss in found.values():
        assert w == pytest.approx(5, abs=0.25)
        assert b == pytest.approx(7, abs=0.15)
        assert FLOOR - 1e-4 < loss < FLOOR * 1.1


def test_momentum_is_the_fastest_and_plain_descent_the_slowest(walked: Walk) -> None:
    needed = {name: epochs for name, (epochs, *_) in walked.table("optimizer ").items()}
    assert needed["momentum"] * 2 < min(needed["rmsprop"], needed["adam"])
    assert max(needed["rmsprop"], needed["adam"]) * 1.5 < needed["sgd"]


def test_the_losses_start_alike_and_fall(walked: Walk) -> None:
    losses = walked.table("loss in epoch")
    assert len({first for first, *_ in losses.values()}) == 1
    for series in losses.values():
        assert series == sorted(series, reverse=True)
        assert series[0] > 1000 * series[-1]


def test_the_pictures_are_saved(walked: Walk) -> None:
    assert walked.pictures() == {f"{name}-{picture}" for name in NAMES for picture in ("loss", "fit")}
