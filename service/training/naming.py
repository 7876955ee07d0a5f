"""What inputs, outputs and classes are called, wherever they are told. It needs no torch."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.spec.losses import LossSpec
    from service.training.preparation import TargetCode

__all__ = ["class_of", "label_of", "output_names", "unique", "value_names"]

LARGEST_EXACT = 2**53
"""Up to here float64 holds every whole number, and every JSON reader takes them."""


def class_of(value: str | float) -> str | float:
    """Give a class as people write it: a whole number as an int, anything else as it is."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_EXACT
    return int(value) if is_whole else value


def label_of(value: str | float) -> str:
    """Write a class as text: exact, so that two classes never share a label, and whole numbers without a point."""
    # Adding 0 turns -0.0 into 0.0, which is the same class.
    return value if isinstance(value, str) else repr(float(value) + 0.0).removesuffix(".0")


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Tell equal names apart: the first keeps its name, those after it get ` (2)`, ` (3)`, …"""
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        found[next(one for one in itertools.chain([name], numbered) if one not in found)] = None
    return tuple(found)


def value_names(target: "TargetCode", *, loss: "LossSpec | None", count: int) -> tuple[str, ...]:
    """Name the predicted numbers of a row: the target columns, and the elements of those that hold arrays.

    Args:
        target: How the target is encoded.
        loss: Of the spec; None for one that compares no inputs.
        count: How many there are.

    Returns:
        As many names: `y`; `p[0]`, `p[1]` or `p[0][1]` of arrays; `output`, or `output[0]`, … of losses that
        compare inputs, whose network gives something else than the target.
    """
    names = [] if loss is not None and loss.roles else _elements(target)
    if len(names) == count:
        return unique(names)
    return ("output",) if count == 1 else tuple(f"output[{place}]" for place in range(count))


def output_names(target: "TargetCode", *, loss: "LossSpec | None", count: int) -> tuple[str, ...]:
    """Name the numbers that a network gives for a row: classes, targets, or targets and their log-variances.

    Args:
        target: How the target is encoded.
        loss: Of the spec; None for one that gives one number for each target or class.
        count: How many there are.
    """
    if target.kind == "classes" and len(target.classes) == count:
        return unique(map(label_of, target.classes))
    widened = _WIDENED.get("" if loss is None else loss.type)
    if widened is None:
        return value_names(target, loss=loss, count=count)
    return unique(widened(value_names(target, loss=loss, count=count // 2)))


def _elements(target: "TargetCode") -> list[str]:
    shapes = target.shapes or ((),) * len(target.names)
    return [
        name + "".join(f"[{index}]" for index in place)
        for name, shape in zip(target.names, shapes, strict=True)
        for place in itertools.product(*map(range, shape))
    ]


_WIDENED: Mapping[str, Callable[[Sequence[str]], Iterable[str]]] = {
    "GaussianNLLLoss": lambda means: [*means, *(f"log_variance({name})" for name in means)],
}
"""Losses whose network gives more than one number for each target."""
