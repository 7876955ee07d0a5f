"""Names that are not known, and the ones that may have been meant."""

import difflib
from collections.abc import Iterable

from service.exceptions import Problem

__all__ = ["did_you_mean", "unknown_column"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give a hint with the nearest known names; all of them when none is near and they are few."""
    names = [str(one) for one in known]
    lowered = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{lowered[near[0]]}`?"
    return f"Known are {', '.join(f'`{one}`' for one in names)}." if 0 < len(names) <= 20 else ""  # noqa: PLR2004 - a line


def unknown_column(pointer: str, name: str, known: Iterable[str]) -> Problem:
    """Say that a name is no column, and which one may have been meant."""
    return Problem(pointer, "unknown_column", f"There is no column `{name}`.", did_you_mean(name, known))
