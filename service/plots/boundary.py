"""Where a classifier of two features sees which class, and the points that it learned from."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.plots.axes import Axes, Axis
from service.plots.columns import Numbers, column, equal_columns
from service.plots.groups import by_class, class_role
from service.plots.heading import Heading
from service.plots.heat import cells
from service.plots.marks import scatters
from service.plots.scales import LARGEST, LinearScale, linear_scale
from service.plots.scene import SERIES_ROLES, FloatArray, Primitive, Rects, Scene, Segments, Text
from service.plots.typography import fitted, text_width

GRID_COLUMNS, GRID_ROWS = 150, 110  # More cells would be lost: each takes four by three pixels.
_DOUBTFUL, _CERTAIN = 0.1, 0.42  # Opacities of a region; points on it are opaque.
_SURE = 0.55  # How certain a cell is drawn whose class is all that is known.
_LEAST_NAMED, _NAME_WIDTH, _NAME_SIZE = 0.004, 90.0, 12.0  # Share of the area; pixels; pixels.
_NAME_PAPER = 0.8  # Opacity of the paper behind a name, which may lie on points.
_MOST_BORDERS = 3000


def grid_axis(values: Numbers, *, count: int) -> FloatArray:
    """`count` equally spaced places, shape (count,), ascending, that cover `values` with some air around.

    The centres of a grid's cells along one feature, of which the other feature has its own:
    `grid_axis(x, count=GRID_COLUMNS)`. Values that are not finite do not count; none give 0 to 1.
    """
    given = column(values, name="values")
    finite = np.clip(given[np.isfinite(given)], -LARGEST / 8, LARGEST / 8)
    scale = linear_scale(finite)
    return scale.low + (np.arange(count) + 0.5) / count * (scale.high - scale.low)


def boundary_figure(  # noqa: PLR0913 - points, a grid, and the words around them, all named by the caller
    points_x: Numbers,
    points_y: Numbers,
    point_classes: Sequence[int] | NDArray[np.integer],
    grid: NDArray[np.integer] | FloatArray,
    *,
    grid_x: Numbers,
    grid_y: Numbers,
    x_label: str,
    y_label: str,
    labels: Sequence[str],
    title: str,
    subtitle: str | None = None,
) -> Scene:
    """Draws regions of predicted classes, and on them the n points in the colours of their actual classes.

    `grid` says what is predicted at the places `grid_x` of shape (columns,) and `grid_y` of shape (rows,),
    both equally spaced and ascending, as from `grid_axis`. It is either classes, integers of shape (rows,
    columns); or the probabilities of k classes, floats of shape (rows, columns, k); or that of the second of
    two, floats of shape (rows, columns). Where probabilities are given, a region fades towards its border.
    `labels` are the k names; points and cells of other classes than 0 to k - 1 are left out, and so are
    points that are not finite. n may be zero and a million; of large grids some rows and columns are drawn.

    Raises:
        ValueError: if columns are not equally long, places do not ascend, or the grid has another shape.
    """
    x, y = equal_columns(points_x, points_y, names="points_x and points_y")
    classes = np.asarray(point_classes).astype(np.int64)
    if classes.shape != x.shape:
        raise ValueError(f"there are {x.size} points, but point_classes has shape {classes.shape}")
    places = _places(grid_x, name="grid_x"), _places(grid_y, name="grid_y")
    regions, certainty = _regions(np.asarray(grid), shape=(places[1].size, places[0].size))
    shown = np.isfinite(x) & np.isfinite(y) & (classes >= 0) & (classes < len(labels))
    x, y, groups = x[shown], y[shown], by_class(classes[shown], labels=labels)
    present = np.union1d(groups.numbers, regions[(regions >= 0) & (regions < len(labels))])
    axes = Axes(
        Axis(_scale(x, places[0]), x_label, grid=False),
        Axis(_scale(y, places[1]), y_label, grid=False),
        Heading(title, subtitle, by_class(present, labels=labels).legend()),
    )
    marks = (
        *_areas(axes, regions, certainty, places=places, present=present.tolist()),
        *scatters(axes.pixels(x, y), groups.numbers, roles=groups.roles),
        *(_names(axes, regions, labels, places=places) if len(labels) > len(SERIES_ROLES) else ()),
    )
    description = f"Classes over {x_label} and {y_label}: {_words(regions, labels)}, and {x.size} points."
    return axes.scene(marks, description=description, note=None if marks else "no data yet")


def _places(values: Numbers, *, name: str) -> FloatArray:
    places = np.clip(column(values, name=name), -LARGEST / 4, LARGEST / 4)
    if not np.isfinite(places).all() or not (np.diff(places) > 0).all():
        raise ValueError(f"{name} must ascend, from one finite number to the next")
    return places


def _regions(
    grid: NDArray[np.integer] | FloatArray, *, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], FloatArray]:
    """The class of each cell, -1 for none, and how certain it is, 0 to 1: both of shape (rows, columns)."""
    if grid.size == 0:
        grid = np.full(shape, -1)
    if grid.shape[:2] != shape or grid.ndim not in {2, 3}:
        raise ValueError(
            f"the grid has shape {grid.shape}, but its places are {shape[0]} rows, {shape[1]} columns"
        )
    if grid.ndim == 2 and np.issubdtype(grid.dtype, np.integer):  # noqa: PLR2004 - rows and columns
        return grid.astype(np.int64), np.full(shape, _SURE)
    chances = grid.astype(np.float64)
    chances = np.stack((1 - chances, chances), axis=2) if chances.ndim == 2 else chances  # noqa: PLR2004
    known: NDArray[np.bool_] = np.asarray(np.isfinite(chances).all(axis=2))
    chances = np.where(known[:, :, np.newaxis], np.clip(chances, 0.0, 1.0), 0.0)
    even = 1 / chances.shape[2]
    certainty = np.clip((chances.max(axis=2) - even) / max(1 - even, even), 0.0, 1.0)
    return np.where(known, chances.argmax(axis=2), -1), certainty


def _scale(values: FloatArray, places: FloatArray) -> LinearScale:
    """From the edge of the grid to its other edge, or farther if there are points: regions fill the frame."""
    edges = _edges(places)
    if places.size and (values.size == 0 or (edges[0] <= values.min() and values.max() <= edges[-1])):
        return LinearScale(float(edges[0]), float(edges[-1]))
    return linear_scale(np.concatenate((values, edges)))


def _edges(places: FloatArray) -> FloatArray:
    """The edges between and around the cells with their centres at `places`: one more than there are."""
    if places.size < 2:  # noqa: PLR2004 - a single cell is as wide as the frame
        scale = linear_scale(places)
        return np.array([scale.low, scale.high]) if places.size else np.empty(0)
    inner = places[:-1] / 2 + places[1:] / 2
    return np.concatenate(([2 * places[0] - inner[0]], inner, [2 * places[-1] - inner[-1]]))


def _areas(
    axes: Axes,
    regions: NDArray[np.int64],
    certainty: FloatArray,
    *,
    places: tuple[FloatArray, FloatArray],
    present: Sequence[int],
) -> Iterable[Primitive]:
    if regions.size == 0:
        return
    columns, rows = (
        _thinned(count, most=most)
        for count, most in zip(regions.shape[::-1], (GRID_COLUMNS, GRID_ROWS), strict=True)
    )
    kept = np.ix_(rows, columns)
    x_edges = axes.along("x", _edges(places[0][columns]))
    y_edges = axes.along("y", _edges(places[1][rows]))
    opacities = _DOUBTFUL + (_CERTAIN - _DOUBTFUL) * certainty[kept]
    shared = len(present) > len(SERIES_ROLES)
    for number in present:
        shown = np.where(regions[kept] == number, opacities, 0.0)
        yield from cells(shown, x_edges=x_edges, y_edges=y_edges, role=class_role(number))
    if shared:
        yield _borders(regions[kept], x_edges, y_edges)


def _borders(regions: NDArray[np.int64], x_edges: FloatArray, y_edges: FloatArray) -> Segments:
    """Lines of paper between different regions, which with few colours may look the same."""
    across, down = np.round(x_edges), np.round(y_edges)
    row, at = np.nonzero(regions[:, 1:] != regions[:, :-1])
    upright = np.stack((across[at + 1], down[row], across[at + 1], down[row + 1]), axis=1)
    row, at = np.nonzero(regions[1:] != regions[:-1])
    level = np.stack((across[at], down[row + 1], across[at + 1], down[row + 1]), axis=1)
    return Segments(np.concatenate((upright, level))[:_MOST_BORDERS], "background", 1.5)


def _names(
    axes: Axes, regions: NDArray[np.int64], labels: Sequence[str], *, places: tuple[FloatArray, FloatArray]
) -> Iterable[Primitive]:
    """The name of each class on its region: with more classes than colours the legend alone is ambiguous."""
    for number, label in enumerate(labels):
        cells_of_it = np.argwhere(regions == number)
        if len(cells_of_it) < _LEAST_NAMED * regions.size:
            continue
        # The cell nearest to the middle: the middle itself may lie outside of a bent region.
        distances = np.square(cells_of_it - cells_of_it.mean(axis=0)).sum(axis=1)
        row, column_of_it = cells_of_it[distances.argmin()].tolist()
        x, y = axes.pixels(places[0][[column_of_it]], places[1][[row]])[0].tolist()
        name = fitted(label, width=_NAME_WIDTH, size=_NAME_SIZE, middle=True)
        half = text_width(name, _NAME_SIZE) / 2 + 5
        box = np.array([[x - half, y - 1.2 * _NAME_SIZE, 2 * half, 1.7 * _NAME_SIZE]])
        yield Rects(box, "background", np.array([_NAME_PAPER]))
        yield Text(x, y, name, "text", _NAME_SIZE, "middle", bold=True)


def _thinned(count: int, *, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` rows or columns, evenly spread."""
    kept = min(count, most)
    return ((np.arange(kept) + 0.5) * count / kept).astype(np.int64)


def _words(regions: NDArray[np.int64], labels: Sequence[str]) -> str:
    shares = [(float(np.mean(regions == k)), name) for k, name in enumerate(labels)] if regions.size else []
    largest = sorted((share for share in shares if share[0] > 0), reverse=True)[:5]
    return ", ".join(f"{name} on {100 * share:.3g} % of the area" for share, name in largest) or "no regions"
