"""What a pairing is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.exceptions import Problem
from service.spec.losses import LossSpec
from service.spec.schema import Column

__all__ = ["Case", "Fitted", "wrong"]


class Fitted(Protocol):
    """A model, as far as its pairing with a loss goes."""

    @property
    def type(self) -> str:
        """Name of the kind of model."""
        ...

    @property
    def last_activation(self) -> str | None:
        """Torch's name of the activation at its end; None where it gives raw numbers."""
        ...


@dataclass(frozen=True)
class Case:
    """A loss, a model and the target columns.

    Attributes:
        loss: The loss.
        model: The model.
        targets: The target columns, in their order.
        rows: Rows of the table, where they are known.
        inputs: The roles of the network's inputs, `features` being the usual single one; None where unknown.
        target_scaling: How the targets are scaled, None where that is not known.
    """

    loss: LossSpec
    model: Fitted
    targets: Sequence[Column]
    rows: int | None = None
    inputs: Sequence[str] | None = None
    target_scaling: str | None = None


def wrong(pointer: str, message: str, hint: str) -> Problem:
    """Give the problem of parts that do not belong together."""
    return Problem(pointer, "wrong_pairing", message, hint)
