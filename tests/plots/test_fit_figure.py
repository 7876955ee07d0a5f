from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.plots import Scene, fit_figure
from service.plots.scene import Circles, Dots, FloatArray, Polyline

LABELS = {"x_label": "x", "y_label": "y", "title": "Data and fit"}
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def tutorial(count: int = 256) -> tuple[FloatArray, FloatArray]:
    generator = np.random.default_rng(0)
    x = generator.uniform(0, 1, count)
    return x, 5 * x + 7 + generator.normal(0, 0.25, count)


def marks(scene: Scene, kind: type = Circles) -> list[Any]:
    """The marks in the frame, without the sample in the legend."""
    return [item for item in scene.items if isinstance(item, kind) and item.radius != 4.0]


def test_the_tutorial_line_lies_on_its_data(seen: Seen) -> None:
    x, y = tutorial()
    scene = fit_figure(x, y, [0, 1], [7, 12], subtitle="y = 5 x + 7", **LABELS)
    picture = seen(scene)
    (circles,) = marks(scene)
    assert len(circles.centres) == 256
    data, fit = picture.where("data", tolerance=60), picture.where("accent")
    assert {"data", "fit", "x", "y", "Data and fit", "y = 5 x + 7"} <= set(picture.texts)
    # Each upright strip of the frame shows both, at about the same height.
    for left in range(120, 680, 80):
        rows = [np.nonzero(mask[100:390, left : left + 40])[0].mean() for mask in (data, fit)]
        assert rows[0] == pytest.approx(rows[1], abs=25)


def test_the_line_is_painted_over_the_data() -> None:
    scene = fit_figure(*tutorial(), [0, 1], [7, 12], **LABELS)
    kinds = [type(item) for item in scene.items]
    assert kinds[-2:] == [Circles, Polyline]


@pytest.mark.parametrize("shape", ["cloud", "band", "uniform"])
def test_a_million_points_stay_small(seen: Seen, shape: str) -> None:
    generator = np.random.default_rng(0)
    x, y = tutorial(1_000_000)
    x, y = {
        "cloud": (generator.normal(size=x.size), generator.normal(size=x.size)),
        "band": (x, y),
        "uniform": (x, generator.uniform(size=x.size)),
    }[shape]
    picture = seen(fit_figure(x, y, x, 5 * x + 7, **LABELS))
    assert len(picture.svg) < 300_000
    assert picture.where("data", tolerance=60).sum() > 5_000


def test_a_lone_point_beside_a_million_is_visible(seen: Seen) -> None:
    x, y = tutorial(1_000_000)
    x[77], y[77] = 0.1, 100.0
    scene = fit_figure(x, y, [], [], **LABELS)
    places = np.concatenate([dots.centres for dots in marks(scene, Dots)])
    column, row = np.round(places[places[:, 1].argmin()]).astype(int)
    paper = seen(scene).pixels[row, column]
    assert row < 100
    assert paper[0] < 160


def test_few_points_are_larger_than_many() -> None:
    few, many = (marks(fit_figure(*tutorial(n), [], [], **LABELS))[0].radius for n in (10, 1000))
    assert few > many


def test_what_is_not_finite_is_left_out() -> None:
    scene = fit_figure(
        [0, np.nan, 2, np.inf], [1, 2, np.inf, 3], [0, 1, 2, 3, 4], [0, 1, np.nan, 3, 4], **LABELS
    )
    assert [len(item.centres) for item in marks(scene)] == [1]
    assert [len(item.points) for item in scene.items if isinstance(item, Polyline) and item.width < 2.4] == [
        2,
        2,
    ]
    assert "1 points" in scene.description


def test_an_unsorted_line_is_drawn_from_left_to_right() -> None:
    scene = fit_figure([], [], [3, 1, 2], [9, 1, 4], **LABELS)
    (line,) = (item for item in scene.items if isinstance(item, Polyline) and item.width < 2.4)
    assert (np.diff(line.points[:, 0]) > 0).all()


def test_a_curve_is_drawn_through_all_its_points() -> None:
    at = np.linspace(0, 1, 400)
    scene = fit_figure(*tutorial(), at, np.sin(9 * at) + 8, **LABELS)
    (curve,) = (item for item in scene.items if isinstance(item, Polyline) and item.width < 2.4)
    assert len(curve.points) == 400
    turns = np.flatnonzero(np.diff(np.sign(np.diff(curve.points[:, 1]))))
    assert len(turns) == 3


def test_parts_are_told_apart_and_the_fit_stays_on_top(seen: Seen) -> None:
    x, y = tutorial(100)
    parts = {"train": range(70), "dev": range(70, 85), "test": range(85, 100)}
    scene = fit_figure(x, y, [0, 1], [7, 12], parts=parts, **LABELS)
    assert {item.role: len(item.centres) for item in marks(scene)} == {"data": 70, "dev": 15, "series-5": 15}
    assert {"train", "dev", "test", "fit"} <= set(seen(scene).texts)
    assert isinstance(scene.items[-1], Polyline)


def test_a_million_points_in_parts_stay_small(seen: Seen) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 1_000_000))
    thirds = np.arange(x.size) % 3
    parts = {name: thirds == k for k, name in enumerate(("train", "dev", "test"))}
    assert len(seen(fit_figure(x, y, [], [], parts=parts, **LABELS)).svg) < 300_000


def test_no_data_says_so(seen: Seen) -> None:
    picture = seen(fit_figure([], [], [], [], **LABELS))
    assert "no data yet" in picture.texts
    assert "fit" not in picture.texts


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e12, 1e300, 7e307])
def test_all_magnitudes_are_drawn_alike(seen: Seen, scale: float) -> None:
    x = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) * scale
    scene = fit_figure(x, x, x, x, **LABELS)
    (circles,) = marks(scene)
    steps = np.diff(circles.centres, axis=0)
    assert (steps[:, 0] > 50).all()
    assert (steps[:, 1] < -20).all()
    assert seen(scene).where("accent").sum() > 500


def test_constant_targets_lie_in_the_middle(seen: Seen) -> None:
    picture = seen(fit_figure([1, 2, 3], [4, 4, 4], [1, 3], [4, 4], **LABELS))
    rows = np.nonzero(picture.where("accent")[100:])[0] + 100
    assert rows.size
    assert np.ptp(rows) <= 3


@pytest.mark.parametrize(
    "label", ['<&> "quoted" \'', "Zähler µV 日本 😀", "a\x00b\x1f\ufffe", "\ud800", "x" * 5000]
)
def test_any_label_is_legible_xml(seen: Seen, label: str) -> None:
    picture = seen(fit_figure([1], [1], [], [], x_label=label, y_label=label, title=label, subtitle=label))
    shown = [
        text
        for text in picture.texts
        if text[:1] == label[:1] or text.startswith("\N{REPLACEMENT CHARACTER}")
    ]
    assert len(shown) == 4
    assert all(len(text) < 150 for text in shown)


@pytest.mark.parametrize(
    ("columns", "names"), [(([1], [1, 2], [], []), "x and y"), (([], [], [1], [[1]]), "line_x and line_y")]
)
def test_columns_of_different_lengths_are_refused(columns: tuple[list[float], ...], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        fit_figure(*columns, **LABELS)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=12))
def test_marks_stay_in_the_picture(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).reshape(-1, 2).T
    scene = fit_figure(x, y, x, y, **LABELS)
    for item in marks(scene):
        assert ((item.centres >= 0) & (item.centres <= (scene.width, scene.height))).all()
