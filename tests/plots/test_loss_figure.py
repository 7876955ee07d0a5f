import math
import re
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.plots import Run, Scene, loss_figure
from service.plots.scene import Circles, Polyline, Role, Segments

TITLE = "Loss of a job"
Seen = Callable[[Scene], Any]  # Draws with both backends; see conftest.


def shapes(root: Element) -> list[str]:
    """What stands in the attributes that place a shape."""
    return [
        value
        for element in root.iter()
        for key, value in element.attrib.items()
        if key not in {"class", "role"}
    ]


def lines(scene: Scene, role: Role = "data") -> list[Polyline]:
    """Lines in the frame, without the samples in the legend."""
    return [
        item for item in scene.items if isinstance(item, Polyline) and item.role == role and item.width != 2.4
    ]


def test_a_decaying_loss_runs_from_the_upper_left_to_the_lower_right(seen: Seen) -> None:
    picture = seen(loss_figure(range(3000), {"train_loss": np.exp(-np.arange(3000) / 300)}, title=TITLE))
    rows, columns = np.nonzero(picture.where("data"))
    assert picture.pixels.shape == (440, 720, 3)
    assert rows[columns.argmin()] < 100
    assert rows[columns.argmax()] > 350
    assert columns.max() - columns.min() > 550
    assert TITLE in picture.texts
    assert {"epoch", "loss", "0", "3000"} <= set(picture.texts)


@pytest.mark.parametrize(("least", "label"), [(1e-4, "0.01"), (0.02, "0.2")], ids=["logarithmic", "linear"])
def test_the_axis_is_logarithmic_over_more_than_two_decades(seen: Seen, least: float, label: str) -> None:
    picture = seen(loss_figure([0, 1], {"train_loss": [1.0, least]}, title=TITLE))
    assert label in picture.texts
    assert ("0.0001" in picture.texts) is (least == 1e-4)


def test_a_log_axis_draws_an_exponential_straight() -> None:
    scene = loss_figure(range(100), {"train_loss": np.exp(-np.arange(100.0))}, title=TITLE)
    (line,) = lines(scene)
    slopes = np.diff(line.points[:, 1]) / np.diff(line.points[:, 0])
    assert slopes == pytest.approx(slopes[0])


def test_a_zero_keeps_the_axis_linear() -> None:
    scene = loss_figure(range(3), {"train_loss": [1000.0, 1.0, 0.0]}, title=TITLE)
    assert len(lines(scene)[0].points) == 3


@pytest.mark.parametrize("series", [{}, {"train_loss": []}, {"train_loss": [], "dev_loss": []}])
def test_an_empty_history_says_so(seen: Seen, series: dict[str, list[float | None]]) -> None:
    picture = seen(loss_figure([], series, title=TITLE))
    assert "no epochs yet" in picture.texts


def test_nothing_finite_says_so(seen: Seen) -> None:
    picture = seen(loss_figure([0, 1, 2], {"train_loss": [None, math.nan, math.inf]}, title=TITLE))
    assert "no finite values" in picture.texts
    assert not picture.where("data").any()


@pytest.mark.parametrize("value", [3.25, 0.0, 1e300, 1e-300, -2.0])
def test_a_single_epoch_is_visible(seen: Seen, value: float) -> None:
    picture = seen(loss_figure([0], {"train_loss": [value]}, title=TITLE))
    assert picture.where("data", tolerance=90).sum() > 30


def test_gaps_break_the_line_and_a_lone_point_is_a_mark() -> None:
    losses = [5.0, 4.0, None, 3.0, math.nan, 2.0, 1.5, math.inf, 1.0, 0.9]
    scene = loss_figure(range(10), {"train_loss": losses}, title=TITLE)
    assert [len(line.points) for line in lines(scene)] == [2, 2, 2]
    (mark,) = (item for item in scene.items if isinstance(item, Circles))
    assert len(mark.centres) == 1


def test_a_loss_measured_each_tenth_epoch_is_one_line() -> None:
    dev = [float(200 - k) if k % 10 == 0 else None for k in range(101)]
    scene = loss_figure(range(101), {"train_loss": [1.0] * 101, "dev_loss": dev}, title=TITLE)
    assert [len(line.points) for line in lines(scene, "dev")] == [11]


def test_several_series_have_a_legend_and_one_has_none(seen: Seen) -> None:
    train, dev = [3.0, 2.0, 1.0], [3.0, 2.5, 2.2]
    both = seen(loss_figure(range(3), {"train_loss": train, "dev_loss": dev}, title=TITLE))
    assert {"train_loss", "dev_loss"} <= set(both.texts)
    assert both.where("dev").sum() > 200
    assert "train_loss" not in seen(loss_figure(range(3), {"train_loss": train}, title=TITLE)).texts


