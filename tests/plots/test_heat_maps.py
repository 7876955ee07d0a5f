import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.plots.heat import LEVELS, blocks, cells, extremes, means
from service.plots.scene import FloatArray, Rects

opacities = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.sampled_from([0, 0.5, 1, np.nan]),
)


def painted(boxes: Rects | None, shape: tuple[int, int]) -> FloatArray:
    """What the boxes paint on a grid whose cells are ten pixels wide and high."""
    found = np.zeros(shape)
    if boxes is not None and boxes.opacities is not None:
        for (x, y, width, height), opacity in zip(
            (boxes.boxes / 10).astype(int), boxes.opacities, strict=True
        ):
            found[y : y + height, x : x + width] += opacity
    return found


@given(opacities)
def test_boxes_paint_each_cell_once_with_its_opacity(table: FloatArray) -> None:
    rows, columns = table.shape
    edges = {"x_edges": np.arange(columns + 1) * 10.0, "y_edges": np.arange(rows + 1) * 10.0}
    (boxes,) = (*cells(table, **edges, role="high"),) or (None,)
    assert painted(boxes, table.shape) == pytest.approx(np.nan_to_num(table))


def test_neighbours_that_look_alike_are_one_box() -> None:
    table = np.full((3, 100), 0.5)
    (boxes,) = cells(table, x_edges=np.linspace(0, 300, 101), y_edges=np.linspace(30, 0, 4), role="high")
    assert boxes.boxes.tolist() == [[0, 20, 300, 10], [0, 10, 300, 10], [0, 0, 300, 10]]


def test_there_are_few_opacities() -> None:
    table = np.linspace(0, 1, 1000)[np.newaxis]
    (boxes,) = cells(table, x_edges=np.arange(1001.0), y_edges=np.array([0.0, 1.0]), role="high")
    assert len(np.unique(boxes.opacities)) == LEVELS


@given(st.integers(1, 500), st.integers(1, 90))
def test_blocks_are_equal_and_at_most_so_many(count: int, most: int) -> None:
    edges = blocks(count, most=most)
    sizes = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, count)
    assert sizes.size <= most
    assert (sizes[:-1] == sizes[0]).all()
    assert 0 < sizes[-1] <= sizes[0]


def test_blocks_keep_the_extreme_or_the_mean_of_what_is_known() -> None:
    table = np.array([[1.0, -3.0, np.nan, np.nan], [2.0, 0.0, np.nan, np.nan], [5.0, 7.0, np.nan, 1.0]])
    edges = {"rows": np.array([0.0, 2.0, 3.0]), "columns": np.array([0.0, 2.0, 4.0])}
    assert extremes(table, **edges) == pytest.approx(np.array([[-3, np.nan], [7, 1]]), nan_ok=True)
    assert means(table, **edges) == pytest.approx(np.array([[0, np.nan], [6, 1]]), nan_ok=True)
