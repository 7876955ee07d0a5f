import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.plots import Scene, predicted_figure, render_svg
from service.plots.scene import Circles, Dots, FloatArray, Role, Segments

WORDS = {"target": "price in €", "title": "Predicted against actual"}
ROLES: tuple[Role, ...] = ("data", "dev", "series-5")  # Of train, dev and test.
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def circles(scene: Scene) -> dict[str, Circles]:
    """The points in the frame by role, without the samples in the legend."""
    return {item.role: item for item in scene.items if isinstance(item, Circles) and item.radius != 4.0}


def equality(scene: Scene) -> FloatArray:
    """The dashes across the frame, without the sample in the legend."""
    (line,) = (item for item in scene.items[-1:] if isinstance(item, Segments) and item.role == "text")
    return line.ends


def test_perfect_predictions_lie_on_the_line_of_equality() -> None:
    truth = np.array([1.0, 2.0, 5.0, 9.0])
    scene = predicted_figure(truth, truth, **WORDS)
    ends = equality(scene)
    way = (ends[-1, 2:] - ends[0, :2]) / np.hypot(*(ends[-1, 2:] - ends[0, :2]))
    off = (circles(scene)["data"].centres - ends[0, :2]) @ np.array([-way[1], way[0]])
    assert off == pytest.approx(0, abs=1e-6)


def test_what_is_predicted_too_high_lies_above_the_line() -> None:
    scene = predicted_figure([0.0, 10.0, 5.0], [0.0, 10.0, 8.0], **WORDS)
    low, high, over = circles(scene)["data"].centres
    assert over[0] == pytest.approx((low[0] + high[0]) / 2)
    assert over[1] < (low[1] + high[1]) / 2


def test_parts_have_their_colours_and_an_entry_in_the_legend(seen: Seen) -> None:
    mask = np.array([False, False, True, False, False, False])
    parts = {"train": [0, 1], "dev": mask, "test": np.array([3]), "calibration": [4]}
    scene = predicted_figure(range(6), range(6), parts=parts, **WORDS)
    found = {role: len(item.centres) for role, item in circles(scene).items()}
    assert found == {"data": 2, "dev": 1, "series-5": 1, "series-4": 1}
    assert {*parts, "predicted = actual"} <= set(seen(scene).texts)
    assert "train: 2 points" in scene.description


def test_a_part_without_points_is_not_in_the_legend(seen: Seen) -> None:
    picture = seen(
        predicted_figure([1, np.nan], [1, 1], parts={"train": [0], "dev": [1], "test": []}, **WORDS)
    )
    assert "train" in picture.texts
    assert not {"dev", "test"} & set(picture.texts)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([3], "do not exist: there are 3"), ([-1], "do not exist"), ([True], r"shape \(1,\)")],
)
def test_rows_that_do_not_exist_are_refused(rows: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=f"'dev'.*{message}"):
        predicted_figure([1, 2, 3], [1, 2, 3], parts={"dev": rows}, **WORDS)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="actual and predicted"):
        predicted_figure([1, 2], [1], **WORDS)


@pytest.mark.parametrize(
    ("truth", "note"),
    [([], "no data yet"), ([np.nan, np.inf], "no finite values"), ([None], "no finite values")],
)
def test_nothing_to_draw_is_said(seen: Seen, truth: list[float | None], note: str) -> None:
    picture = seen(predicted_figure(truth, [1.0] * len(truth), **WORDS))
    assert note in picture.texts
    assert "predicted = actual" not in picture.texts


def test_a_million_points_in_parts_are_small_and_quick_and_no_part_hides_another(seen: Seen) -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=1_000_000)
    guess = truth + generator.normal(scale=0.3, size=truth.size)
    part = generator.choice(3, truth.size, p=[0.6, 0.2, 0.2])
    begin = time.perf_counter()
    scene = predicted_figure(
        truth, guess, parts={"train": part == 0, "dev": part == 1, "test": part == 2}, **WORDS
    )
    svg = render_svg(scene)
    assert time.perf_counter() - begin < 5  # It takes half a second on a machine with nothing else to do.
    assert len(svg) < 300_000
    areas = {
        role: sum(len(d.centres) for d in scene.items if isinstance(d, Dots) and d.role == role)
        for role in ROLES
    }
    shares = np.array(list(areas.values())) / sum(areas.values())
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert all(seen(scene).where(role, tolerance=50)[80:].sum() > 1000 for role in ROLES)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=12))
def test_any_floats_can_be_drawn(seen: Seen, pairs: list[tuple[float, float]]) -> None:
    truth, guess = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    seen(predicted_figure(truth, guess, **WORDS)).assert_sound()
