"""Text that every backend can show: cleaned, measured, cut to a width."""

import unicodedata
from functools import lru_cache

from PIL import ImageFont

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_LONGEST_LINE = 400  # Characters; no picture is wider, and measuring a megabyte of label would take seconds.
_WIDE = frozenset("WF")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Cn"})  # Controls, halves of surrogate pairs, not assigned.
_PLAIN = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{NO-BREAK SPACE}": " ",
        "\N{LATIN SMALL LETTER SHARP S}": "ss",
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{OHM SIGN}": "Ohm",
        "\N{GREEK CAPITAL LETTER OMEGA}": "Ohm",
        "\N{DEGREE SIGN}": "deg",
        "\N{PLUS-MINUS SIGN}": "+/-",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{INFINITY}": "inf",
        "\N{EURO SIGN}": "EUR",
    }
)


@lru_cache(maxsize=64)
def font(size: float) -> ImageFont.FreeTypeFont:
    """The font that travels with Pillow, at `size` pixels, loaded once for each size."""
    loaded = ImageFont.load_default(size=size)
    # Without FreeType Pillow would hand out a bitmap font of one size.
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # noqa: S101
    return loaded


def legible(text: str) -> str:
    """One line of `text` that may stand in XML: blanks for line breaks, U+FFFD for what has no shape."""
    line = " ".join(text[:_LONGEST_LINE].split())
    return "".join(REPLACEMENT if unicodedata.category(c) in _UNPRINTABLE else c for c in line)


@lru_cache(maxsize=1024)
def drawable(text: str) -> str:
    """`text` in the characters of Pillow's font: accents dropped, a box where there is no likeness."""
    return "".join(map(_nearest, legible(text).translate(_PLAIN)))


def text_width(text: str, size: float) -> float:
    """How many pixels `text` takes in a font of `size`, about: the reader's font is not known here."""
    wide = sum(unicodedata.east_asian_width(c) in _WIDE for c in text)
    narrow = "".join(c for c in text if unicodedata.east_asian_width(c) not in _WIDE)
    return wide * size + _drawn_width(drawable(narrow), size)


def fitted(text: str, *, width: float, size: float, middle: bool = False) -> str:
    """`text`, cut and ended with an ellipsis if it would be wider than `width` pixels.

    `middle` cuts there instead: names that differ only in their last letters can still be told apart.
    """
    text = legible(text)
    if text_width(text, size) <= width:
        return text
    cut = _without_middle if middle else _without_end
    # Halving finds the longest beginning that fits in nine measurements.
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        half_way = (fits + too_long) // 2
        short_enough = text_width(cut(text, half_way), size) <= width
        fits, too_long = (half_way, too_long) if short_enough else (fits, half_way)
    return cut(text, fits)


def _without_end(text: str, kept: int) -> str:
    return text[:kept].rstrip() + ELLIPSIS


def _without_middle(text: str, kept: int) -> str:
    return text[: kept - kept // 2].rstrip() + ELLIPSIS + text[len(text) - kept // 2 :].lstrip()


def _drawn_width(text: str, size: float) -> float:
    return float(font(size).getlength(text))


@lru_cache(maxsize=4096)
def _nearest(character: str) -> str:
    if _has_glyph(character):
        return character
    base = unicodedata.normalize("NFKD", character)[:1].translate(_PLAIN)
    return base if base and _has_glyph(base) else REPLACEMENT


def _has_glyph(character: str) -> bool:
    """Whether the font draws something else than the box that stands for a missing character."""
    shape = bytes(font(24).getmask(character))
    return character == " " or shape != bytes(font(24).getmask(REPLACEMENT))
