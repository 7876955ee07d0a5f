"""Text from elsewhere, made fit for a terminal."""

import unicodedata

__all__ = ["paragraph", "plain"]

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
"""They are part of words and of emoji, and command nothing."""


def plain(value: object) -> str:
    """Give a value as one line, with everything that a terminal would obey instead of show written out.

    A name is chosen by whoever submits a job; escape sequences in it could colour, move or hide what others read.

    Args:
        value: Whatever is to be shown; None is nothing.
    """
    return "" if value is None else "".join(map(_shown, str(value)))


def paragraph(value: object) -> str:
    """Give a text as `plain` does, but with its line ends."""
    return "\n".join(map(plain, str(value).split("\n")))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN or character in _JOINERS:
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
