"""The colours of the roles, on light paper and on dark.

The data colours descend from the palette of Okabe and Ito (https://jfly.uni-koeln.de/color/), which stays
distinct under the common colour vision deficiencies; for dark paper they are lightened.

Heat maps blend one role with the paper: `high` alone is a sequential map, `low` and `high` together are a
diverging one through paper, orange against blue. Their four colours are chosen so that `BLEND_TURNS` is
right for all of them.
"""

from collections.abc import Mapping
from types import MappingProxyType

from service.plots.scene import Role

LIGHT: Mapping[Role, str] = MappingProxyType(
    {
        "background": "#ffffff",
        "grid": "#e6e8eb",
        "axis": "#6b727c",
        "text": "#1b1f24",
        "muted": "#565d67",
        "data": "#0072b2",
        "accent": "#d55e00",
        "dev": "#009e73",
        "series-4": "#b3579a",
        "series-5": "#b98300",
        "series-6": "#3d9bd6",
        "high": "#00507d",
        "low": "#803800",
    }
)

DARK: Mapping[Role, str] = MappingProxyType(
    {
        "background": "#14171b",
        "grid": "#2b3038",
        "axis": "#8b939e",
        "text": "#eceff3",
        "muted": "#aab2bd",
        "data": "#5ab0ee",
        "accent": "#ff8f45",
        "dev": "#34cfa0",
        "series-4": "#e298c8",
        "series-5": "#f0c04a",
        "series-6": "#a9d8f7",
        "high": "#56a7e2",
        "low": "#ee8641",
    }
)

BLEND_TURNS = 0.7
"""From this opacity of `high` and `low` on, words upon them read better in the colour of the paper."""
