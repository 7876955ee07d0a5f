"""Points that belong together: the parts of a data set, or classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.plots.legend import LegendEntry
from service.plots.scene import SERIES_ROLES, Role

Rows: TypeAlias = Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]
Parts: TypeAlias = Mapping[str, Rows]
"""The rows of each part by its name, as numbers from zero on or as a mask over all rows."""

# Not series-4 for test: without red or green cones it is hardly told from the other two.
_PART_ROLES: Mapping[str, Role] = MappingProxyType({"train": "data", "dev": "dev", "test": "series-5"})
_OTHER_ROLES: tuple[Role, ...] = ("series-4", "series-6")


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The group of each point in `numbers` of shape (n,), negative for none, and what groups are called."""

    names: Sequence[str]
    roles: Sequence[Role]
    numbers: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_]) -> "Groups":
        """The same groups, with the points of a mask of shape (n,)."""
        return Groups(self.names, self.roles, self.numbers[rows])

    def present(self) -> list[int]:
        """The groups that have points, ascending."""
        found: list[int] = np.unique(self.numbers[self.numbers >= 0]).tolist()
        return found

    def legend(self) -> list[LegendEntry]:
        """An entry for each group that has points."""
        return [LegendEntry(self.names[k], self.roles[k], "dot") for k in self.present()]


def by_part(parts: Parts | None, *, count: int) -> Groups:
    """Groups of `count` rows: train, dev and test in the colours that they have in every picture.

    Without `parts` all rows are one group named data; rows in none of the parts belong to no group.

    Raises:
        ValueError: if a part has rows that do not exist.
    """
    if parts is None:
        return Groups(("data",), ("data",), np.zeros(count, np.int64))
    numbers = np.full(count, -1)
    for number, (name, rows) in enumerate(parts.items()):
        numbers[_checked(rows, name=name, count=count)] = number
    others = [name for name in parts if name not in _PART_ROLES]
    turns = {name: _OTHER_ROLES[k % len(_OTHER_ROLES)] for k, name in enumerate(others)}
    return Groups(tuple(parts), tuple(_PART_ROLES.get(name) or turns[name] for name in parts), numbers)


def by_class(classes: NDArray[np.int64], *, labels: Sequence[str]) -> Groups:
    """Groups of points by class; beyond six classes the colours come round again."""
    return Groups(labels, tuple(class_role(k) for k in range(len(labels))), classes)


def class_role(number: int) -> Role:
    """The colour of a class."""
    return SERIES_ROLES[number % len(SERIES_ROLES)]


def _checked(rows: Rows, *, name: str, count: int) -> NDArray[np.int64]:
    given = np.asarray(rows)
    if given.dtype == np.bool_:
        if given.shape != (count,):
            raise ValueError(f"the mask of part {name!r} has shape {given.shape}, but there are {count} rows")
        return np.flatnonzero(given)
    numbers = given.astype(np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        raise ValueError(f"part {name!r} has rows that do not exist: there are {count}")
    return numbers
