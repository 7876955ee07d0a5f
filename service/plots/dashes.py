"""Straight dashed lines: for what is a reference and neither data nor model."""

import numpy as np

from service.plots.scene import Role, Segments

_DASH, _GAP = 6.0, 4.0
_WIDTH = 1.5


def dashed(
    start: tuple[float, float], end: tuple[float, float], *, role: Role, width: float = _WIDTH
) -> Segments:
    """A dashed line from `start` to `end`, both x and y in pixels, that ends with a dash at both ends."""
    begin, way = np.array(start), np.subtract(end, start)
    length = float(np.hypot(*way))
    gaps = round(max(length - _DASH, 0.0) / (_DASH + _GAP))
    # The pattern is stretched a little, so that it comes out even.
    stretch = length / (gaps * (_DASH + _GAP) + _DASH)
    heads = np.arange(gaps + 1) * (_DASH + _GAP) * stretch
    shares = np.stack((heads, heads + _DASH * stretch), axis=1) / (length or 1.0)
    ends = begin + shares[:, :, np.newaxis] * way
    return Segments(ends.reshape(-1, 4), role, width)
