"""The example `sweep`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk

NAMES = ["grid", "random", "tpe", "successive-halving"]
NOISE = 0.01


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("sweep")


def test_every_search_finds_a_network_that_follows_the_curve(walked: Walk) -> None:
    found = walked.table("search ")
    assert list(found) == NAMES
    for _, _, lr, hidden, loss in found.values():
        assert 0.0001 <= lr <= 1
        assert 2 <= hidden <= 64
        assert NOISE / 2 < loss < 8 * NOISE


def test_successive_halving_trains_more_networks_for_fewer_epochs(walked: Walk) -> None:
    rows = walked.table("search ")
    counts = {name: (trials, epochs) for name, (trials, epochs, *_) in rows.items()}
    assert counts["grid"] == counts["random"] == (12, 540)
    assert counts["tpe"] == (20, 900)
    assert counts["successive-halving"] == (26, 270)


def test_the_best_come_first(walked: Walk) -> None:
    losses = [float(row[2]) for row in walked.rows("the best three")]
    assert len(losses) == 3
    assert losses == sorted(losses)
    assert losses[0] == walked.table("search ")["tpe"][4]


def test_the_pictures_are_saved(walked: Walk) -> None:
    pictures = ("parallel", "loss", "search")
    assert walked.pictures() == {f"{name}-{picture}" for name in NAMES for picture in pictures}
