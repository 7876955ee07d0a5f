"""Lines and scatters in a frame, from ten points to a million."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.plots.axes import Axes
from service.plots.decimate import line_indices, occupied_cells
from service.plots.legend import FAINT, FAINT_WIDTH
from service.plots.scene import Circles, Dots, FloatArray, Polyline, Primitive, Role

_LINE_POINTS = 1200  # Up to here every point of a line is drawn.
_LINE_WIDTH, _ROUGH_LINE_WIDTH = 2.0, 1.4
_ROUGH = 3.0  # A line that goes up and down this often, in heights of the frame, is drawn thinner.
_COLUMNS = 640  # More, and a column would be narrower than a pixel.
_SHARED_COLUMNS = 3000  # For all lines of one picture together; it keeps a file of many lines small.
_FEWEST_COLUMNS = 60
_SINGLE_MARKS = 1500  # Up to here every observation is a mark of its own.
_RADII = ((30, 4.5), (120, 3.8), (400, 3.1), (800, 2.5), (_SINGLE_MARKS, 2.0))
_CELL_BUDGET = 20_000
_CELL_RADIUS = 0.62  # Of a cell's size: neighbours touch, and hardly overlap where opacities change.
_DENSITIES = (0.5, 0.7, 0.85, 1.0)  # Opacity of a cell by the logarithm of how many points are in it.


def line(
    axes: Axes, x: FloatArray, y: FloatArray, *, role: Role, lines: int = 1, faint: bool = False
) -> Iterable[Primitive]:
    """A line through the values `x` (ascending) and `y`, both of shape (n,); NaN leaves a gap.

    A point between two gaps becomes a mark. `lines` is how many lines the whole picture has: long ones are
    thinned to their extremes in each pixel column, and in a crowd the columns are wider. A `faint` line is
    thin and half transparent, to stand behind others.
    """
    points = _thinned(axes.pixels(x, y), lines=lines)
    runs = _connected(points)
    width = _ROUGH_LINE_WIDTH if _travel(runs) > _ROUGH * (axes.bottom - axes.top) else _LINE_WIDTH
    width, opacity = (FAINT_WIDTH, FAINT) if faint else (width, 1.0)
    yield from (Polyline(run, role, width, opacity) for run in runs if len(run) > 1)
    single = [run[0] for run in runs if len(run) == 1]
    if single:
        yield from scatter(np.array(single), role=role)


def scatter(points: FloatArray, *, role: Role) -> Iterable[Primitive]:
    """A mark for each of `points`, finite pixels of shape (n, 2), as from `Axes.pixels`.

    Many points become small dots, one for each occupied cell of a fine grid, fainter where few points are.
    """
    return scatters(points, np.zeros(len(points), np.int64), roles=(role,))


def scatters(points: FloatArray, groups: NDArray[np.int64], *, roles: Sequence[Role]) -> Iterable[Primitive]:
    """As `scatter`, with each point in the role of its group, by `groups` of shape (n,).

    Few points are painted group by group, the last on top. Of many, a cell shows the group of one of its
    points, drawn by lot: a group takes the share of the colour that it has of the points, and none hides
    another because it comes later.
    """
    if len(points) == 0:
        return
    if len(points) <= _SINGLE_MARKS:
        radius = next(radius for count, radius in _RADII if len(points) <= count)
        for group in np.unique(groups).tolist():
            yield Circles(points[groups == group], roles[group], radius)
        return
    cells = occupied_cells(points, budget=_CELL_BUDGET)
    levels = _levels(cells.counts.astype(np.float64))
    shown = groups[cells.samples()] if len(roles) > 1 else np.zeros(levels.shape, np.int64)
    for level, opacity in enumerate(_DENSITIES):
        for group in np.unique(shown[levels == level]).tolist():
            centres = cells.centres[(levels == level) & (shown == group)]
            yield Dots(centres, roles[group], max(_CELL_RADIUS * cells.size, 1.1), opacity)


def _thinned(points: FloatArray, *, lines: int) -> FloatArray:
    if len(points) <= max(_LINE_POINTS // lines, _FEWEST_COLUMNS):
        return points
    across = points[:, 0]
    columns = max(min(_COLUMNS, _SHARED_COLUMNS // lines), _FEWEST_COLUMNS)
    fractions = (across - across[0]) / max(across[-1] - across[0], 1.0)
    column = (fractions * columns).astype(np.int64)
    return points[line_indices(column, points[:, 1])]


def _connected(points: FloatArray) -> list[FloatArray]:
    """Breaks a line where a coordinate is NaN, and leaves those points out."""
    drawn = np.isfinite(points).all(axis=1)
    edges = np.flatnonzero(np.diff(drawn, prepend=False, append=False))
    return [points[start:stop] for start, stop in edges.reshape(-1, 2)]


def _travel(runs: Iterable[FloatArray]) -> float:
    return sum(float(np.abs(np.diff(run[:, 1])).sum()) for run in runs)


def _levels(counts: FloatArray) -> FloatArray:
    """A number from 0 on for each count, by its logarithm: the crowd does not outshine the outliers."""
    if counts.max() == 1:
        return np.full(counts.shape, len(_DENSITIES) - 1.0)
    share = np.log(counts) / np.log(counts.max())
    levels: FloatArray = np.minimum(np.floor(share * len(_DENSITIES)), len(_DENSITIES) - 1)
    return levels
