import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.plots.decimate import line_indices, occupied_cells
from service.plots.scene import FloatArray


@given(
    arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(allow_infinity=False)), st.integers(1, 9)
)
def test_each_column_keeps_first_last_lowest_and_highest(values: FloatArray, per_column: int) -> None:
    columns = np.arange(values.size) // per_column
    kept = line_indices(columns, values)
    assert (np.diff(kept) > 0).all()
    for column in np.unique(columns):
        before = np.flatnonzero(columns == column)
        after = kept[columns[kept] == column]
        finite = before[np.isfinite(values[before])]
        assert after.size <= 4
        if finite.size == 0:
            assert after.size == 1
            continue
        assert {finite[0], finite[-1]} <= set(after)
        assert values[after].min() == values[finite].min()
        assert values[after].max() == values[finite].max()


def test_nothing_in_nothing_out() -> None:
    assert line_indices(np.empty(0, dtype=np.int64), np.empty(0)).size == 0


def test_cells_keep_count_and_stay_near_their_points() -> None:
    points = np.random.default_rng(0).uniform((50, 60), (650, 400), (50_000, 2))
    cells = occupied_cells(points, budget=4000)
    assert cells.counts.size <= 4000
    assert cells.counts.sum() == len(points)
    assert (cells.centres.min(axis=0) >= points.min(axis=0)).all()
    assert (cells.centres.max(axis=0) <= points.max(axis=0) + cells.size).all()


def test_equal_points_share_one_cell_and_a_lone_one_has_its_own() -> None:
    points = np.array([[100.0, 100.0]] * 500 + [[600.0, 300.0]])
    cells = occupied_cells(points, budget=100)
    assert cells.size == 1.0
    assert cells.counts.tolist() == [500, 1]
    assert np.abs(cells.centres - [[100, 100], [600, 300]]).max() <= 1.0


def test_a_sample_of_each_cell_lies_in_it_and_every_point_may_be_it() -> None:
    points = np.random.default_rng(0).uniform((50, 60), (650, 400), (50_000, 2))
    cells = occupied_cells(points, budget=4000)
    samples = cells.samples()
    assert (np.abs(points[samples] - cells.centres) <= cells.size / 2 + 1e-9).all()
    assert np.array_equal(samples, cells.samples())
    assert np.mean(samples < 25_000) == pytest.approx(0.5, abs=0.05)
