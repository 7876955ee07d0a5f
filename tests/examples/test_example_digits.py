"""The example `digits`."""

import json
from collections.abc import Callable

import pytest

from tests.examples.walks import Walk

NAMES = ["softmax", "mlp", "cnn"]


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("digits")


def test_the_images_are_uploaded_as_images(walked: Walk) -> None:
    assert "1797 images [1, 8, 8], classes [0.0, 1.0," in walked.text


def test_each_network_reads_rows_that_it_has_not_seen(walked: Walk) -> None:
    accuracy = {name: test for name, (_, _, test, _) in walked.table("model ").items()}
    assert list(accuracy) == NAMES
    assert accuracy["softmax"] > 0.92
    assert accuracy["mlp"] > 0.94
    assert accuracy["cnn"] > 0.96
    assert accuracy["cnn"] > accuracy["softmax"]


def test_every_digit_is_as_frequent_in_the_test_rows(walked: Walk) -> None:
    job = json.loads((walked.folder / "cnn.json").read_text("utf-8"))
    each = [sum(row) for row in job["result"]["metrics"]["test"]["confusion_matrix"]]
    assert job["result"]["classes"] == list(range(10))
    assert sum(each) == job["result"]["split"]["rows"]["test"] == pytest.approx(0.15 * 1797, abs=3)
    assert max(each) - min(each) <= 3


def test_the_pictures_are_saved(walked: Walk) -> None:
    pictures = ("loss", "confusion", "weights")
    assert walked.pictures() == {f"{name}-{picture}" for name in NAMES for picture in pictures}
