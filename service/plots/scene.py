"""What a picture consists of: shapes in pixels, with a role where other libraries have a colour."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

Role: TypeAlias = Literal[
    "background",  # the paper
    "grid",  # lines that the eye may follow but should not notice
    "axis",  # frame, ticks, reference lines
    "text",  # titles, axis labels
    "muted",  # tick labels, subtitles, notes
    "data",  # observations, and what is measured on the training rows
    "accent",  # what the model says
    "dev",  # what is measured on held-out rows
    "series-4",  # further series and classes, in this order after data, accent and dev
    "series-5",
    "series-6",
    "high",  # heat maps: counts, what is right, what lies above zero
    "low",  # heat maps: what is wrong, what lies below zero
]
"""What a shape means; a backend decides which colour that is, on light paper or on dark."""

SERIES_ROLES: tuple[Role, ...] = ("data", "accent", "dev", "series-4", "series-5", "series-6")
"""Roles for things that are only told apart, such as classes: take them in this order and start again."""

Anchor: TypeAlias = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True, eq=False)
class Polyline:
    """One connected line through `points` of shape (n, 2), n of at least two, in pixels.

    `opacity` between 0 and 1 is that of the line as a whole: it is no darker where it crosses itself.
    """

    points: FloatArray
    role: Role
    width: float = 2.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Many straight lines: each row of `ends`, of shape (n, 4), is x1, y1, x2, y2 in pixels."""

    ends: FloatArray
    role: Role
    width: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Circles:
    """Marks that stay apart where they overlap, by a thin rim of paper; for up to a few thousand.

    `centres` has shape (n, 2); `radius` is in pixels, `opacity` between 0 and 1 is that of each mark.
    """

    centres: FloatArray
    role: Role
    radius: float = 3.0
    opacity: float = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Dots:
    """Marks painted all at once, overlaps included: small in a file, for tens of thousands.

    `centres` has shape (n, 2); `radius` is in pixels, `opacity` between 0 and 1 is that of the whole.
    """

    centres: FloatArray
    role: Role
    radius: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Rects:
    """Filled boxes: each row of `boxes`, of shape (n, 4), is x, y, width, height in pixels.

    `opacities` of shape (n,) makes a heat map out of one role that reads on light and on dark paper:
    0 is paper, 1 is the full colour. Without it every box has the full colour.
    """

    boxes: FloatArray
    role: Role
    opacities: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text whose baseline starts, centres or ends at (x, y), by `anchor`.

    `rotation` is in degrees, clockwise, about (x, y); `size` is the font size in pixels.
    """

    x: float
    y: float
    text: str
    role: Role = "text"
    size: float = 12.0
    anchor: Anchor = "start"
    rotation: float = 0.0
    bold: bool = False


Primitive: TypeAlias = Polyline | Segments | Circles | Dots | Rects | Text


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A whole picture, `width` by `height` pixels; `items` are painted in order, the last on top.

    `title` and `description` say in words what is to be seen, for those who cannot see it.
    """

    width: int
    height: int
    title: str
    description: str
    items: tuple[Primitive, ...]
