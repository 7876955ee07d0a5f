"""Scenes as PNG, for where SVG is not shown; on light paper always."""

import math
from collections.abc import Iterator
from functools import singledispatchmethod
from io import BytesIO

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from service.plots.palette import LIGHT
from service.plots.scene import (
    Anchor,
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
from service.plots.typography import drawable, font

MOST_SCALE = 4
_OVERSAMPLING = 2  # Painted this much larger and then averaged: that smooths the edges.
_RIM = 0.7
_BOLD = 0.035  # The font has one weight; strokes around the letters, in font sizes, make a second.
_ANCHORS: dict[Anchor, str] = {"start": "ls", "middle": "ms", "end": "rs"}


def render_png(scene: Scene, scale: int = 2) -> bytes:
    """Paints `scene` with `scale` pixels for each of its own, on light paper, as a PNG file.

    The font is the one that travels with Pillow: accents that it lacks are dropped, and scripts that it
    lacks become boxes; SVG has every character of the reader's own fonts.

    Raises:
        ValueError: if `scale` is not between 1 and 4.
    """
    if not 1 <= scale <= MOST_SCALE:
        raise ValueError(f"scale must be between 1 and {MOST_SCALE}, not {scale}")
    painter = _Painter(scene.width, scene.height, scale * _OVERSAMPLING)
    for item in scene.items:
        painter.paint(item)
    file = BytesIO()
    painter.image.reduce(_OVERSAMPLING).save(file, "PNG", optimize=False, dpi=(96 * scale, 96 * scale))
    return file.getvalue()


class _Painter:
    """A canvas whose pixels are `zoom` times as fine as those of the scene."""

    def __init__(self, width: int, height: int, zoom: int) -> None:
        self.zoom = zoom
        self.image = Image.new("RGB", (width * zoom, height * zoom), LIGHT["background"])
        self.draw = ImageDraw.Draw(self.image, "RGBA")  # Blends what has an alpha value.

    @singledispatchmethod
    def paint(self, item: Primitive) -> None:
        raise TypeError(f"no way to paint {type(item).__name__}")

    @paint.register
    def _polyline(self, item: Polyline) -> None:
        points = [(x, y) for x, y in (item.points * self.zoom).tolist()]
        self.draw.line(points, _mixed(item.role, item.opacity), self._width(item.width), joint="curve")

    @paint.register
    def _segments(self, item: Segments) -> None:
        for x1, y1, x2, y2 in (item.ends * self.zoom).tolist():
            self.draw.line((x1, y1, x2, y2), LIGHT[item.role], self._width(item.width))

    @paint.register
    def _circles(self, item: Circles) -> None:
        inner, rim = _colour(item.role, item.opacity), _colour("background", 1.0)
        for box in self._discs(item.centres, item.radius + _RIM / 2):
            self.draw.ellipse(box, inner, rim, self._width(_RIM))

    @paint.register
    def _dots(self, item: Dots) -> None:
        mask = Image.new("L", self.image.size)
        paint = ImageDraw.Draw(mask)
        for box in self._discs(item.centres, item.radius):
            paint.ellipse(box, round(255 * item.opacity))
        self.image.paste(LIGHT[item.role], mask=mask)

    @paint.register
    def _rects(self, item: Rects) -> None:
        opacities = np.ones(len(item.boxes)) if item.opacities is None else item.opacities
        corners = np.concatenate((item.boxes[:, :2], item.boxes[:, :2] + item.boxes[:, 2:]), axis=1)
        boxes = np.round(corners * self.zoom) - (0, 0, 1, 1)  # Pillow's boxes include their last pixel.
        for (x1, y1, x2, y2), opacity in zip(boxes.tolist(), opacities.tolist(), strict=True):
            if x1 <= x2 and y1 <= y2:
                self.draw.rectangle((x1, y1, x2, y2), _colour(item.role, opacity))

    @paint.register
    def _text(self, item: Text) -> None:
        size = item.size * self.zoom
        words, face, bold = drawable(item.text), font(size), _BOLD * size / 2 if item.bold else 0.0
        x, y = item.x * self.zoom, item.y * self.zoom
        anchor = _ANCHORS[item.anchor]
        if not item.rotation:
            self.draw.text((x, y), words, LIGHT[item.role], face, anchor, stroke_width=bold)
            return
        # Turned text is painted in the middle of a stencil that has room for every angle.
        reach = math.ceil(face.getlength(words) + 2 * size)
        stencil = Image.new("L", (2 * reach, 2 * reach))
        ImageDraw.Draw(stencil).text((reach, reach), words, 255, face, anchor, stroke_width=bold)
        turned = stencil.rotate(-item.rotation)  # Pillow turns against the clock.
        self.image.paste(LIGHT[item.role], (round(x) - reach, round(y) - reach), turned)

    def _width(self, width: float) -> int:
        return max(1, round(width * self.zoom))

    def _discs(self, centres: FloatArray, radius: float) -> Iterator[tuple[float, float, float, float]]:
        reach = radius * self.zoom
        for x, y in (centres * self.zoom).tolist():
            yield x - reach, y - reach, x + reach, y + reach


def _colour(role: Role, opacity: float) -> tuple[int, int, int, int]:
    red, green, blue = ImageColor.getrgb(LIGHT[role])[:3]
    return red, green, blue, round(255 * opacity)


def _mixed(role: Role, opacity: float) -> tuple[int, ...]:
    """The colour of a role as it looks on paper: blended point by point, a line's joints would be darker."""
    pairs = zip(ImageColor.getrgb(LIGHT[role]), ImageColor.getrgb(LIGHT["background"]), strict=True)
    return tuple(round(ink * opacity + paper * (1 - opacity)) for ink, paper in pairs)
