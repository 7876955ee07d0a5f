import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.plots.typography import ELLIPSIS, REPLACEMENT, drawable, fitted, font, legible, text_width


def test_control_characters_and_half_surrogates_are_replaced() -> None:
    assert legible("a\x00b\ud800c") == f"a{REPLACEMENT}b{REPLACEMENT}c"
    assert legible(" two\nlines\tand ") == "two lines and"


@pytest.mark.parametrize(
    ("text", "drawn"),
    [("Zähler é", "Zahler e"), ("\N{MINUS SIGN}1 \N{EN DASH} 2", "-1 - 2"), ("5 µV", "5 uV"), ("m²", "m2")],
)
def test_letters_without_a_glyph_fall_back_to_their_likeness(text: str, drawn: str) -> None:
    assert drawable(text) == drawn


def test_characters_without_a_likeness_become_boxes() -> None:
    assert drawable("日😀") == REPLACEMENT * 2


@given(st.text(max_size=60))
def test_fitted_text_fits(text: str) -> None:
    short = fitted(text, width=80.0, size=12.0)
    assert text_width(short, 12.0) <= 80.0
    assert short == legible(text) or short.endswith(ELLIPSIS)


@given(st.text(max_size=60))
def test_text_cut_in_the_middle_fits_and_keeps_both_ends(text: str) -> None:
    short = fitted(text, width=80.0, size=12.0, middle=True)
    assert text_width(short, 12.0) <= 80.0
    begin, cut, end = short.partition(ELLIPSIS)
    assert short == legible(text) or cut
    assert legible(text).startswith(begin)
    assert legible(text).endswith(end)


def test_names_that_differ_at_the_end_differ_when_cut_in_the_middle() -> None:
    names = {
        fitted(f"class of rather long names, number {k}", width=90, size=12, middle=True) for k in range(20)
    }
    assert len(names) == 20


def test_a_megabyte_of_label_is_cut() -> None:
    assert len(fitted("x" * 1_000_000, width=300.0, size=12.0)) < 100


def test_fonts_are_loaded_once_for_each_size() -> None:
    assert font(24.0) is font(24.0)
