"""Which class is taken for which."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product

import numpy as np

from service.plots.axes import Axes, Axis
from service.plots.heading import TICK_SIZE, Heading
from service.plots.heat import BAR_STEPS, LEVELS, ColourBar, cells, edges_of
from service.plots.legend import LegendEntry
from service.plots.palette import BLEND_TURNS
from service.plots.scales import CategoryScale, LinearScale
from service.plots.scene import FloatArray, Primitive, Scene, Segments, Text
from service.plots.typography import fitted, text_width

MOST_CLASSES = 100
_CORRECT, _WRONG = LegendEntry("correct", "high", "area"), LegendEntry("wrong", "low", "area")
_LEAST_HEIGHT, _MOST_HEIGHT, _ROW = 440, 660, 34
_NAME_WIDTH = 120.0
_SHORT_NAME = 28.0  # Numbers of up to four digits lie side by side, however many classes there are.
_FONT_SIZES = (14.0, 12.5, 11.0, 10.0, 9.0, 8.0)
_AIR = 4.0  # Pixels of a cell's width that a number leaves free.
_LINED = 40  # With more classes lines between the cells would be all that is seen.
_ZEROS_SHOWN = 10  # With more classes noughts would hide the numbers.
_UNITS = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"))
_NEXT_UNIT, _NO_DECIMALS = 999.5, 9.95  # Where "1000k" and "10.0k" would begin.
_EVEN = 0.4  # Opacity is the share to this power: one in a hundred wrong is seen.


def confusion_figure(
    matrix: Sequence[Sequence[float]] | FloatArray,
    labels: Sequence[str],
    *,
    title: str,
    subtitle: str | None = None,
) -> Scene:
    """Draws how many rows of each actual class, top to bottom, were predicted as each class, left to right.

    `matrix` of shape (k, k) holds counts, `labels` the k names, k up to 100. The colour of a cell is its
    share of its row, so that rare classes are seen as well as frequent ones; what is right and what is wrong
    differ in hue. Numbers are left out where they do not fit. Entries that are NaN, infinite or negative
    count as zero.

    Raises:
        ValueError: if `matrix` is not square, has not as many rows as there are labels, or more than 100.
    """
    counts = _checked(np.asarray(matrix, dtype=np.float64), names=len(labels))
    axes, bar = _axes(labels, Heading(title, subtitle, (_CORRECT, _WRONG)))
    if not labels:
        return axes.scene((), description="Confusion matrix without classes.", note="no data yet")
    share = counts / np.maximum(counts.max(axis=1, keepdims=True), 1e-300)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1.0)
    opacities = share**_EVEN
    marks = (
        *_heat(axes, opacities),
        *_lines(axes, len(labels)),
        *_numbers(axes, counts, opacities),
        *bar.marks(axes.right, axes.top, axes.bottom),
    )
    note = None if counts.any() else "no rows yet"
    return axes.scene(marks, description=_description(counts, share, labels), note=note)


def _checked(counts: FloatArray, *, names: int) -> FloatArray:
    if counts.size == 0 and names == 0:
        return np.zeros((0, 0))
    if counts.shape != (names, names):
        raise ValueError(f"the matrix has shape {counts.shape}, but there are {names} labels")
    if names > MOST_CLASSES:
        raise ValueError(f"a matrix of {names} classes cannot be read: there may be {MOST_CLASSES}")
    return np.where(np.isfinite(counts) & (counts > 0), counts, 0.0)


def _axes(labels: Sequence[str], heading: Heading) -> tuple[Axes, ColourBar]:
    count = len(labels)
    names = [fitted(label, width=_NAME_WIDTH, size=TICK_SIZE, middle=True) for label in labels]
    steps = ((np.arange(BAR_STEPS) + 0.5) / BAR_STEPS) ** _EVEN
    bar = ColourBar(LinearScale(0.0, 100.0), "% of the actual class", ({"high": steps}, {"low": steps}))
    widest = max((text_width(name, TICK_SIZE) for name in names), default=0.0)
    upright = widest > _SHORT_NAME and widest + 10.0 > 540.0 / count
    targets = sorted({max(1, count // step) for step in (1, 2, 5, 10, 20, 50)}, reverse=True)
    height = int(np.clip(heading.bottom + 70 + _ROW * count, _LEAST_HEIGHT, _MOST_HEIGHT))
    axes = Axes(
        Axis(CategoryScale(names), "predicted", targets, grid=False, upright=upright),
        Axis(CategoryScale(names, descending=True), "actual", targets, grid=False),
        heading,
        height + round(widest) if upright else height,
        bar.width,
    )
    return axes, bar


def _heat(axes: Axes, opacities: FloatArray) -> Iterable[Primitive]:
    count = len(opacities)
    x_edges, y_edges = edges_of(axes, columns=np.arange(count + 1.0), rows=np.arange(count + 1.0))
    right = np.eye(count, dtype=np.bool_)
    yield from cells(np.where(right, opacities, 0.0), x_edges=x_edges, y_edges=y_edges, role="high")
    yield from cells(np.where(right, 0.0, opacities), x_edges=x_edges, y_edges=y_edges, role="low")


def _lines(axes: Axes, count: int) -> Iterable[Primitive]:
    """Lines between the cells of a small matrix, and around a large one."""
    kept = np.arange(count + 1.0) if count <= _LINED else np.array([0.0, float(count)])
    across, down = (np.round(edges) for edges in edges_of(axes, columns=kept, rows=kept))
    left, right, top, bottom = (np.full_like(across, v) for v in (across[0], across[-1], down[0], down[-1]))
    yield Segments(np.stack((across, top, across, bottom), axis=1), "grid")
    yield Segments(np.stack((left, down, right, down), axis=1), "grid")


def _numbers(axes: Axes, counts: FloatArray, opacities: FloatArray) -> Iterable[Text]:
    width, height = (axes.right - axes.left) / len(counts), (axes.bottom - axes.top) / len(counts)
    if not counts.any():
        return
    shown = (counts > 0) | (len(counts) <= _ZEROS_SHOWN)
    texts, size = _fitting(counts[shown], width=width - _AIR, height=height)
    x = axes.along("x", np.arange(float(len(counts)))).tolist()
    y = (axes.along("y", np.arange(float(len(counts)))) + 0.36 * size).tolist()
    solid = np.rint(opacities * LEVELS) / LEVELS >= BLEND_TURNS
    places = [(row, at) for row, at in product(range(len(x)), repeat=2) if shown[row, at]]
    for (row, at), text in zip(places, texts, strict=False):
        yield Text(x[at], y[row], text, "background" if solid[row, at] else "text", size, "middle")


def _fitting(counts: FloatArray, *, width: float, height: float) -> tuple[list[str], float]:
    """The numbers, in the largest size and the plainest form that fits in every cell; none if none does."""
    for write in _FORMS:
        texts = [write(count) for count in counts.tolist()]
        for size in _FONT_SIZES:
            widest = max(map(len, texts), default=0) * text_width("0", size)
            if widest <= width and 1.25 * size <= height:
                return texts, size
    return [], _FONT_SIZES[-1]


def _plain(count: float) -> str:
    return f"{count:.0f}" if count == round(count) else f"{count:.3g}"


def _short(count: float) -> str:
    """Two digits and a unit: "350", "1.2k", "35k", "1.2M"."""
    for size, unit in _UNITS:
        value = count / size
        if value < _NEXT_UNIT:
            digits = 0 if value >= _NO_DECIMALS or round(value, 1) == round(value) else 1
            return f"{value:.{digits}f}{unit}"
    return f"{count:.0e}".replace("+", "")


_FORMS: tuple[Callable[[float], str], ...] = (_plain, _short)


def _description(counts: FloatArray, share: FloatArray, labels: Sequence[str]) -> str:
    whole = counts / max(float(counts.max()), 1e-300)  # The largest floats have no sum.
    if not whole.any():
        return f"Confusion matrix of {len(labels)} classes: no rows."
    correct = float(np.trace(whole) / whole.sum())
    wrong = np.where(np.eye(len(labels), dtype=np.bool_), 0.0, share)
    row, at = divmod(int(wrong.argmax()), len(labels))
    worst = (
        f" The largest confusion: {100 * wrong[row, at]:.3g} % of {labels[row]} were taken for {labels[at]}."
        if wrong.any()
        else ""
    )
    return f"Confusion matrix of {len(labels)} classes: {100 * correct:.4g} % are correct.{worst}"
