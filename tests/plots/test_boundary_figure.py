from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.plots import GRID_COLUMNS, GRID_ROWS, Scene, boundary_figure, grid_axis
from service.plots.scene import FloatArray, Rects

WORDS = {"x_label": "length / cm", "y_label": "width / cm", "title": "Classes"}
TWO = ["cat", "dog"]
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def left_and_right(rows: int = 40, columns: int = 50) -> dict[str, Any]:
    """A grid over 0 to 1, class 0 on the left and class 1 on the right."""
    x, y = (np.arange(count) / count + 0.5 / count for count in (columns, rows))
    return {"grid": np.tile((x > 0.5).astype(np.int64), (rows, 1)), "grid_x": x, "grid_y": y}


def regions(scene: Scene) -> dict[str, FloatArray]:
    """The boxes of each region in the frame, by role."""
    return {item.role: item.boxes for item in scene.items if isinstance(item, Rects)}


def area(boxes: FloatArray) -> float:
    return float((boxes[:, 2] * boxes[:, 3]).sum())


def test_regions_lie_where_the_grid_says_and_fill_the_frame(seen: Seen) -> None:
    scene = boundary_figure([0.2, 0.9], [0.5, 0.5], [0, 1], **left_and_right(), labels=TWO, **WORDS)
    left, right = regions(scene)["data"], regions(scene)["accent"]
    assert left[:, 0].max() < right[:, 0].min() == pytest.approx((left[:, :1] + left[:, 2:3]).max())
    assert area(left) == pytest.approx(area(right), rel=0.01)
    assert area(left) + area(right) > 0.6 * scene.width * scene.height
    assert {"cat", "dog", "length / cm", "width / cm"} <= set(seen(scene).texts)
    assert "cat on 50 % of the area" in scene.description


def test_the_first_row_of_the_grid_is_the_lowest() -> None:
    grid = np.array([[0, 0], [1, 1]])
    scene = boundary_figure([], [], [], grid, grid_x=[0, 1], grid_y=[0, 1], labels=TWO, **WORDS)
    assert regions(scene)["data"][:, 1].min() > regions(scene)["accent"][:, 1].max()


def test_points_have_the_colours_of_their_actual_classes(seen: Seen) -> None:
    place = {"grid": np.zeros((2, 2), np.int64), "grid_x": [0, 1], "grid_y": [0, 1]}
    alone = seen(boundary_figure([], [], [], **place, labels=TWO, **WORDS))
    picture = seen(boundary_figure([0.5], [0.5], [1], **place, labels=TWO, **WORDS))
    assert alone.where("accent", tolerance=50)[80:].sum() == 0
    assert picture.where("accent", tolerance=50)[80:].sum() > 30


def test_probabilities_fade_towards_the_border() -> None:
    x = np.linspace(0, 1, 101)
    chances = np.tile(x, (10, 1))
    place = {"grid_x": x, "grid_y": np.linspace(0, 1, 10), "labels": TWO}
    of_two = boundary_figure([], [], [], chances, **place, **WORDS)
    of_each = boundary_figure([], [], [], np.stack((1 - chances, chances), axis=2), **place, **WORDS)
    for scene in (of_two, of_each):
        (cells,) = (item for item in scene.items if isinstance(item, Rects) and item.role == "accent")
        row = cells.boxes[:, 1] == cells.boxes[0, 1]
        assert cells.opacities is not None
        assert (np.diff(cells.opacities[row]) > 0).all()
        assert cells.opacities.max() < 0.5
    assert all(np.array_equal(regions(of_two)[role], regions(of_each)[role]) for role in ("data", "accent"))


def test_cells_that_are_not_finite_stay_paper(seen: Seen) -> None:
    chances = np.full((4, 4), np.nan)
    chances[:, :2] = 0.0
    scene = boundary_figure([], [], [], chances, grid_x=range(4), grid_y=range(4), labels=TWO, **WORDS)
    assert set(regions(scene)) == {"data"}
    assert seen(scene).where("background")[100:380, 450:690].all()


