import re
from collections.abc import Mapping
from io import BytesIO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from service.plots import Scene, fit_figure, render_png, render_svg
from service.plots.heat import LEVELS
from service.plots.palette import BLEND_TURNS, DARK, LIGHT
from service.plots.scene import SERIES_ROLES, Circles, Dots, Polyline, Rects, Role, Segments, Text

SVG = "{http://www.w3.org/2000/svg}"
EVERYTHING = Scene(
    100,
    80,
    "A <title>",
    "What is & what is not",
    (
        Rects(np.array([[10.0, 10, 20, 20], [30, 10, 20, 20]]), "data", np.array([1.0, 0.5])),
        Segments(np.array([[0.0, 40, 100, 40]]), "axis", width=4),
        Segments(np.empty((0, 4)), "grid"),
        Polyline(np.array([[0.0, 50], [50, 50], [100, 50]]), "accent", width=4),
        Polyline(np.array([[0.0, 60], [50, 60], [100, 60]]), "dev", width=4, opacity=0.5),
        Circles(np.array([[60.0, 20]]), "dev", radius=6, opacity=1.0),
        Dots(np.array([[80.0, 20], [81, 20], [80, 21]]), "series-4", radius=5),
        Text(50, 72, "Text", anchor="middle", bold=True),
        Text(95, 40, "up", anchor="middle", rotation=-90),
    ),
)


def image(scene: Scene, scale: int = 1) -> Image.Image:
    return Image.open(BytesIO(render_png(scene, scale=scale)))


def colour(role: Role) -> tuple[int, ...]:
    return tuple(int(LIGHT[role][k : k + 2], 16) for k in (1, 3, 5))


@pytest.mark.parametrize(
    ("place", "role"),
    [
        ((20, 20), "data"),
        ((50, 40), "axis"),
        ((50, 50), "accent"),
        ((60, 20), "dev"),
        ((80, 20), "series-4"),
        ((5, 5), "background"),
    ],
)
def test_png_paints_each_shape_in_the_colour_of_its_role(place: tuple[int, int], role: Role) -> None:
    assert image(EVERYTHING).getpixel(place) == colour(role)


def test_png_blends_a_half_transparent_box_with_the_paper() -> None:
    expected = [(a + b) / 2 for a, b in zip(colour("data"), colour("background"), strict=True)]
    assert image(EVERYTHING).getpixel((40, 20)) == pytest.approx(expected, abs=2)


def test_png_mixes_a_faint_line_with_the_paper_also_where_it_joins() -> None:
    expected = [(a + b) / 2 for a, b in zip(colour("dev"), colour("background"), strict=True)]
    for column in (20, 50, 80):
        assert image(EVERYTHING).getpixel((column, 60)) == pytest.approx(expected, abs=2)


def test_svg_boxes_are_outlined_where_they_are() -> None:
    boxes = np.random.default_rng(0).integers(0, 90, (500, 4)).astype(np.float64)
    document = render_svg(Scene(200, 200, "", "", (Rects(boxes, "high"),))).decode()
    steps = np.array(re.findall(r"m(\S+) (\S+?)h(\S+?)v(\S+?)h-\S+?z", document), dtype=float)
    assert np.cumsum(steps[:, :2], axis=0) == pytest.approx(boxes[:, :2])
    assert steps[:, 2:] == pytest.approx(boxes[:, 2:])


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_png_has_the_size_of_the_scene_times_the_scale(scale: int) -> None:
    assert image(EVERYTHING, scale).size == (100 * scale, 80 * scale)


