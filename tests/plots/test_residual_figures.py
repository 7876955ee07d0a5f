from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.plots import Scene, residual_histogram_figure, residuals_figure
from service.plots.scene import FloatArray, Polyline, Rects

WORDS = {"target": "y", "title": "Residuals"}
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def quantile_lines(scene: Scene) -> list[FloatArray]:
    """The points of the lower, the upper and the middle line, without the samples in the legend."""
    lines = [item for item in scene.items if isinstance(item, Polyline) and item.role == "accent"]
    return [line.points for line in lines if np.ptp(line.points[:, 0]) > 100]


def bars(scene: Scene) -> FloatArray:
    """The boxes in the frame, without the sample in the legend."""
    (found,) = (item.boxes for item in scene.items if isinstance(item, Rects) and item.opacities is not None)
    return found


def test_the_median_bends_with_what_the_model_missed() -> None:
    guess = np.linspace(-1, 1, 2000)
    scene = residuals_figure(guess, guess**2, **WORDS)
    median = quantile_lines(scene)[2]
    heights = median[:, 1]
    assert len(median) == 24
    assert heights.argmax() in {11, 12}  # Pixels point down: the lowest residual is in the middle.
    assert heights[0] < heights[6] < heights[11]


def test_the_band_widens_with_the_noise() -> None:
    guess = np.linspace(0.1, 10, 5000)
    rest = guess * np.random.default_rng(0).normal(size=guess.size)
    lower, upper, _ = quantile_lines(residuals_figure(guess, rest, **WORDS))
    width = lower[:, 1] - upper[:, 1]
    assert width[-1] > 5 * width[0] > 0


@pytest.mark.parametrize(("count", "lines"), [(7, 0), (8, 3), (200, 3)])
def test_few_rows_have_level_lines_and_very_few_have_none(count: int, lines: int) -> None:
    guess = np.arange(float(count))
    found = quantile_lines(residuals_figure(guess, np.sin(guess), **WORDS))
    assert len(found) == lines
    assert all((np.ptp(points[:, 1]) == 0) == (count < 80) for points in found)


def test_equal_predictions_are_one_stretch(seen: Seen) -> None:
    rest = np.random.default_rng(0).normal(size=1000)
    scene = residuals_figure(np.full(1000, 3.0), rest, **WORDS)
    assert all(np.ptp(points[:, 1]) == 0 for points in quantile_lines(scene))
    seen(scene).assert_sound()


def test_zero_is_always_in_the_frame(seen: Seen) -> None:
    picture = seen(residuals_figure([1, 2, 3], [100, 101, 102], **WORDS))
    assert "0" in picture.texts
    assert picture.where("text")[100:390, 120:].sum() > 300


def test_parts_are_told_apart(seen: Seen) -> None:
    picture = seen(
        residuals_figure(range(4), [1, -1, 1, -1], parts={"train": [0, 1], "dev": [2, 3]}, **WORDS)
    )
    assert {"train", "dev"} <= set(picture.texts)
    assert picture.where("dev", tolerance=60)[60:].sum() > 30


def test_the_description_says_where_most_residuals_lie() -> None:
    rest = np.linspace(-1, 1, 101)
    assert "two thirds of them between -0.68 and 0.68" in residuals_figure(rest, rest, **WORDS).description


@pytest.mark.parametrize(("rest", "note"), [([], "no data yet"), ([np.nan, np.inf], "no finite values")])
def test_nothing_to_draw_is_said(seen: Seen, rest: list[float], note: str) -> None:
    assert note in seen(residuals_figure(rest, rest, **WORDS)).texts
    assert note in seen(residual_histogram_figure(rest, **WORDS)).texts


def test_a_million_residuals_stay_small(seen: Seen) -> None:
    generator = np.random.default_rng(0)
    guess, rest = generator.normal(size=(2, 1_000_000))
    picture = seen(residuals_figure(guess, rest, **WORDS))
    assert len(picture.svg) < 300_000
    assert picture.where("accent").sum() > 500
    assert len(seen(residual_histogram_figure(rest, **WORDS)).svg) < 20_000


def test_bars_have_heights_in_proportion_to_their_counts() -> None:
    rest = np.repeat([0.5, 1.5, 2.5, 3.5, 4.5], [10, 20, 40, 20, 10])
    boxes = bars(residual_histogram_figure(rest, **WORDS))
    assert boxes[:, 3] / boxes[0, 3] == pytest.approx([1, 2, 4, 2, 1])


def test_the_normal_curve_follows_normal_residuals() -> None:
    scene = residual_histogram_figure(np.random.default_rng(0).normal(3, 2, 50_000), **WORDS)
    (curve,) = quantile_lines(scene)
    boxes = bars(scene)
    middles, tops = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1]
    assert np.interp(middles, curve[:, 0], curve[:, 1]) == pytest.approx(tops, abs=15)


def test_a_far_residual_is_counted_and_does_not_flatten_the_others(seen: Seen) -> None:
    rest = np.append(np.random.default_rng(0).normal(size=1000), [1e6, -1e6])
    scene = residual_histogram_figure(rest, **WORDS)
    assert len(bars(scene)) > 10
    assert "residual of y (actual - predicted), 2 farther out" in seen(scene).texts
    assert "1002 residuals" in scene.description


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_equal_residuals_are_one_bar_in_the_middle(seen: Seen, count: int) -> None:
    scene = residual_histogram_figure([0.25] * count, **WORDS)
    (box,) = bars(scene)
    assert 250 < box[0] < 450
    seen(scene).assert_sound()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=60))
def test_any_floats_can_be_drawn(seen: Seen, pairs: list[tuple[float, float]]) -> None:
    guess, rest = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    seen(residuals_figure(guess, rest, **WORDS)).assert_sound()
    seen(residual_histogram_figure(rest, **WORDS)).assert_sound()
