from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.plots import Scene, weights_figure
from service.plots.scene import FloatArray, Rects, Role, Segments, Text

TITLE = "Weights of the first layer"
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def layers(scene: Scene, role: Role) -> list[Rects]:
    """The cells of one hue in the order of painting; the last are those of the colour bar."""
    return [
        item
        for item in scene.items
        if isinstance(item, Rects) and item.role == role and item.opacities is not None
    ]


def tiles(scene: Scene) -> list[FloatArray]:
    """The outlines of the tiles; the last is that of the colour bar."""
    return [item.ends for item in scene.items if isinstance(item, Segments) and len(item.ends) == 4][:-1]


def captions(scene: Scene) -> list[str]:
    return [item.text for item in scene.items if isinstance(item, Text) and item.size == 10.0]


def test_signs_are_hues_and_magnitudes_are_opacities() -> None:
    scene = weights_figure([[2.0, 1.0], [-1.0, -2.0]], title=TITLE)
    above, below = layers(scene, "high")[0], layers(scene, "low")[0]
    assert above.opacities == pytest.approx([1.0, 0.5])
    assert below.opacities == pytest.approx([0.5, 1.0])
    assert above.boxes[0, 0] < above.boxes[1, 0]
    assert above.boxes[:, 1].max() < below.boxes[:, 1].min()


def test_zero_has_no_colour_and_the_map_is_centred_on_it() -> None:
    scene = weights_figure([[0.0, 0.0, 4.0, -1.0]], title=TITLE)
    assert len(layers(scene, "high")[0].boxes) == 1
    assert layers(scene, "low")[0].opacities == pytest.approx([0.25])


def test_all_zeros_are_paper(seen: Seen) -> None:
    picture = seen(weights_figure(np.zeros((3, 3)), title=TITLE))
    assert picture.where("background")[120:200, 100:500].all()


def test_a_limit_of_the_caller_makes_pictures_comparable() -> None:
    (first, *_) = layers(weights_figure([[1.0, 9.0]], title=TITLE, limit=2.0), "high")
    assert first.opacities == pytest.approx([0.5, 1.0])


def test_names_stand_beside_rows_and_columns(seen: Seen) -> None:
    inputs, outputs = ["age", "income in €"], ["price", "rent"]
    picture = seen(weights_figure(np.ones((2, 2)), title=TITLE, inputs=inputs, outputs=outputs))
    assert {*inputs, *outputs, "input", "output", "weight"} <= set(picture.texts)


def test_a_large_matrix_shows_the_largest_of_each_block(seen: Seen) -> None:
    weights = np.zeros((400, 900))
    weights[123, 456] = -1.0
    scene = weights_figure(weights, title=TITLE)
    assert layers(scene, "low")[0].opacities.tolist() == [1.0]
    assert "output (5 to a cell, the largest is shown)" in seen(scene).texts
    noise = seen(weights_figure(np.random.default_rng(0).normal(size=(2000, 3000)), title=TITLE))
    assert len(noise.svg) < 300_000


def test_what_is_not_finite_is_grey_or_full_and_named(seen: Seen) -> None:
    scene = weights_figure([[1.0, np.nan, np.inf, -np.inf]], title=TITLE)
    assert len(layers(scene, "axis")[0].boxes) == 1
    assert layers(scene, "high")[0].opacities.tolist() == [1.0, 1.0]
    assert layers(scene, "low")[0].opacities.tolist() == [1.0]
    assert "not finite" in seen(scene).texts
    assert "not finite" not in seen(weights_figure([[1.0]], title=TITLE)).texts


def test_rows_that_are_pictures_become_tiles_with_their_names() -> None:
    scene = weights_figure(
        np.random.default_rng(0).normal(size=(10, 28, 28)), title=TITLE, outputs=list("abcdefghij")
    )
    assert captions(scene) == list("abcdefghij")
    assert len(tiles(scene)) == 10
    outline = tiles(scene)[0]
    assert np.ptp(outline[:, 0]) == pytest.approx(np.ptp(outline[:, 1]), abs=1)


def test_filters_of_one_output_stand_in_one_row() -> None:
    scene = weights_figure(np.ones((8, 3, 5, 5)), title=TITLE)
    assert captions(scene)[:4] == ["0, 0", "0, 1", "0, 2", "1, 0"]
    tops = [outline[:, 1].min() for outline in tiles(scene)]
    assert all(len(set(tops[k : k + 3])) == 1 for k in range(0, 24, 3))


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((128, 28, 28), "the first 64 of 128"),
        ((32, 3, 7, 7), "the first 63 of 96"),
        ((3, 100, 2, 2), "the first 64 of 300"),
    ],
)
def test_of_many_tiles_the_first_are_drawn(seen: Seen, shape: tuple[int, ...], shown: str) -> None:
    scene = weights_figure(np.random.default_rng(0).normal(size=shape), title=TITLE, subtitle="job_7")
    picture = seen(scene)
    assert f"job_7; {shown}" in picture.texts
    assert len(picture.svg) < 320_000
    picture.assert_sound()


def test_large_tiles_show_means() -> None:
    board = np.indices((400, 400)).sum(axis=0) % 2 * 2.0 - 1
    scene = weights_figure(board[np.newaxis], title=TITLE)
    assert len(layers(scene, "high")) == len(layers(scene, "low")) == 1  # Those of the colour bar.


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (300, 1), (2, 1, 40), (2, 40, 1), (1, 1, 1, 1), (64, 1, 3, 3), (200,)]
)
def test_all_shapes_stay_on_the_paper(seen: Seen, shape: tuple[int, ...]) -> None:
    seen(weights_figure(np.random.default_rng(0).normal(size=shape), title=TITLE)).assert_sound()


def test_long_names_keep_apart(seen: Seen) -> None:
    inputs = [f"ein sehr langer Name für ein Merkmal, Nummer {k}" for k in range(60)]
    scene = weights_figure(np.ones((4, 60)), title=TITLE, inputs=inputs)
    turned = sorted(
        item.x for item in scene.items if isinstance(item, Text) and item.rotation and item.role == "muted"
    )
    assert len(turned) >= 20
    assert np.diff(turned).min() >= 11.5
    seen(scene).assert_sound()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0,), (0, 4, 4), (2, 0, 3, 3)])
def test_no_weights_are_said(seen: Seen, shape: tuple[int, ...]) -> None:
    assert "no weights" in seen(weights_figure(np.empty(shape), title=TITLE)).texts


@pytest.mark.parametrize("shape", [(), (1, 1, 1, 1, 1)])
def test_other_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one to four dimensions"):
        weights_figure(np.ones(shape), title=TITLE)


def test_names_must_be_as_many_as_weights() -> None:
    with pytest.raises(ValueError, match="2 names of inputs for 3"):
        weights_figure(np.ones((1, 3)), title=TITLE, inputs=["a", "b"])


def test_the_description_gives_the_range() -> None:
    text = weights_figure([[-0.5, 1.5]], title=TITLE).description
    assert text == "Weights, 1 by 2: from -0.5 to 1.5, 50 % of them below zero."


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float64, arrays.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.floats())
)
def test_any_weights_can_be_drawn(seen: Seen, weights: FloatArray) -> None:
    seen(weights_figure(weights, title=TITLE)).assert_sound()