@pytest.mark.parametrize("scale", [0, 5, -1])
def test_png_refuses_other_scales(scale: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 4"):
        render_png(EVERYTHING, scale=scale)


def ink(text: Text) -> tuple[int, int, int, int]:
    """The box around what a text alone paints: left, top, right, bottom."""
    pixels = np.asarray(image(Scene(200, 200, "", "", (text,))).convert("L"))
    rows, columns = np.nonzero(pixels < 128)
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_png_text_is_anchored_and_turned_about_its_place() -> None:
    left, top, right, bottom = ink(Text(100, 100, "HHHHHH", anchor="start"))
    assert (left, bottom) == pytest.approx((101, 99), abs=2)
    assert right - left > 3 * (bottom - top)
    assert ink(Text(100, 100, "HHHHHH", anchor="end"))[2] == pytest.approx(99, abs=2)
    left, top, right, bottom = ink(Text(100, 100, "HHHHHH", anchor="middle", rotation=-90))
    assert (top + bottom) / 2 == pytest.approx(100, abs=2)
    assert right == pytest.approx(99, abs=2)
    assert bottom - top > 3 * (right - left)


def test_svg_tells_in_words_what_it_shows() -> None:
    root = ET.fromstring(render_svg(EVERYTHING))  # noqa: S314 - our own document
    assert root.get("role") == "img"
    assert root.get("viewBox") == "0 0 100 80"
    assert [root[0].tag, root[0].text] == [f"{SVG}title", "A <title>"]
    assert [root[1].tag, root[1].text] == [f"{SVG}desc", "What is & what is not"]


def test_svg_holds_every_shape() -> None:
    root = ET.fromstring(render_svg(EVERYTHING))  # noqa: S314
    counts = {
        name: len(list(root.iter(SVG + name))) for name in ("rect", "path", "polyline", "circle", "text")
    }
    assert counts == {"rect": 1, "path": 4, "polyline": 2, "circle": 1, "text": 2}


def test_svg_dots_step_from_place_to_place_without_drift() -> None:
    centres = np.random.default_rng(0).uniform(0, 100, (5000, 2))
    scene = Scene(100, 100, "", "", (Dots(centres, "data"),))
    steps = re.findall(r"m(\S+) (\S+)h0", render_svg(scene).decode())
    places = np.cumsum(np.array(steps, dtype=float), axis=0)
    assert np.abs(places - centres).max() < 0.051


def test_svg_gives_every_role_in_use_a_colour_on_light_and_on_dark() -> None:
    style = ET.fromstring(render_svg(EVERYTHING)).find(f"{SVG}style").text  # noqa: S314
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    for role in {item.role for item in EVERYTHING.items} | {"background"}:
        assert f".f-{role}{{fill:{LIGHT[role]}}}" in light
        assert f".f-{role}{{fill:{DARK[role]}}}" in dark
    classes = set(re.findall(r'class="([^"]+)"', render_svg(EVERYTHING).decode()))
    assert all(f".{name}{{" in style or name == "fitd-plot" for group in classes for name in group.split())


def test_svg_has_no_script_and_refers_to_nothing_outside() -> None:
    document = render_svg(
        fit_figure([1, 2], [1, 2], [1, 2], [1, 2], x_label="x", y_label="y", title="t")
    ).decode()
    assert "script" not in document
    assert "href" not in document
    assert "url(" not in document
    assert document.count("http") == 1  # The name of the SVG language itself.


def luminance(hexadecimal: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = np.array([int(hexadecimal[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_paper(palette: Mapping[Role, str]) -> None:
    def contrast(role: Role) -> float:
        pair = sorted((luminance(palette[role]), luminance(palette["background"])))
        return (pair[1] + 0.05) / (pair[0] + 0.05)

    assert all(contrast(role) >= 4.5 for role in ("text", "muted"))
    assert all(contrast(role) >= 3.0 for role in (*SERIES_ROLES, "axis", "high", "low"))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("role", ["high", "low"])
def test_words_on_every_shade_of_a_heat_map_are_legible(palette: Mapping[Role, str], role: Role) -> None:
    for opacity in np.linspace(0, 1, LEVELS + 1):
        shade = mixed(palette[role], palette["background"], opacity)
        words = luminance(palette["background" if opacity >= BLEND_TURNS else "text"])
        pair = sorted((luminance(shade), words))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3.5


def mixed(ink: str, paper: str, opacity: float) -> str:
    channels = [(int(ink[k : k + 2], 16), int(paper[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(a * opacity + b * (1 - opacity)):02x}" for a, b in channels)


# What eyes without red or green cones make of linear RGB: Machado, Oliveira, Fernandes, IEEE TVCG 15, 2009.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
}


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", DEFICIENCIES)
def test_hues_that_mean_opposites_differ_without_red_or_green_cones(
    palette: Mapping[Role, str], eyes: str
) -> None:
    def seen_as(role: Role) -> np.ndarray:
        channels = np.array([int(palette[role][k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return np.clip(DEFICIENCIES[eyes] @ linear, 0, 1) ** (1 / 2.2) * 255

    for one, other in (
        ("high", "low"),
        ("data", "accent"),
        ("data", "dev"),
        ("data", "series-5"),
        ("dev", "series-5"),
    ):
        assert np.linalg.norm(seen_as(one) - seen_as(other)) > 40


def test_an_unknown_shape_is_refused() -> None:
    scene = Scene(10, 10, "", "", (object(),))
    with pytest.raises(TypeError, match="object as SVG"):
        render_svg(scene)
    with pytest.raises(TypeError, match="paint object"):
        render_png(scene)
