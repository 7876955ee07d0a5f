"""What the first layer of a network looks for: its weights as a heat map, or as small pictures."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.heading import EDGE, TICK_SIZE, TITLE_SIZE, WIDTH, Heading
from service.plots.heat import BAR_STEPS, ColourBar, blocks, box_around, edges_of, extremes, signed_cells
from service.plots.legend import LegendEntry
from service.plots.scales import LARGEST, CategoryScale, LinearScale
from service.plots.scene import FloatArray, Scene, Text
from service.plots.tiles import CAPTION, MOST_TILES, tile_grid
from service.plots.typography import fitted, text_width

_MOST_ROWS, _MOST_COLUMNS = 80, 150  # Of a matrix; more cells make a large file and cannot be seen.
_LEAST_HEIGHT, _MOST_HEIGHT, _ROW = 300, 600, 24
_TILES_BOTTOM = 520.0
_NAME_WIDTH = 110.0
_SHORT_NAME = 28.0  # Numbers of up to four digits lie side by side, however many there are.
_UNKNOWN = LegendEntry("not finite", "axis", "area")
_MATRIX, _IMAGES, _FILTERS = 2, 3, 4  # Dimensions of the weights that can be drawn.

_Names: TypeAlias = tuple[Sequence[str], Sequence[str]]


def weights_figure(
    weights: Sequence[float] | FloatArray,
    *,
    title: str,
    subtitle: str | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    limit: float | None = None,
) -> Scene:
    """Draws weights in a diverging map: no colour at zero, one hue above it and another below.

    A matrix of shape (outputs, inputs) becomes a heat map; of more than 80 rows or 150 columns a cell shows
    the weight of largest magnitude in its block. Pictures of shape (outputs, height, width) and filters of
    shape (outputs, inputs, height, width), as of a convolution, become tiles, up to 64 of them; in large ones
    a cell shows the mean of its block. One row of shape (inputs,) is a matrix with one row. `inputs` and
    `outputs` are names for columns and rows, else they are numbered. The colour is full at `limit`, by
    default the largest magnitude there is; what is NaN is grey, and infinities have the full colour.

    Raises:
        ValueError: if the weights have no or more than four dimensions, or names are not as many as weights.
    """
    given = np.asarray(weights, dtype=np.float64)
    given = given[np.newaxis] if given.ndim == 1 else given
    if given.ndim not in {_MATRIX, _IMAGES, _FILTERS}:
        raise ValueError(f"weights of shape {given.shape} cannot be drawn: they have one to four dimensions")
    names = _names(outputs, given.shape[0], what="outputs"), _names(inputs, given.shape[1], what="inputs")
    scale = _symmetric(given, limit=limit)
    signed = np.clip(given, scale.low, scale.high) / scale.high
    legend = [_UNKNOWN] if np.isnan(given).any() else []
    heading = Heading(title, subtitle, legend)
    picture = _matrix if given.ndim == _MATRIX else _tiles
    return picture(signed, heading=heading, bar=_bar(scale), names=names, description=_description(given))


def _names(names: Sequence[str] | None, count: int, *, what: str) -> list[str]:
    if names is not None and len(names) != count:
        raise ValueError(f"there are {len(names)} names of {what} for {count} of them")
    texts = [str(k) for k in range(count)] if names is None else names
    return [fitted(text, width=_NAME_WIDTH, size=TICK_SIZE, middle=True) for text in texts]


def _symmetric(weights: FloatArray, *, limit: float | None) -> LinearScale:
    finite = np.abs(weights[np.isfinite(weights)])
    most = float(finite.max(initial=0.0)) if limit is None else limit
    most = float(np.clip(most, 1e-300, LARGEST)) if most > 0 else 1.0
    return LinearScale(-most, most)


def _bar(scale: LinearScale) -> ColourBar:
    steps = (np.arange(BAR_STEPS) + 0.5) / BAR_STEPS * 2 - 1
    return ColourBar(scale, "weight", ({"high": np.maximum(steps, 0.0), "low": np.maximum(-steps, 0.0)},))


def _matrix(
    signed: FloatArray, *, heading: Heading, bar: ColourBar, names: _Names, description: str
) -> Scene:
    outputs, inputs = names
    rows, columns = blocks(len(outputs), most=_MOST_ROWS), blocks(len(inputs), most=_MOST_COLUMNS)
    widest = max((text_width(name, TICK_SIZE) for name in inputs), default=0.0)
    upright = widest > _SHORT_NAME and (widest + 10.0) * len(inputs) > WIDTH - 2 * EDGE - bar.width
    height = int(np.clip(heading.bottom + 70 + _ROW * len(outputs), _LEAST_HEIGHT, _MOST_HEIGHT))
    axes = Axes(
        Axis(CategoryScale(inputs), _label("input", columns), _targets(inputs), grid=False, upright=upright),
        Axis(CategoryScale(outputs, descending=True), _label("output", rows), _targets(outputs), grid=False),
        heading,
        height + round(widest) if upright else height,
        bar.width,
    )
    if signed.size == 0:
        return axes.scene((), description=description, note="no weights")
    x_edges, y_edges = edges_of(axes, columns=columns, rows=rows)
    marks = (
        *signed_cells(extremes(signed, rows=rows, columns=columns), x_edges=x_edges, y_edges=y_edges),
        box_around(axes.left, axes.top, axes.right, axes.bottom),
        *bar.marks(axes.right, axes.top, axes.bottom),
    )
    return axes.scene(marks, description=description)


def _label(word: str, edges: FloatArray) -> str:
    """The name of an axis, which says how many weights share a cell."""
    size = int(np.diff(edges).max(initial=1.0))
    return word if size == 1 else f"{word} ({size} to a cell, the largest is shown)"


def _targets(names: Sequence[str]) -> list[int]:
    return sorted({max(1, len(names) // step) for step in (1, 2, 5, 10, 20, 50, 100, 1000)}, reverse=True)


def _tiles(signed: FloatArray, *, heading: Heading, bar: ColourBar, names: _Names, description: str) -> Scene:
    """Tiles below the heading, row by row: all that belongs to one output, then the next."""
    tiles = signed.reshape(-1, *signed.shape[-2:])
    each = signed.shape[1] if signed.ndim == _FILTERS else 1
    outputs = max(MOST_TILES // max(each, 1), 1)
    captions = [f"{output}, {k}" for output in names[0] for k in range(each)] if each > 1 else names[0]
    count = min(len(tiles), max(MOST_TILES, 1), outputs * each)
    heading = Heading(heading.title, _counted(heading.subtitle, count, len(tiles)), heading.legend)
    if signed.size == 0:
        note = Text(WIDTH / 2, heading.bottom + 60, "no weights", "muted", TITLE_SIZE, "middle")
        return Scene(WIDTH, _LEAST_HEIGHT, heading.title, description, (*heading.marks(), note))
    grid = tile_grid(
        tiles[:count], EDGE, heading.bottom, WIDTH - EDGE - bar.width, _TILES_BOTTOM, together=each
    )
    marks = (*heading.marks(), *grid.marks(captions), *bar.marks(grid.right, grid.top, grid.bottom))
    return Scene(WIDTH, round(grid.bottom + EDGE + CAPTION), heading.title, description, marks)


def _counted(subtitle: str | None, shown: int, count: int) -> str | None:
    if shown == count:
        return subtitle
    return f"{subtitle}; the first {shown} of {count}" if subtitle else f"the first {shown} of {count}"


def _description(weights: FloatArray) -> str:
    finite = weights[np.isfinite(weights)]
    size = " by ".join(map(str, weights.shape))
    if finite.size == 0:
        return f"Weights, {size}: no finite values."
    below = 100 * float(np.mean(finite < 0))
    return (
        f"Weights, {size}: from {finite.min():.4g} to {finite.max():.4g}, {below:.3g} % of them below zero."
    )