def test_a_point_outside_of_the_grid_widens_the_frame(seen: Seen) -> None:
    scene = boundary_figure([5.0], [5.0], [0], **left_and_right(), labels=TWO, **WORDS)
    assert area(regions(scene)["data"]) < 0.02 * scene.width * scene.height
    seen(scene).assert_sound()


def test_more_classes_than_colours_are_named_on_their_regions(seen: Seen) -> None:
    x = np.arange(90.0)
    grid = np.tile((x // 10).astype(np.int64), (20, 1))
    labels = [f"species {k}" for k in range(9)]
    picture = seen(boundary_figure([], [], [], grid, grid_x=x, grid_y=range(20), labels=labels, **WORDS))
    assert all(picture.texts.count(label) == 2 for label in labels)  # In the legend and on the region.


def test_a_million_points_and_a_large_grid_stay_small(seen: Seen) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 1_000_000))
    place = {"grid_x": np.linspace(-4, 4, 900), "grid_y": np.linspace(-4, 4, 700)}
    grid = np.add.outer(np.sin(place["grid_y"]), place["grid_x"]) > 0
    classes = (x + np.sin(y) > 0).astype(np.int64)
    scene = boundary_figure(x, y, classes, grid.astype(np.int64), **place, labels=TWO, **WORDS)
    assert len(seen(scene).svg) < 300_000


def test_unknown_classes_are_left_out(seen: Seen) -> None:
    scene = boundary_figure([0, 1], [0, 1], [-1, 2], [[5]], grid_x=[0], grid_y=[0], labels=TWO, **WORDS)
    assert "no data yet" in seen(scene).texts
    assert "0 points" in scene.description


def test_nothing_to_draw_is_said(seen: Seen) -> None:
    scene = boundary_figure([], [], [], np.empty((0, 0)), grid_x=[], grid_y=[], labels=[], **WORDS)
    assert "no data yet" in seen(scene).texts


def test_points_without_a_grid_are_a_scatter(seen: Seen) -> None:
    place = {"grid": np.empty((0, 0)), "grid_x": [], "grid_y": []}
    picture = seen(boundary_figure([1, 2], [3, 4], [0, 1], **place, labels=TWO, **WORDS))
    assert {"cat", "dog"} <= set(picture.texts)
    picture.assert_sound()


@pytest.mark.parametrize("places", [[1, 0], [0, 0], [0, np.nan]])
def test_places_that_do_not_ascend_are_refused(places: list[float]) -> None:
    with pytest.raises(ValueError, match="grid_x must ascend"):
        boundary_figure([], [], [], np.zeros((1, 2)), grid_x=places, grid_y=[0], labels=TWO, **WORDS)


def test_a_grid_of_another_shape_than_its_places_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*3 rows, 2 columns"):
        boundary_figure([], [], [], np.zeros((2, 3)), grid_x=[0, 1], grid_y=[0, 1, 2], labels=TWO, **WORDS)
    with pytest.raises(ValueError, match="point_classes"):
        boundary_figure([1], [1], [], np.zeros((1, 1)), grid_x=[0], grid_y=[0], labels=TWO, **WORDS)


@pytest.mark.parametrize("values", [[], [3.0], [1.0, 2.0, np.nan], [-1e300, 1e300], [5e-324], [1e9, 1e9 + 1]])
@pytest.mark.parametrize("count", [1, GRID_COLUMNS, GRID_ROWS])
def test_a_grid_axis_covers_the_values_with_equal_steps(values: list[float], count: int) -> None:
    places = grid_axis(values, count=count)
    half = np.diff(places).mean() / 2 if count > 1 else np.inf
    assert places.shape == (count,)
    assert (np.diff(places) > 0).all()
    for value in filter(np.isfinite, values):
        assert places[0] - half <= value <= places[-1] + half


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=8), st.floats())
def test_any_floats_can_be_drawn(seen: Seen, pairs: list[tuple[float, float]], chance: float) -> None:
    x, y = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    place = {"grid_x": grid_axis(x, count=5), "grid_y": grid_axis(y, count=4)}
    grid = np.full((4, 5), chance)
    seen(
        boundary_figure(x, y, [k % 2 for k in range(x.size)], grid, **place, labels=TWO, **WORDS)
    ).assert_sound()
