"""Losses for classes, labels and distributions."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.losses.base import ClassWeights, Loss, Output, PositiveWeights, Size

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HingeEmbeddingLoss",
    "KLDivLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SoftMarginLoss",
]

IgnoreIndex = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class _ClassLoss(Loss):
    """One class of several for each row: one number for each class comes from the network."""

    target = "classes"

    def outputs(self, *, targets: int, classes: int) -> int | None:  # noqa: ARG002 - the signature of every loss
        """Count one for each class."""
        return classes


class CrossEntropyLoss(_ClassLoss):
    """Negative log-likelihood of the right class; applies log-softmax to raw scores itself."""

    probabilistic = True

    type: Literal["CrossEntropyLoss"]
    weight: PositiveWeights | None = None
    """Weight of each class, in the ascending order of the classes. The loss is divided by the weights' sum."""
    ignore_index: IgnoreIndex = -100
    """Code of a class whose rows do not count. A batch must hold at least one row of another class."""
    label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of each target that is spread evenly over all classes."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Raw scores; log-probabilities too, for which the log-softmax changes nothing."""
        return ("raw", "log_probabilities")


class NLLLoss(_ClassLoss):
    """Negative log-likelihood of the right class, from log-probabilities as LogSoftmax gives them."""

    probabilistic = True

    type: Literal["NLLLoss"]
    weight: PositiveWeights | None = None
    """Weight of each class, in the ascending order of the classes. The loss is divided by the weights' sum."""
    ignore_index: IgnoreIndex = -100
    """Code of a class whose rows do not count. A batch must hold at least one row of another class."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Log-probabilities alone: nothing here makes them from raw scores."""
        return ("log_probabilities",)


class MultiMarginLoss(_ClassLoss):
    """Hinge loss over several classes: the right score shall lead each other one by `margin`."""

    type: Literal["MultiMarginLoss"]
    p: Literal[1, 2] = 1
    """Power to which each shortfall is raised."""
    margin: Size = 1.0
    """Lead that the right class shall have, in units of the score."""
    weight: ClassWeights | None = None
    """Weight of each class, in the ascending order of the classes."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Raw scores, or log-probabilities, which differ from one another by as much."""
        return ("raw", "log_probabilities")


class KLDivLoss(Loss):
    """Kullback-Leibler divergence of the predicted distribution from the target's, a sum over the classes.

    The service always uses torch's reduction `batchmean`, the mean over the rows of the divergence as it
    is defined; torch's own default, `mean`, would divide by the number of classes as well.
    """

    target = "distribution"
    reduction = "batchmean"

    type: Literal["KLDivLoss"]
    log_target: bool = False
    """The target columns hold logarithms of probabilities."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Log-probabilities alone."""
        return ("log_probabilities",)


class _BinaryLoss(Loss):
    """Yes or no for each target column."""

    target = "binary"

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Raw scores, on which the loss itself applies the sigmoid."""
        return ("raw",)


class BCELoss(_BinaryLoss):
    """Binary cross-entropy of probabilities as Sigmoid gives them."""

    probabilistic = True

    type: Literal["BCELoss"]
    weight: ClassWeights | None = None
    """Weight of each target column."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Probabilities alone."""
        return ("probability",)


class BCEWithLogitsLoss(_BinaryLoss):
    """Binary cross-entropy of raw scores: applies the sigmoid itself, without its rounding."""

    probabilistic = True

    type: Literal["BCEWithLogitsLoss"]
    weight: ClassWeights | None = None
    """Weight of each target column."""
    pos_weight: ClassWeights | None = None
    """Weight of the positive rows of each target column; negatives divided by positives balances the two."""


class MultiLabelSoftMarginLoss(_BinaryLoss):
    """Binary cross-entropy of raw scores, averaged over the labels."""

    probabilistic = True

    type: Literal["MultiLabelSoftMarginLoss"]
    weight: ClassWeights | None = None
    """Weight of each label."""


class SoftMarginLoss(Loss):
    """Logistic loss log(1 + exp(-y x)) of a raw score x and a target y of -1 or 1."""

    target = "signs"
    probabilistic = True

    type: Literal["SoftMarginLoss"]

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Raw scores, of either sign."""
        return ("raw",)


class HingeEmbeddingLoss(Loss):
    """Loss of a distance: small for similar pairs (target 1), at least `margin` for others (target -1)."""

    target = "signs"

    type: Literal["HingeEmbeddingLoss"]
    margin: Size = 1.0
    """Distance beyond which dissimilar pairs do not count; a prediction says similar below half of it."""

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Distances: with negative numbers the loss would have no lower bound."""
        return ("positive", "probability")


class MultiLabelMarginLoss(Loss):
    """Hinge loss over labels: each label of a row shall score higher by 1 than each that is not its."""

    target = "label_indices"

    type: Literal["MultiLabelMarginLoss"]

    @property
    def accepts(self) -> tuple[Output, ...]:
        """Raw scores."""
        return ("raw",)
