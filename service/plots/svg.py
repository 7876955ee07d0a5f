"""Scenes as SVG: small, scalable, readable on light and on dark paper."""

from collections.abc import Iterable, Mapping
from functools import singledispatch
from html import escape

import numpy as np

from service.plots.palette import DARK, LIGHT
from service.plots.scene import (
    Circles,
    Dots,
    FloatArray,
    Polyline,
    Primitive,
    Rects,
    Role,
    Scene,
    Segments,
    Text,
)
from service.plots.typography import legible

_CLASS = "fitd-plot"  # Rules are bound to it: a page that embeds the picture keeps its own style.
_FONT = "font-family:system-ui,sans-serif;font-variant-numeric:tabular-nums"
_STROKED, _FILLED = "s", "f"


def render_svg(scene: Scene) -> bytes:
    """Writes `scene` as an SVG document in UTF-8, to be served as `image/svg+xml`.

    It holds no script and refers to nothing outside; colours follow the reader's preference for light or
    dark. Characters that XML does not allow are shown as U+FFFD.
    """
    body = "\n".join(filter(None, map(_element, scene.items)))
    size = f'width="{scene.width}" height="{scene.height}"'
    view = f'role="img" viewBox="0 0 {scene.width} {scene.height}" {size}'
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{_CLASS}" {view}>',
        f"<title>{_escaped(scene.title)}</title>",
        f"<desc>{_escaped(scene.description)}</desc>",
        f"<style>{_style(scene.items)}</style>",
        f'<rect {size} class="{_FILLED}-background"/>',
        body,
        "</svg>\n",
    )
    return "\n".join(parts).encode()


def _style(items: Iterable[Primitive]) -> str:
    """The rules for the roles in use; `@media` chooses between two palettes of the same classes."""
    roles: list[Role] = sorted({"background", *(item.role for item in items)})
    light, dark = _rules(roles, LIGHT), _rules(roles, DARK)
    general = f".{_CLASS}{{{_FONT}}}.{_CLASS} polyline,.{_CLASS} path{{fill:none;stroke-linejoin:round}}"
    return f"{general}{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _rules(roles: Iterable[Role], palette: Mapping[Role, str]) -> str:
    return "".join(
        f".{_CLASS} .{_STROKED}-{role}{{stroke:{palette[role]}}}"
        f".{_CLASS} .{_FILLED}-{role}{{fill:{palette[role]}}}"
        for role in roles
    )


@singledispatch
def _element(item: Primitive) -> str:
    raise TypeError(f"no way to write {type(item).__name__} as SVG")


@_element.register
def _polyline(item: Polyline) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in item.points.tolist())
    width = f'stroke-width="{_number(item.width)}"'
    opacity = f' stroke-opacity="{item.opacity:.3g}"' if item.opacity < 1 else ""
    return f'<polyline class="{_STROKED}-{item.role}" {width}{opacity} points="{points}"/>'


@_element.register
def _segments(item: Segments) -> str:
    lines = (tuple(map(_number, ends)) for ends in item.ends.tolist())
    path = "".join(f"M{x1} {y1}L{x2} {y2}" for x1, y1, x2, y2 in lines)
    return path and (
        f'<path class="{_STROKED}-{item.role}" stroke-width="{_number(item.width)}" d="{path}"/>'
    )


@_element.register
def _circles(item: Circles) -> str:
    radius = _number(item.radius)
    circles = "".join(
        f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{radius}"/>' for x, y in item.centres.tolist()
    )
    style = f'stroke-width="0.7" fill-opacity="{_number(item.opacity)}"'
    return f'<g class="{_FILLED}-{item.role} {_STROKED}-background" {style}>{circles}</g>'


@_element.register
def _dots(item: Dots) -> str:
    """One path of lines without length: their round ends are the dots, at six characters each."""
    width = f'stroke-width="{_number(2 * item.radius)}" stroke-linecap="round"'
    opacity = f'stroke-opacity="{_number(item.opacity)}"'
    return f'<path class="{_STROKED}-{item.role}" {width} {opacity} d="{_steps(item.centres)}"/>'


@_element.register
def _rects(item: Rects) -> str:
    """One path for each opacity: a box takes about fourteen characters, a quarter of an element."""
    opacities = np.ones(len(item.boxes)) if item.opacities is None else item.opacities
    return "\n".join(
        f'<path class="{_FILLED}-{item.role}" fill-opacity="{opacity:.3g}" shape-rendering="crispEdges" '
        f'd="{_outlines(item.boxes[opacities == opacity])}"/>'
        for opacity in np.unique(opacities).tolist()
    )


@_element.register
def _text(item: Text) -> str:
    x, y = _number(item.x), _number(item.y)
    turn = f' transform="rotate({_number(item.rotation)} {x} {y})"' if item.rotation else ""
    weight = ' font-weight="600"' if item.bold else ""
    place = f'x="{x}" y="{y}" font-size="{_number(item.size)}" text-anchor="{item.anchor}"'
    return f'<text class="{_FILLED}-{item.role}" {place}{weight}{turn}>{_escaped(item.text)}</text>'


def _steps(centres: FloatArray) -> str:
    return "".join(f"m{_number(x)} {_number(y)}h0" for x, y in _distances(centres))


def _outlines(boxes: FloatArray) -> str:
    """Each box begins where the last one began, for `z` goes back there."""
    sizes = (tuple(map(_number, size)) for size in boxes[:, 2:].tolist())
    starts = (tuple(map(_number, step)) for step in _distances(boxes[:, :2]))
    return "".join(
        f"m{x} {y}h{width}v{height}h-{width}z" for (x, y), (width, height) in zip(starts, sizes, strict=True)
    )


def _distances(places: FloatArray) -> Iterable[tuple[float, float]]:
    """From one place to the next, in whole tenths so that no error adds up."""
    tenths = np.round(places * 10).astype(np.int64)
    yield from (np.diff(tenths, axis=0, prepend=0) / 10).tolist()


def _number(value: float) -> str:
    """A tenth of a pixel is finer than any screen."""
    return f"{value:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    return escape(legible(text))
