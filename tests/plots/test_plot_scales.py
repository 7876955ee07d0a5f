import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.plots.scales import (
    LARGEST,
    CategoryScale,
    linear_scale,
    log_scale,
    nice_step,
    spans_decades,
    tick_labels,
)
from service.plots.scene import FloatArray

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False)


@given(values=st.lists(finite, min_size=1, max_size=8), target=st.integers(1, 10), whole=st.booleans())
def test_linear_ticks_are_ascending_and_inside(values: list[float], target: int, *, whole: bool) -> None:
    scale = linear_scale(np.array(values), whole=whole)
    ticks = scale.ticks(target)
    assert scale.low < scale.high
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert all(a < b for a, b in pairwise(ticks))
    assert len(ticks) <= target + 1
    assert not whole or all(tick == int(tick) for tick in ticks)


@given(st.lists(finite, min_size=1, max_size=8), st.integers(2, 10))
def test_linear_labels_give_the_ticks_back(values: list[float], target: int) -> None:
    scale = linear_scale(np.array(values))
    ticks = scale.ticks(target)
    labels = scale.labels(ticks)
    assert len(set(labels)) == len(ticks)
    step = min((b - a for a, b in pairwise(ticks)), default=math.inf)
    assert all(abs(float(text) - tick) <= step / 100 for text, tick in zip(labels, ticks, strict=True))


@given(st.lists(positive, min_size=1, max_size=8), st.integers(1, 10))
def test_log_ticks_are_ascending_inside_and_labelled(values: list[float], target: int) -> None:
    scale = log_scale(np.array(values))
    for ticks in (scale.ticks(target), scale.minor_ticks()):
        assert all(scale.low <= math.log10(tick) <= scale.high for tick in ticks)
        assert all(a < b for a, b in pairwise(ticks))
    ticks = scale.ticks(target)
    for text, tick in zip(scale.labels(ticks), ticks, strict=True):
        assert float(text) == pytest.approx(tick, rel=1e-3, abs=0)


@given(st.lists(st.floats(), max_size=20).map(lambda column: np.array(column, dtype=np.float64)))
def test_scales_place_every_finite_value_inside(values: FloatArray) -> None:
    good = values[np.isfinite(values)]
    places = linear_scale(values).fractions(good)
    assert ((places >= 0) & (places <= 1)).all()
    places = log_scale(values).fractions(good[good > 0])
    assert ((places >= -0.01) & (places <= 1)).all()
    assert np.isnan(log_scale(values).fractions(good[good <= 0])).all()


@given(st.floats(min_value=1e-290, max_value=1e300), st.integers(1, 12))
def test_nice_step_is_one_two_or_five_and_large_enough(span: float, target: int) -> None:
    step = nice_step(span, target)
    assert f"{step:.6e}"[0] in "125"
    assert float(f"{step:.6e}"[:8]) in {1, 2, 5}
    assert span / step <= target * (1 + 1e-6)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.0, 0.1, 0.2, 0.1 + 0.2], ["0.0", "0.1", "0.2", "0.3"]),
        ([-1.0, -0.5, -0.0, 0.5], ["-1.0", "-0.5", "0.0", "0.5"]),
        ([0.0, 500.0, 1000.0], ["0", "500", "1000"]),
        ([0.0, 5e5, 1e6], ["0", "5e5", "1e6"]),
        ([1e-12, 2e-12], ["1e-12", "2e-12"]),
        ([1e12, 1.5e12], ["1.0e12", "1.5e12"]),
        ([1.7e9, 1.7e9 + 200], ["1700000000", "1700000200"]),
        ([-1e300, 0.0, 1e300], ["-1e300", "0", "1e300"]),
        ([0.001], ["0.001"]),
        ([0.0], ["0"]),
        ([], []),
    ],
)
def test_labels_are_short_and_free_of_noise(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


@pytest.mark.parametrize("value", [0.0, 7.0, -3e-12, 1e300, -1e300, 5e-324, 1.7e9])
def test_equal_values_lie_in_the_middle_of_a_range_with_ticks(value: float) -> None:
    scale = linear_scale(np.full(5, value))
    assert scale.fractions(np.array([value]))[0] == pytest.approx(0.5)
    assert len(scale.ticks(6)) >= 2


@pytest.mark.parametrize("value", [3.3, 1.01, 9e-13, 7e300])
def test_one_value_on_a_log_axis_has_a_tick(value: float) -> None:
    assert log_scale(np.array([value])).ticks()


def test_one_epoch_has_one_tick() -> None:
    assert linear_scale(np.array([3.0]), whole=True).ticks() == [3.0]


def test_no_finite_values_give_a_plain_range() -> None:
    for values in (np.empty(0), np.array([np.nan, np.inf])):
        assert (linear_scale(values).low, linear_scale(values).high) == (0.0, 1.0)
        assert (log_scale(values).low, log_scale(values).high) == (0.0, 1.0)


def test_infinities_are_placed_with_the_largest() -> None:
    scale = linear_scale(np.array([-1.7e308, 1.7e308]))
    assert scale.low == -LARGEST
    assert scale.fractions(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]


def test_values_far_outside_stay_finite() -> None:
    places = linear_scale(np.array([0.0, 1e-200])).fractions(np.array([-np.inf, -1e300, 1e300, np.inf]))
    assert places == pytest.approx([-10, -10, 11, 11])


def test_axis_starts_at_zero_only_when_the_values_come_near() -> None:
    assert linear_scale(np.array([0.1, 10.0]), from_zero=True).low == 0.0
    assert linear_scale(np.array([9.0, 10.0]), from_zero=True).low > 8.0
    assert linear_scale(np.array([-1.0, 10.0]), from_zero=True).low < -1.0


def test_categories_have_equal_places_from_left_to_right_or_from_the_top() -> None:
    assert CategoryScale("abcd").fractions(np.arange(4.0)) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert CategoryScale("abcd", descending=True).fractions(np.array([0.0])) == pytest.approx([0.875])


@pytest.mark.parametrize(
    ("count", "target", "step"), [(10, 10, 1), (10, 9, 2), (100, 20, 5), (3, 1, 5), (0, 6, 1)]
)
def test_categories_are_thinned_to_round_numbers(count: int, target: int, step: int) -> None:
    scale = CategoryScale([f"c{k}" for k in range(count)])
    ticks = scale.ticks(target)
    assert ticks == list(range(0, count, step))
    assert scale.labels(ticks) == [f"c{k}" for k in range(0, count, step)]


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ([1.0, 101.0], True),
        ([1.0, 99.0], False),
        ([0.0, 1e6], False),
        ([-1.0, 1e6], False),
        ([5e-324, 1e308], True),
        ([1.0, np.nan, 1000.0, np.inf], True),
        ([np.nan], False),
        ([], False),
    ],
)
def test_log_axis_is_for_positive_values_over_two_decades(values: list[float], *, logarithmic: bool) -> None:
    assert spans_decades(np.array(values)) is logarithmic
