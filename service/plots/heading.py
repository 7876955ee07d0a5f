"""What stands above a picture: a title, and if need be a second line and a legend."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.plots.legend import LegendEntry, legend_rows
from service.plots.scene import Primitive, Text
from service.plots.typography import fitted

WIDTH = 720
EDGE = 16.0  # Nothing is drawn nearer to the left, right and upper edge.
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 15.0, 12.5, 11.5


@dataclass(frozen=True, slots=True)
class Heading:
    """Title, subtitle and legend, from the top of the picture to `bottom`."""

    title: str
    subtitle: str | None = None
    legend: Sequence[LegendEntry] = ()

    @property
    def bottom(self) -> float:
        """Where the frame below may begin, in pixels: after as many lines as there are."""
        subtitle = 1.6 * LABEL_SIZE if self.subtitle else 0.0
        legend = legend_rows(self.legend, width=WIDTH - 2 * EDGE).height
        return float(round(EDGE + 1.2 * TITLE_SIZE + subtitle + legend + 20.0))

    def marks(self) -> Iterable[Primitive]:
        """The words and the samples."""
        room = WIDTH - 2 * EDGE
        baseline = EDGE + 0.9 * TITLE_SIZE
        title = fitted(self.title, width=0.94 * room, size=TITLE_SIZE)  # Bold letters are wider.
        yield Text(EDGE, baseline, title, "text", TITLE_SIZE, bold=True)
        if self.subtitle:
            subtitle = fitted(self.subtitle, width=room, size=LABEL_SIZE)
            yield Text(EDGE, baseline + 1.6 * LABEL_SIZE, subtitle, "muted", LABEL_SIZE)
        rows = legend_rows(self.legend, width=room)
        yield from rows.marks(EDGE, self.bottom - 12.0 - rows.height)
