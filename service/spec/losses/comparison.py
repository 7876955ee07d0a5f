"""Losses that compare what one network gives for several inputs of a row, and the loss of aligned sequences."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.base import NonNegative, Positive
from service.spec.losses.base import Loss, Output, Size

__all__ = ["CTCLoss", "CosineEmbeddingLoss", "MarginRankingLoss", "TripletMarginLoss"]


class MarginRankingLoss(Loss):
    """Which of two inputs ranks higher: the first for target 1, the second for -1; one score comes for each."""

    target = "signs"
    roles = ("first", "second")

    type: Literal["MarginRankingLoss"]
    margin: Size = 0.0
    """Lead that the higher score shall have."""

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Count one score."""
        return 1


class CosineEmbeddingLoss(Loss):
    """Angle between the embeddings of two inputs: small for target 1, wide for -1."""

    target = "signs"
    roles = ("first", "second")

    type: Literal["CosineEmbeddingLoss"]
    margin: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Cosine below which dissimilar pairs do not count."""

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Leave the width of the embedding to the network."""
        return None


class TripletMarginLoss(Loss):
    """Embeddings in which the anchor is nearer to the positive than to the negative, by `margin`; no target."""

    target = "none"
    roles = ("anchor", "positive", "negative")

    type: Literal["TripletMarginLoss"]
    margin: Annotated[float, Field(gt=0, le=1e30)] = 1.0
    """How much nearer the positive shall be."""
    p: Positive = 2.0
    """The norm of the distance: 2 is Euclid's, 1 the sum of the absolute differences."""
    eps: NonNegative = 1e-6
    """Added to the differences, for a gradient where they are zero."""
    swap: bool = False
    """Use the negative's distance to the positive where that is smaller than to the anchor."""

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Leave the width of the embedding to the network."""
        return None


class CTCLoss(Loss):
    """Connectionist temporal classification: a sequence of codes from a longer input, without an alignment.

    The network gives log-probabilities of shape (steps, codes) for a row. The targets are whole numbers, the
    codes of each row, padded with anything; two more columns tell the lengths of input and target. A row's
    loss is divided by the length of its target, as torch's mean does.
    """

    target = "sequence"

    type: Literal["CTCLoss"]
    blank: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Code that stands for nothing; a target may not hold it."""
    zero_infinity: bool = False
    """Take the loss of a row whose input is too short for its target as 0 instead of infinity."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Log-probabilities alone."""
        return ("log_probabilities",)

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Leave the steps and the number of codes, which the blank is one of, to the network."""
        return None
