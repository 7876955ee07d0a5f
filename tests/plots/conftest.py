from io import BytesIO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from service.plots import Scene, render_png, render_svg
from service.plots.palette import LIGHT

SVG = "{http://www.w3.org/2000/svg}"


class Rendered:
    """A scene seen through both backends."""

    def __init__(self, scene: Scene) -> None:
        self.svg = render_svg(scene)
        self.root = ET.fromstring(self.svg)  # noqa: S314 - our own document
        self.pixels = np.asarray(Image.open(BytesIO(render_png(scene, scale=1))))

    @property
    def texts(self) -> list[str]:
        return [element.text or "" for element in self.root.iter(f"{SVG}text")]

    def where(self, role: str, *, tolerance: int = 24) -> np.ndarray:
        """Which pixels have the colour of the role, about: shape (height, width)."""
        colour = [int(LIGHT[role][k : k + 2], 16) for k in (1, 3, 5)]
        return (np.abs(self.pixels.astype(int) - colour) <= tolerance).all(axis=2)

    def assert_sound(self) -> None:
        """Nothing is placed at NaN or infinity, and nothing beyond the paper."""
        width, height = float(self.root.get("width")), float(self.root.get("height"))
        for element in self.root.iter():
            placed = " ".join(value for key, value in element.attrib.items() if key not in {"class", "role"})
            assert "nan" not in placed
            assert "inf" not in placed
            for key, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                assert 0 <= float(element.get(key, 0)) <= most


@pytest.fixture(scope="session")
def seen() -> type[Rendered]:
    return Rendered
