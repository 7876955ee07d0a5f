"""What makes a table of numbers fit for training."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from service.exceptions import Problem
from service.spec.pointers import pointer_to

__all__ = ["column_problems", "did_you_mean", "unknown_column"]


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


def column_problems(
    table: Mapping[str, Sequence[float]], *, target: str, features: Sequence[str] | None, pointer: str
) -> list[Problem]:
    """Tell what keeps a table from being trained on.

    Args:
        table: Numbers by column name.
        target: Name of the column to predict.
        features: Names of the columns to predict from, or None for all others.
        pointer: JSON Pointer of the table, relative to `data`.
    """
    found = _name_problems(table, target=target, features=features)
    return found or _length_problems(table, pointer) or _constant_problems(table, target, features, pointer)


def _name_problems(
    table: Mapping[str, Sequence[float]], *, target: str, features: Sequence[str] | None
) -> list[Problem]:
    if not table:
        return [
            Problem("", "empty_data", "The data has no columns.", "Send at least one feature and the target.")
        ]
    found = [] if target in table else [unknown_column("/target", target, table)]
    for index, name in enumerate(features or ()):
        where = f"/features/{index}"
        if name not in table:
            found.append(unknown_column(where, name, table))
        elif name == target:
            found.append(
                Problem(where, "target_leak", f"`{name}` is the target.", "A target cannot predict itself.")
            )
        elif name in (features or ())[:index]:
            found.append(Problem(where, "duplicate_column", f"`{name}` is listed twice.", "Remove one."))
    if not found and features is None and len(table) == 1:
        found.append(
            Problem("", "missing", "There is no feature beside the target.", "Add a feature column.")
        )
    return found


def _length_problems(table: Mapping[str, Sequence[float]], pointer: str) -> list[Problem]:
    lengths = {name: len(values) for name, values in table.items()}
    rows = next(iter(lengths.values()))
    ragged = [name for name, length in lengths.items() if length != rows]
    if ragged:
        listed = ", ".join(f"`{name}` has {length}" for name, length in list(lengths.items())[:5])
        return [
            Problem(
                pointer, "ragged_columns", f"The columns differ in length: {listed}.", "Give all one length."
            )
        ]
    if rows < 2:  # noqa: PLR2004 - a line needs two points
        code = "empty_data" if rows == 0 else "too_few_rows"
        return [
            Problem(
                pointer,
                code,
                f"The data has {rows} row{'s' if rows != 1 else ''}; a fit needs at least 2.",
                "Send more rows.",
            )
        ]
    return []


def _constant_problems(
    table: Mapping[str, Sequence[float]], target: str, features: Sequence[str] | None, pointer: str
) -> list[Problem]:
    used = [target, *(features or [name for name in table if name != target])]
    return [
        Problem(
            pointer + pointer_to(name) if pointer == "/columns" else pointer,
            "constant_column",
            f"`{name}` is {table[name][0]:g} in every row: there is nothing to learn from it.",
            "Leave the column out by listing `features`."
            if name != target
            else "Choose a target that varies.",
        )
        for name in used
        if min(table[name]) == max(table[name])
    ]
