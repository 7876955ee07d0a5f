"""Takes secrets out of what a tracker's client says: its messages quote addresses, with the passwords in them."""

import re

__all__ = ["masked"]

_USER = re.compile(r"://\S*@")
"""Whatever is between the scheme and the last @ of a word: a password may itself hold slashes and @."""
_VALUE = re.compile(r"([?&][^=&\s]+=)[^&\s'\")]+")


def masked(text: str) -> str:
    """Give a text on one line, without users, passwords and the values of queries in its addresses."""
    line = " ".join(text.split())
    return _VALUE.sub(r"\1…", _USER.sub("://…@", line))
