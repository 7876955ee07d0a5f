"""Which mark is what: entries in rows, each a short sample and its name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from service.plots.dashes import dashed
from service.plots.scene import Circles, Polyline, Primitive, Rects, Role, Text
from service.plots.typography import fitted, text_width

_SIZE = 12.0
_SAMPLE, _SAMPLE_GAP, _ENTRY_GAP = 20.0, 6.0, 18.0
_ROW = 1.6 * _SIZE
_WIDEST_NAME = 200.0
FAINT, FAINT_WIDTH = 0.6, 1.2  # Opacity and pixels of lines that stand behind those that matter.
THIN_WIDTH = 1.4
_MOST_ENTRIES = 12  # More than there are colours; a legend that fills the picture explains nothing.

Sample: TypeAlias = Literal["line", "dashes", "upright", "thin", "faint", "dot", "area"]


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """The name of what is drawn in `role`, with a sample: some kind of line, a dot or an area."""

    name: str
    role: Role
    sample: Sample = "line"


@dataclass(frozen=True, slots=True)
class LegendRows:
    """A legend broken in rows: every entry with its distance from the left, in pixels."""

    rows: tuple[tuple[tuple[float, LegendEntry], ...], ...]

    @property
    def height(self) -> float:
        """How many pixels the rows take; none without entries."""
        return _ROW * len(self.rows)

    def marks(self, x: float, y: float) -> Iterable[Primitive]:
        """The legend's shapes, its upper left corner at (`x`, `y`)."""
        for number, row in enumerate(self.rows):
            middle = y + (number + 0.5) * _ROW
            for offset, entry in row:
                yield _SAMPLES[entry.sample](x + offset, middle, entry.role)
                name = x + offset + _SAMPLE + _SAMPLE_GAP
                yield Text(name, middle + 0.36 * _SIZE, _name(entry), "text", _SIZE)


def legend_rows(entries: Sequence[LegendEntry], *, width: float) -> LegendRows:
    """Breaks `entries` in rows of at most `width` pixels; beyond a dozen the rest is only counted."""
    rows: list[list[tuple[float, LegendEntry]]] = []
    offset = width
    for entry in _shown(entries):
        taken = _SAMPLE + _SAMPLE_GAP + text_width(_name(entry), _SIZE) + _ENTRY_GAP
        if offset + taken > width:
            rows.append([])
            offset = 0.0
        rows[-1].append((offset, entry))
        offset += taken
    return LegendRows(tuple(map(tuple, rows)))


def _shown(entries: Sequence[LegendEntry]) -> Sequence[LegendEntry]:
    if len(entries) <= _MOST_ENTRIES:
        return entries
    rest = LegendEntry(f"and {len(entries) - _MOST_ENTRIES + 1} more", "muted")
    return (*entries[: _MOST_ENTRIES - 1], rest)


def _name(entry: LegendEntry) -> str:
    return fitted(entry.name, width=_WIDEST_NAME, size=_SIZE)


def _line(x: float, y: float, role: Role) -> Primitive:
    return Polyline(np.array([[x, y], [x + _SAMPLE, y]]), role, width=2.4)


def _dashes(x: float, y: float, role: Role) -> Primitive:
    return dashed((x, y), (x + _SAMPLE, y), role=role)


def _upright(x: float, y: float, role: Role) -> Primitive:
    return dashed((x + _SAMPLE / 2, y - _SIZE / 2), (x + _SAMPLE / 2, y + _SIZE / 2), role=role)


def _thin(x: float, y: float, role: Role) -> Primitive:
    return Polyline(np.array([[x, y], [x + _SAMPLE, y]]), role, THIN_WIDTH)


def _faint(x: float, y: float, role: Role) -> Primitive:
    return Polyline(np.array([[x, y], [x + _SAMPLE, y]]), role, FAINT_WIDTH, FAINT)


def _dot(x: float, y: float, role: Role) -> Primitive:
    return Circles(np.array([[x + _SAMPLE / 2, y]]), role, radius=4.0, opacity=1.0)


def _area(x: float, y: float, role: Role) -> Primitive:
    return Rects(np.array([[x + _SAMPLE / 2 - 6, y - 6, 12.0, 12.0]]), role)


_SAMPLES: Mapping[Sample, Callable[[float, float, Role], Primitive]] = MappingProxyType(
    {
        "line": _line,
        "dashes": _dashes,
        "upright": _upright,
        "thin": _thin,
        "faint": _faint,
        "dot": _dot,
        "area": _area,
    }
)
