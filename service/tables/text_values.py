"""What a piece of text in a CSV file means: a number, a boolean, a moment, a word, or nothing."""

import enum
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "MISSING",
    "Meaning",
    "any_padded",
    "are_digits",
    "booleans",
    "cleaned",
    "dates",
    "meanings",
    "numbers",
]

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?")
"""Texts that say that there is no value."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
_PADDED = r"^0\d+$"
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d{1,9})?)?)?"
_MOMENT = rf"^{_DAY}([ T]{_TIME}(Z|[+-]\d\d(:?\d\d)?)?)?$"
_ZONED = r"[ T].*(Z|[+-]\d\d(:?\d\d)?)$"
_TRUTHS = pa.array(["true", "false"])
_MISSING = pa.array(MISSING)
_MICROSECONDS = pa.timestamp("us")
A_SECOND = 1e6
"""Microseconds."""
_FEW = 100

Text = Any
"""A `pa.StringArray`; pyarrow brings no types."""
Mask = npt.NDArray[np.bool_]


class Meaning(enum.IntEnum):
    """What one text can be; each is exactly one of these."""

    MISSING = 0
    NUMBER = 1
    BOOLEAN = 2
    DATE = 3
    """A day or a moment in ISO 8601."""
    WORD = 4


def cleaned(texts: Text) -> Text:
    """Take the blanks around each text away, and make what says "no value" null."""
    trimmed = pc.utf8_trim_whitespace(texts)
    empty = pc.is_in(trimmed, value_set=_MISSING)
    return pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)


def meanings(texts: Text, *, decimal_comma: bool = False) -> npt.NDArray[np.uint8]:
    """Tell what each text means, as values of `Meaning`.

    Args:
        texts: Cleaned texts.
        decimal_comma: Whether `3,14` is a number.
    """
    plain = _with_points(texts) if decimal_comma else texts
    for meaning, to in ((Meaning.NUMBER, pa.float64()), (Meaning.DATE, _MICROSECONDS)):
        # Nearly always all texts of a column mean the same: one cast tells it.
        if _castable(plain, to):
            return np.where(_mask(texts.is_valid()), np.uint8(meaning), np.uint8(Meaning.MISSING))
    if len(texts) < _FEW:
        return _each(texts, plain)
    # Words repeat: each is looked at once.
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary
    each = _each(distinct, _with_points(distinct) if decimal_comma else distinct)
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found: npt.NDArray[np.uint8] = np.append(each, np.uint8(Meaning.MISSING))[places]
    return found


def _each(texts: Text, plain: Text) -> npt.NDArray[np.uint8]:
    """Look at each text for itself."""
    present = _mask(texts.is_valid())
    found = np.where(present, np.uint8(Meaning.NUMBER), np.uint8(Meaning.MISSING))
    found[present & ~_matches(plain, _NUMBER)] = Meaning.WORD
    rest = found == Meaning.WORD
    found[rest & _mask(pc.is_in(pc.utf8_lower(texts), value_set=_TRUTHS))] = Meaning.BOOLEAN
    found[rest & _are_dates(texts)] = Meaning.DATE
    return found


def numbers(texts: Text, *, decimal_comma: bool = False) -> npt.NDArray[np.float64]:
    """Read numbers; NaN where there is none. All texts must be numbers or null."""
    plain = _with_points(texts) if decimal_comma else texts
    return _floats(pc.cast(plain, pa.float64()))


def any_padded(texts: Text) -> bool:
    """Tell whether one of some texts is of digits alone, with a 0 in front that no number needs."""
    begun = texts.filter(pc.starts_with(texts, "0"))
    return bool(pc.any(pc.match_substring_regex(begun, _PADDED)).as_py())


def are_digits(texts: Text) -> bool:
    """Tell whether all of some numbers are of digits alone: a sign, a point or an exponent is of a measure."""
    return bool(pc.all(pc.utf8_is_decimal(texts)).as_py())


def booleans(texts: Text, **_: object) -> npt.NDArray[np.float64]:
    """Read `true` as 1 and `false` as 0; NaN where there is none."""
    return _floats(pc.cast(pc.equal(pc.utf8_lower(texts), "true"), pa.float64()))


def dates(texts: Text, **_: object) -> npt.NDArray[np.float64]:
    """Read moments as seconds since 1970 in UTC; NaN where there is none.

    A moment without a time zone is read as UTC. Digits beyond microseconds are dropped.
    """
    if _castable(texts, _MICROSECONDS):
        return _floats(pc.cast(pc.cast(pc.cast(texts, _MICROSECONDS), pa.int64()), pa.float64())) / A_SECOND
    short = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
    zoned = pc.match_substring_regex(short, _ZONED)
    nothing = pa.scalar(None, pa.string())
    local = pc.cast(pc.if_else(zoned, nothing, short), _MICROSECONDS)
    there = pc.cast(pc.if_else(zoned, short, nothing), pa.timestamp("us", "UTC"))
    moments = pc.coalesce(pc.cast(local, pa.int64()), pc.cast(there, pa.int64()))
    return _floats(pc.cast(moments, pa.float64())) / A_SECOND


def _with_points(texts: Text) -> Text:
    """Write a decimal comma as a point; a text with two commas stays no number."""
    return pc.replace_substring(texts, pattern=",", replacement=".", max_replacements=1)


def _castable(texts: Text, to: Any) -> bool:  # noqa: ANN401 - pyarrow brings no types
    try:
        # A cast that fails goes on through all values and words an error for each: try it on a few first.
        pc.cast(texts[:_FEW], to)
        pc.cast(texts, to)
    except pa.ArrowInvalid:
        return False
    return True


def _are_dates(texts: Text) -> Mask:
    shaped = _matches(texts, _MOMENT)
    places = np.flatnonzero(shaped)
    if len(places):
        shaped[places] = _existing(texts.take(pa.array(places)))
    return shaped


def _existing(texts: Text) -> Mask:
    """Tell which of some texts that look like days exist in the calendar: the 30th of February does not."""
    try:
        dates(texts)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return np.zeros(1, bool)
        half = len(texts) // 2
        return np.concatenate([_existing(texts[:half]), _existing(texts[half:])])
    return np.ones(len(texts), bool)


def _matches(texts: Text, pattern: str) -> Mask:
    return _mask(pc.match_substring_regex(texts, pattern))


def _mask(flags: Text) -> Mask:
    return cast("Mask", flags.fill_null(False).to_numpy(zero_copy_only=False)).astype(bool)  # noqa: FBT003 - pyarrow's own


def _floats(values: Text) -> npt.NDArray[np.float64]:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
