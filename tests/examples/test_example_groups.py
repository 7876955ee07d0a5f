"""The example `groups`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("groups")


def test_each_sensor_has_its_own_line(walked: Walk) -> None:
    assert walked.number(r"(\d+) models, 1 failed") == 999
    table = walked.table("sensor ")
    assert list(table) == [f"s-{number:04}" for number in range(5)]
    for number, (rows, scale, offset, loss) in enumerate(table.values()):
        assert rows == 32
        assert scale == pytest.approx(0.9 + number / 100, abs=0.02)
        assert offset == pytest.approx(number / 2 - 3, abs=0.3)
        assert loss < 0.2


def test_the_one_without_a_model_is_told(walked: Walk) -> None:
    assert "s-0666 has no model: The group has 1 row;" in walked.text
    assert walked.number(r"(\d+) lines are in") == 1000


def test_a_row_is_predicted_by_its_sensor(walked: Walk) -> None:
    assert walked.number(r"is ([\d.]+) at s-0000") == pytest.approx(0.9 * 20 - 3, abs=0.2)
    assert walked.number(r"and ([\d.]+) at s-0012") == pytest.approx(1.02 * 20 + 3, abs=0.2)


def test_the_picture_is_saved(walked: Walk) -> None:
    assert walked.pictures() == {"calibrate-loss"}
