"""Many small pictures beside each other, each a heat map of its own."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.plots.heat import blocks, box_around, means, signed_cells
from service.plots.scene import FloatArray, Primitive, Text
from service.plots.typography import fitted

MOST_TILES = 64
CAPTION = 10.0
_MOST_CELLS = 13_000  # Of all tiles together; it keeps the file small.
_GAP = 6.0
_NARROWEST_CAPTIONED = 18.0


@dataclass(frozen=True, slots=True, eq=False)
class TileGrid:
    """`tiles` of shape (n, rows, columns), values -1 to 1, placed `across` to a row from `left` and `top`.

    Each takes `width` by `height` pixels.
    """

    tiles: FloatArray
    left: float
    top: float
    across: int
    width: float
    height: float

    @property
    def right(self) -> float:
        """Where the last tile of a row ends, in pixels."""
        return self.left + self.across * (self.width + _GAP) - _GAP

    @property
    def bottom(self) -> float:
        """Where the last row ends, without its captions, in pixels."""
        down = math.ceil(len(self.tiles) / self.across)
        return self.top + down * (self.height + _GAP + CAPTION) - _GAP - CAPTION

    def marks(self, captions: Sequence[str]) -> Iterable[Primitive]:
        """The tiles, each with its caption below unless too small; large ones by the means of blocks."""
        for number, (tile, caption) in enumerate(zip(self.tiles, captions, strict=False)):
            row, column = divmod(number, self.across)
            left = round(self.left + column * (self.width + _GAP))
            top = round(self.top + row * (self.height + _GAP + CAPTION))
            yield from self._tile(tile, left, top)
            if self.width >= _NARROWEST_CAPTIONED:
                words = fitted(caption, width=self.width + _GAP / 2, size=CAPTION, middle=True)
                yield Text(
                    left + self.width / 2, top + self.height + CAPTION, words, "muted", CAPTION, "middle"
                )

    def _tile(self, tile: FloatArray, left: float, top: float) -> Iterable[Primitive]:
        count, rows, columns = self.tiles.shape
        side = max(1, math.ceil(math.sqrt(rows * columns * count / _MOST_CELLS)))
        down, across = (blocks(length, most=math.ceil(length / side)) for length in (rows, columns))
        right, bottom = left + round(self.width), top + round(self.height)
        yield from signed_cells(
            means(tile, rows=down, columns=across),
            x_edges=left + across / columns * (right - left),
            y_edges=top + down / rows * (bottom - top),
        )
        yield box_around(left, top, right, bottom)


def tile_grid(
    tiles: FloatArray, left: float, top: float, right: float, bottom: float, *, together: int
) -> TileGrid:
    """Places `tiles`, n of at least one, as large as the edges in pixels allow, with square cells.

    `together` is how many tiles form a group; rows consist of whole groups.
    """
    count, rows, columns = tiles.shape

    def placed(across: int) -> TileGrid:
        down = math.ceil(count / across)
        room = (right - left + _GAP) / across - _GAP, (bottom - top) / down - _GAP - CAPTION
        width = max(min(room[0], room[1] * columns / rows), 1.0)
        return TileGrid(tiles, left, top, across, width, max(width * rows / columns, 1.0))

    choices = map(placed, range(min(together, count), count + 1, min(together, count)))
    return max(choices, key=lambda grid: grid.width)
