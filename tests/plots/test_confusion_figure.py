import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.plots import MOST_CLASSES, Scene, confusion_figure
from service.plots.scene import FloatArray, Rects, Role, Text

TITLE = "Confusion matrix"
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def names(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


def heat(scene: Scene, role: Role) -> Rects:
    """The cells of one hue: the first heat map there is, before that of the colour bar."""
    return next(
        item
        for item in scene.items
        if isinstance(item, Rects) and item.role == role and len(item.boxes) and item.opacities is not None
    )


def numbers(scene: Scene) -> dict[str, Text]:
    """The numbers in the cells; tick labels are muted."""
    return {
        item.text: item
        for item in scene.items
        if isinstance(item, Text)
        and item.role in {"text", "background"}
        and re.fullmatch(r"[\d.]+[kMG]?", item.text)
    }


def test_rows_are_actual_and_columns_predicted_from_the_upper_left(seen: Seen) -> None:
    scene = confusion_figure([[11, 22], [33, 44]], ["cat", "dog"], title=TITLE)
    at = numbers(scene)
    assert at["11"].x == at["33"].x < at["22"].x == at["44"].x
    assert at["11"].y == at["22"].y < at["33"].y == at["44"].y
    texts = seen(scene).texts
    assert texts.count("cat") == texts.count("dog") == 2
    assert {"actual", "predicted", "correct", "wrong"} <= set(texts)


def test_right_and_wrong_differ_in_hue(seen: Seen) -> None:
    picture = seen(confusion_figure([[0, 50], [0, 50]], ["a", "b"], title=TITLE))
    right, wrong = (np.argwhere(picture.where(role)[100:360, 60:560]) for role in ("high", "low"))
    assert len(right) > 10_000
    assert len(wrong) > 10_000
    assert wrong[:, 0].max() < right[:, 0].min()


def test_the_colour_is_the_share_of_the_actual_class() -> None:
    rare_and_frequent = confusion_figure([[9, 1], [1000, 9000]], ["rare", "frequent"], title=TITLE)
    assert np.ptp(heat(rare_and_frequent, "high").opacities) == 0
    assert np.ptp(heat(rare_and_frequent, "low").opacities) == 0


def test_one_in_a_hundred_wrong_is_seen() -> None:
    opacities = heat(confusion_figure([[99, 1], [0, 100]], ["a", "b"], title=TITLE), "low").opacities
    assert opacities.min() > 0.1


def test_numbers_change_to_the_colour_of_the_paper_on_solid_cells() -> None:
    at = numbers(confusion_figure([[97, 3], [0, 100]], ["a", "b"], title=TITLE))
    assert (at["97"].role, at["3"].role, at["0"].role) == ("background", "text", "text")


@pytest.mark.parametrize(
    ("count", "each", "shown"),
    [
        (2, 1_234_567, "1234567"),
        (10, 12_345, "12345"),
        (14, 1_234_567, "1.2M"),
        (20, 999_999, "1M"),
        (20, 1049, "1049"),
        (30, 7, "7"),
    ],
)
def test_numbers_are_shortened_before_they_are_left_out(count: int, each: float, shown: str) -> None:
    texts = numbers(confusion_figure(np.eye(count) * each, names(count), title=TITLE))
    assert set(texts) - {"0"} == {shown}


@pytest.mark.parametrize("count", [2, 3, 10, 30, 57, 100])
def test_numbers_stay_in_their_cells_and_are_left_out_of_small_ones(seen: Seen, count: int) -> None:
    matrix = np.random.default_rng(0).integers(1, 90, (count, count))
    scene = confusion_figure(matrix, names(count), title=TITLE)
    sizes = {text.size for text in numbers(scene).values()}
    cell = np.abs(np.diff(np.unique(heat(scene, "high").boxes[:, 1]))).min()
    assert not sizes or max(sizes) <= cell
    assert bool(sizes) == (count <= 30)
    assert len(seen(scene).svg) < 300_000


@pytest.mark.parametrize("count", [2, 10, 31, 100])
@pytest.mark.parametrize(
    "name", ["{}", "class {}", "eine sehr lange Klasse mit Umlauten äöü, number {}", "日本語の長い名前 {}"]
)
def test_labels_keep_apart_and_on_the_paper(seen: Seen, count: int, name: str) -> None:
    scene = confusion_figure(np.eye(count), [name.format(k) for k in range(count)], title=TITLE)
    seen(scene).assert_sound()
    labels = [
        item
        for item in scene.items
        if isinstance(item, Text) and item.role == "muted" and item.anchor == "end"
    ]
    down = sorted(item.y for item in labels if not item.rotation)
    across = sorted(item.x for item in labels if item.rotation)
    assert np.diff(down).min(initial=99) >= 11.5
    assert np.diff(across).min(initial=99) >= 11.5
    assert len({item.text for item in labels if not item.rotation}) == len(down)


def test_the_description_names_the_largest_confusion() -> None:
    text = confusion_figure(
        [[8, 2, 0], [0, 10, 0], [1, 0, 9]], ["cat", "dog", "cow"], title=TITLE
    ).description
    assert "90 % are correct" in text
    assert "20 % of cat were taken for dog" in text


@pytest.mark.parametrize(
    ("matrix", "labels", "note"), [([], [], "no data yet"), (np.zeros((3, 3)), list("abc"), "no rows yet")]
)
def test_nothing_to_draw_is_said(seen: Seen, matrix: FloatArray, labels: Sequence[str], note: str) -> None:
    picture = seen(confusion_figure(matrix, labels, title=TITLE))
    assert note in picture.texts
    picture.assert_sound()


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [((2, 3), 2, r"\(2, 3\)"), ((2, 2), 3, "3 labels"), ((101, 101), 101, "may be 100")],
)
def test_other_shapes_are_refused(shape: tuple[int, int], count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_figure(np.ones(shape), names(count), title=TITLE)
    assert MOST_CLASSES == 100


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float64, st.integers(1, 5).map(lambda k: (k, k)), elements=st.floats()))
def test_any_matrix_can_be_drawn(seen: Seen, matrix: FloatArray) -> None:
    seen(confusion_figure(matrix, names(len(matrix)), title=TITLE)).assert_sound()
