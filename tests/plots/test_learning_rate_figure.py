from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.plots import Scene, learning_rate_figure
from service.plots.scene import FloatArray, Polyline

TITLE = "Learning rate of a job"
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def lines(scene: Scene) -> list[FloatArray]:
    return [item.points for item in scene.items if isinstance(item, Polyline)]


def test_a_rate_holds_until_the_next_one() -> None:
    (points,) = lines(learning_rate_figure([0, 1, 2, 3], [0.1, 0.1, 0.01, 0.01], title=TITLE))
    steps = np.diff(points, axis=0)
    assert ((steps[:, 0] == 0) | (steps[:, 1] == 0)).all()
    fall = points[:-1][steps[:, 1] > 0]
    assert fall[0, 0] == pytest.approx((points[0, 0] + points[-1, 0]) / 2)


@pytest.mark.parametrize(("least", "logarithmic"), [(0.1 / 99, False), (0.1 / 101, True), (0.0, False)])
def test_the_axis_is_logarithmic_over_more_than_two_decades(
    seen: Seen, least: float, *, logarithmic: bool
) -> None:
    picture = seen(learning_rate_figure([0, 1], [0.1, least], title=TITLE))
    assert ("0.01" in picture.texts) is logarithmic


def test_one_epoch_is_a_line() -> None:
    (points,) = lines(learning_rate_figure([0], [0.1], title=TITLE))
    assert np.ptp(points[:, 0]) > 300


def test_epochs_may_come_in_any_order_and_a_missing_rate_is_a_gap() -> None:
    drawn = lines(learning_rate_figure([3, 0, 1, 2], [0.1, 0.4, None, 0.2], title=TITLE))
    assert [len(points) for points in drawn] == [2, 4]
    assert (np.diff(drawn[1][:, 0]) >= 0).all()


@pytest.mark.parametrize(("rates", "note"), [([], "no epochs yet"), ([np.nan, np.inf], "no finite values")])
def test_nothing_to_draw_is_said(seen: Seen, rates: list[float], note: str) -> None:
    assert note in seen(learning_rate_figure(range(len(rates)), rates, title=TITLE)).texts


def test_epochs_that_are_not_finite_are_left_out() -> None:
    (points,) = lines(learning_rate_figure([np.nan, 0, -np.inf, 1], [9.0, 0.1, 9.0, 0.2], title=TITLE))
    assert len(points) == 4


def test_a_million_epochs_stay_small(seen: Seen) -> None:
    epochs = np.arange(1_000_000)
    picture = seen(learning_rate_figure(epochs, 0.1 + 0.05 * np.sin(epochs / 1000), title=TITLE))
    assert len(picture.svg) < 100_000
    assert picture.where("data").sum() > 500


def test_the_description_gives_the_course() -> None:
    scene = learning_rate_figure([0, 1, 2], [0.01, 0.1, 0.001], title=TITLE)
    assert "from 0.01 to 0.001, at most 0.1" in scene.description


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="epochs and learning_rate"):
        learning_rate_figure([0, 1], [0.1], title=TITLE)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.floats(), max_size=12))
def test_any_rates_can_be_drawn(seen: Seen, rates: list[float | None]) -> None:
    seen(learning_rate_figure(range(len(rates)), rates, title=TITLE)).assert_sound()