def test_a_crowd_of_series_is_counted_and_stays_small(seen: Seen) -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (40, 20_000))
    series = {f"job {k}": row for k, row in enumerate(noise)}
    picture = seen(loss_figure(range(20_000), series, title=TITLE))
    assert "and 29 more" in picture.texts
    assert len(picture.svg) < 300_000


def test_a_million_epochs_stay_small_and_keep_their_spike(seen: Seen) -> None:
    losses = np.random.default_rng(0).uniform(0.9, 1.1, 1_000_000)
    losses[123_456] = 50.0
    scene = loss_figure(range(1_000_000), {"train_loss": losses, "dev_loss": losses * 0.5}, title=TITLE)
    top = min(line.points[:, 1].min() for line in lines(scene))
    picture = seen(scene)
    spike = np.argwhere(picture.where("data"))
    assert len(picture.svg) < 300_000
    # In the frame, below the legend: the spike is the highest of the line.
    assert spike[(spike[:, 0] > 75)][:, 0].min() == pytest.approx(top, abs=4)
    assert top < 120


def run(seed: int, epochs: int = 300) -> Run:
    generator = np.random.default_rng(seed)
    train = np.exp(-np.arange(epochs) / generator.uniform(50, 100))
    return range(epochs), {"train_loss": train.tolist(), "dev_loss": (train + 0.2).tolist()}


def test_other_runs_are_faint_and_behind_the_one_that_counts(seen: Seen) -> None:
    scene = loss_figure(*run(0), title=TITLE, other_runs=[run(k) for k in range(1, 5)])
    train = lines(scene)[1:]  # Without the sample in the legend.
    assert [line.opacity < 1 for line in train] == [True] * 4 + [False]
    assert train[-1].width > train[0].width
    assert len(lines(scene, "dev")) == 5
    assert "4 other runs" in seen(scene).texts


def test_runs_may_have_other_epochs_and_series(seen: Seen) -> None:
    folds: list[Run] = [(range(10), {"train_loss": [1.0] * 10}), (range(500), {"mae": [2.0] * 500})]
    picture = seen(loss_figure([], {}, title=TITLE, other_runs=folds))
    assert {"train_loss", "mae", "2 other runs"} <= set(picture.texts)
    assert "no epochs yet" not in picture.texts
    picture.assert_sound()


def test_of_many_runs_some_are_picked_and_counted(seen: Seen) -> None:
    scene = loss_figure(*run(0, 5000), title=TITLE, other_runs=[run(k, 5000) for k in range(200)])
    picture = seen(scene)
    assert "30 of 200 other runs" in picture.texts
    assert len(picture.svg) < 300_000
    assert "200 other runs" in scene.description


def test_a_dashed_line_stands_at_the_epoch_that_was_kept(seen: Seen) -> None:
    scene = loss_figure(*run(0), title=TITLE, kept_epoch=150)
    mark = scene.items[-1]
    assert isinstance(mark, Segments)
    (line,) = lines(scene)
    assert np.unique(mark.ends[:, [0, 2]]) == pytest.approx(line.points[150, 0])
    assert "weights kept: epoch 150" in seen(scene).texts
    assert "The weights of epoch 150 were kept." in scene.description


def test_a_kept_epoch_without_a_history_is_no_mark(seen: Seen) -> None:
    scene = loss_figure([], {}, title=TITLE, kept_epoch=3)
    assert not [item for item in scene.items if isinstance(item, Segments) and item.role == "text"]
    assert "no epochs yet" in seen(scene).texts


def test_epochs_may_come_in_any_order() -> None:
    scene = loss_figure([2, 0, 1], {"train_loss": [1.0, 3.0, 2.0]}, title=TITLE)
    points = lines(scene)[0].points
    assert (np.diff(points, axis=0) > 0).all()


def test_a_series_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'dev_loss' has shape \(2,\), but there are 3 epochs"):
        loss_figure(range(3), {"train_loss": [1, 2, 3], "dev_loss": [1, 2]}, title=TITLE)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.floats(), max_size=12), st.text(max_size=12))
def test_any_history_can_be_drawn(seen: Seen, losses: list[float | None], name: str) -> None:
    picture = seen(loss_figure(range(len(losses)), {name: losses, "dev_loss": losses}, title=name))
    assert not any(re.search("nan|inf", shape) for shape in shapes(picture.root))
