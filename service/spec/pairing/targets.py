"""Whether the target columns can be what the loss takes as its target."""

import math
from collections.abc import Callable, Mapping

from service.exceptions import Problem
from service.spec.losses import Target
from service.spec.pairing.case import Case, wrong
from service.spec.pairing.natures import (
    CHOOSE_ANOTHER,
    classes_of,
    is_yes_or_no,
    listed,
    nature_of,
    not_classes,
    right_loss,
)
from service.spec.schema import Column

__all__ = ["number_of_targets", "target_problems"]

SUM_TOLERANCE = 1e-3
"""How far the sum of a distribution may be from 1: rounded percentages are."""


def number_of_targets(case: Case) -> int:
    """Count the numbers in a row of the target: one for each column, or the elements of an array."""
    return sum(math.prod(column.shape) for column in case.targets)


def target_problems(case: Case) -> list[Problem]:
    """Tell why the columns cannot be the target of the loss."""
    if not case.targets and case.loss.target != "none":
        message = f"{case.loss.type} needs a target."
        return [Problem("/data/target", "missing", message, 'Name the column to predict: "target": "…".')]
    return _RULES[case.loss.target](case)


_OWN_HINTS: Mapping[str, str] = {
    "MarginRankingLoss": "Let one target column hold 1 where the first input ranks higher, and -1 where the second.",
    "CosineEmbeddingLoss": "Let one target column hold 1 where the two inputs are alike, and -1 where they are not.",
    "HingeEmbeddingLoss": "Let the target hold 1 for pairs that are alike and -1 for others; or: ",
}


def _refused(case: Case, message: str) -> list[Problem]:
    """Refuse the loss for these columns, and name the right one for them."""
    nature = nature_of(case.targets, rows=case.rows)
    own = _OWN_HINTS.get(case.loss.type, "")
    # With two inputs there is no other loss that would take the column as it is.
    hint = own if case.loss.roles else own + right_loss(nature, model=case.model.type)
    pointer = "/data/target" if case.loss.roles or nature in CHOOSE_ANOTHER else "/loss/type"
    return [wrong(pointer, message, hint)]


def _described(column: Column) -> str:
    values = classes_of(column)
    if column.kind == "category" or (values and column.kind == "number"):
        return f"`{column.name}` holds {len(values):,} distinct values ({listed(values)})"
    kinds = {"text": "is free text", "array": "holds an array in each row"}
    return f"`{column.name}` {kinds.get(column.kind, 'holds numbers of many values')}"


def _values(case: Case) -> list[Problem]:
    others = [column for column in case.targets if column.kind not in {"number", "array"}]
    if others:
        return _refused(case, f"{_described(others[0])}, and {case.loss.type} needs numbers.")
    if case.loss.type != "PoissonNLLLoss":
        return []
    negative = [c for c in case.targets if c.minimum is not None and c.minimum < 0]
    if negative:
        message = (
            f"`{negative[0].name}` goes down to {negative[0].minimum:g}, and PoissonNLLLoss is for counts."
        )
        return [wrong("/loss/type", message, "Take MSELoss, which takes numbers of either sign.")]
    if case.target_scaling not in {None, "none"}:
        message = "PoissonNLLLoss is for counts, and scaled targets are no counts."
        return [wrong("/preprocessing/target_scaling", message, 'Set it to "none".')]
    return []


def _classes(case: Case) -> list[Problem]:
    if len(case.targets) > 1:
        message = f"{case.loss.type} takes one column of classes, and there are {len(case.targets)} targets."
        return _refused(case, message)
    why = not_classes(case.targets[0], rows=case.rows)
    return _refused(case, f"{why}, and {case.loss.type} needs classes.") if why else []


def _yes_or_no(case: Case) -> list[Problem]:
    """Check targets of two values: any two in a single column, the numbers 0 and 1 where there are several."""
    loss, targets = case.loss, case.targets
    if len(targets) > 1 and loss.roles:
        return _refused(case, f"{loss.type} takes one target column, and there are {len(targets)}.")
    if nature_of(targets) == "two_classes":
        return []
    if len(targets) == 1:
        single = len(classes_of(targets[0])) == 1
        why = (single and not_classes(targets[0])) or _described(targets[0])
        return _refused(case, f"{why}, and {loss.type} needs two classes.")
    bad = next((column for column in targets if not is_yes_or_no(column)), None)
    if bad is None:
        return []
    return _refused(case, f"{_described(bad)}, and {loss.type} needs 0 or 1 in each of several columns.")


def _label_indices(case: Case) -> list[Problem]:
    if len(case.targets) == 1:
        message = (
            f"{case.loss.type} takes two or more columns of 0 and 1, one for each label, and there is one."
        )
        return _refused(case, message)
    return _yes_or_no(case)


def _distribution(case: Case) -> list[Problem]:
    bad = next((c for c in case.targets if c.kind not in {"number", "array"}), None)
    if bad is not None or number_of_targets(case) == 1:
        what = _described(bad or case.targets[0])
        return _refused(case, f"{what}, and {case.loss.type} needs the probabilities of two or more classes.")
    why = (
        _not_log_probabilities(case) if getattr(case.loss, "log_target", False) else _not_probabilities(case)
    )
    return [wrong("/data/target", f"{why}.", _DISTRIBUTION_HINT)] if why else []


_DISTRIBUTION_HINT = (
    "Divide each row's target columns by their sum, or set log_target to what they are; "
    "MSELoss takes numbers as they are, and CrossEntropyLoss one column of classes."
)


def _not_probabilities(case: Case) -> str | None:
    for column in case.targets:
        low, high = column.minimum, column.maximum
        if low is not None and high is not None and (low < 0 or high > 1 + SUM_TOLERANCE):
            return f"`{column.name}` goes from {low:g} to {high:g}, and probabilities from 0 to 1"
    if any(column.mean is None for column in case.targets):
        return None
    # Where each row sums to 1, so do the means of the columns.
    total = sum((column.mean or 0.0) * math.prod(column.shape) for column in case.targets)
    if abs(total - 1) > SUM_TOLERANCE:
        return f"The target columns sum to {total:.4g} in the mean of the rows, and probabilities sum to 1"
    return None


def _not_log_probabilities(case: Case) -> str | None:
    high = next((c for c in case.targets if c.maximum is not None and c.maximum > SUM_TOLERANCE), None)
    if high is None:
        return None
    return f"`{high.name}` goes up to {high.maximum:g}, and logarithms of probabilities to 0"


def _sequence(case: Case) -> list[Problem]:
    bad = next((c for c in case.targets if c.kind not in {"number", "array"}), None)
    if bad is None:
        return []
    message = f"{_described(bad)}, and CTCLoss needs whole numbers: the codes of each row's sequence."
    return _refused(case, message)


def _none(case: Case) -> list[Problem]:
    if not case.targets:
        return []
    message = f"{case.loss.type} compares its inputs with each other and takes no target."
    return [wrong("/data/target", message, "Leave `target` out.")]


_RULES: Mapping[Target, Callable[[Case], list[Problem]]] = {
    "values": _values,
    "classes": _classes,
    "binary": _yes_or_no,
    "signs": _yes_or_no,
    "label_indices": _label_indices,
    "distribution": _distribution,
    "sequence": _sequence,
    "none": _none,
}
