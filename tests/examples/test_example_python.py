"""The example `python`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk

NOISE = 0.2


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("python")


def test_a_line_is_too_stiff_and_the_others_come_near_the_noise(walked: Walk) -> None:
    found = {name: dev for name, (_, dev) in walked.table("model ").items()}
    assert found["linear"] > 1
    assert NOISE / 2 < min(found["cubic"], found["network"]) < 2 * NOISE


def test_predictions_keep_their_names(walked: Walk) -> None:
    found = {name: value for name, (value,) in walked.table("what the best one says").items()}
    true = {"ice": 1.8 - 0.5, "skin": 30 - 0.5, "soup": 61.8 - 2}
    assert found == pytest.approx(true, abs=0.5)


def test_scikit_learn_cross_validates_it(walked: Walk) -> None:
    assert 0.99 < walked.number(r"r2 ([\d.]+)") < 1


def test_picture_and_history_are_saved(walked: Walk) -> None:
    assert walked.pictures() == {"predicted"}
    assert (walked.folder / "history.csv").read_text("utf-8").startswith("epoch,train_loss,dev_loss")
