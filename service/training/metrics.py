"""How good predictions are, by the usual measures; each in a few sorts at most, so a million rows are no trouble.

The formulas are written out instead of taken from torchmetrics: version 1.9 takes one to six seconds to
import and is wrong where it matters here. Its Spearman adds ranks in 32 bits, which overflow at a million
rows with ties; its curves over raw scores apply a float32 sigmoid, in which high scores become equal; its r2
is 1 for all targets in a small unit, as it takes sums of squares below 1e-4 for 0.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from service.spec.metrics import Task
from service.training.objective import Predictions

__all__ = ["MetricValue", "metrics_of"]

MetricValue = float | list[Any] | None
"""A number, a confusion matrix or a list of these, or None where the metric is undefined."""

LARGEST_MATRIX = 1000
"""Of more classes than this there is no confusion matrix."""


def metrics_of(
    names: Sequence[str], *, task: Task, predictions: Predictions, truth: Tensor
) -> dict[str, MetricValue]:
    """Compute metrics over all rows, each of which counts once.

    Regression: over several targets the mean of the single values, but of `max_error` the largest.
    Multiclass: f1, precision and recall are means over the classes that occur in truth or predictions, 0 for
    one that was never predicted; balanced_accuracy is one over those that occur in the truth; auroc and
    average_precision are those of each class against the rest, where both occur. Multilabel: the mean over
    the labels for which the metric is defined.

    Args:
        names: Metrics of the task (`service.spec.metrics`).
        task: What is predicted.
        predictions: Of the objective, numbers in the units that the metrics shall have.
        truth: Of the objective: (N, T) numbers, (N,) codes of classes, or (N, T) of 0 and 1.

    Returns:
        A number by name; None where it is undefined or infinite, as r2 of a constant target and auroc of a
        single class are. A confusion matrix has the true classes down and the predicted across; there is a
        2 by 2 one for each label of several.
    """
    if len(truth) == 0:
        return dict.fromkeys(names)
    return _FAMILIES[task](names, predictions, truth)


def _number(value: float | Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _mean_of_defined(values: Tensor) -> float | None:
    defined = values[~values.isnan()]
    return _number(defined.mean()) if len(defined) else None


# Numbers. Each function gives one value for each target from errors and truth of shape (N, T), float64.


def _regression(names: Sequence[str], predictions: Predictions, truth: Tensor) -> dict[str, MetricValue]:
    predicted = predictions.values.double().reshape(len(truth), -1)
    actual = truth.double().reshape(len(truth), -1)
    values = {name: _OF_NUMBERS[name](predicted, actual) for name in names}
    return {
        name: _number(value.max()) if name == "max_error" else _mean_of_defined(value)
        for name, value in values.items()
    }


def _constant(values: Tensor) -> Tensor:
    # Compared exactly: the variance of a constant is often not 0 but a rounding error.
    return values.amax(0) == values.amin(0)


def _unexplained(residual: Tensor, actual: Tensor) -> Tensor:
    """Give 1 - sum(residual²) / sum((y - mean)²), undefined for a constant target."""
    spread = (actual - actual.mean(0)).square().sum(0)
    return torch.where(_constant(actual), math.nan, 1 - residual.square().sum(0) / spread)


def _explained_variance(predicted: Tensor, actual: Tensor) -> Tensor:
    residual = actual - predicted
    return _unexplained(residual - residual.mean(0), actual)


def _mape(predicted: Tensor, actual: Tensor) -> Tensor:
    share = ((actual - predicted) / actual).abs().mean(0)
    return torch.where((actual == 0).any(0), math.nan, share)


def _median_error(predicted: Tensor, actual: Tensor) -> Tensor:
    ordered = (actual - predicted).abs().sort(0).values
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def _pearson(predicted: Tensor, actual: Tensor) -> Tensor:
    x, y = predicted - predicted.mean(0), actual - actual.mean(0)
    # Divided first by their sizes: the squares of very small or large numbers would leave the number format.
    x, y = x / x.norm(dim=0), y / y.norm(dim=0)
    undefined = _constant(predicted) | _constant(actual)
    return torch.where(undefined, math.nan, (x * y).sum(0).clamp(-1, 1))


def _spearman(predicted: Tensor, actual: Tensor) -> Tensor:
    ranked = [torch.stack([_ranks(column) for column in table.unbind(1)], 1) for table in (predicted, actual)]
    correlation = _pearson(*ranked)
    missing = predicted.isnan().any(0) | actual.isnan().any(0)
    return torch.where(missing, math.nan, correlation)


def _ranks(values: Tensor) -> Tensor:
    """Rank values from 1 up, equal ones by the mean of their ranks; float64 of shape (N,)."""
    ordered, order = values.sort()
    _, counts = torch.unique_consecutive(ordered, return_counts=True)
    last = counts.cumsum(0)
    of_group = last - (counts - 1) / 2.0
    ranks = torch.empty(len(values), dtype=torch.float64, device=values.device)
    ranks[order] = of_group.double().repeat_interleave(counts)
    return ranks


_OF_NUMBERS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "r2": lambda predicted, actual: _unexplained(actual - predicted, actual),
    "mae": lambda predicted, actual: (actual - predicted).abs().mean(0),
    "rmse": lambda predicted, actual: (actual - predicted).square().mean(0).sqrt(),
    "mse": lambda predicted, actual: (actual - predicted).square().mean(0),
    "mape": _mape,
    "medae": _median_error,
    "explained_variance": _explained_variance,
    "pearson": _pearson,
    "spearman": _spearman,
    "max_error": lambda predicted, actual: (actual - predicted).abs().amax(0),
}


# Classes. What is counted once serves all metrics of the predicted classes.


@dataclass(frozen=True, slots=True)
class _Counts:
    """Rows by class, float64 of shape (C,): rightly predicted, predicted, and actual."""

    right: Tensor
    predicted: Tensor
    actual: Tensor

    @property
    def rows(self) -> Tensor:
        return self.actual.sum()


class _Answers:
    """The class of each row, predicted and true: codes of shape (N,)."""

    def __init__(self, predictions: Predictions, truth: Tensor, *, classes: int) -> None:
        self.codes = predictions.values
        self.scores = predictions.scores
        self.probabilities = predictions.probabilities
        self.truth = truth
        self.classes = classes

    @functools.cached_property
    def counts(self) -> _Counts:
        tables = (self.codes[self.codes == self.truth], self.codes, self.truth)
        return _Counts(*(torch.bincount(table, minlength=self.classes).double() for table in tables))

    def matrix(self) -> list[list[int]] | None:
        if self.classes > LARGEST_MATRIX:
            return None
        cells = torch.bincount(self.truth * self.classes + self.codes, minlength=self.classes**2)
        matrix: list[list[int]] = cells.reshape(self.classes, self.classes).tolist()
        return matrix


OfCounts = Callable[[_Counts], Tensor]
OfAnswers = Callable[[_Answers], MetricValue]


def _precision(counts: _Counts) -> Tensor:
    return counts.right / counts.predicted


def _recall(counts: _Counts) -> Tensor:
    return counts.right / counts.actual


def _f1(counts: _Counts) -> Tensor:
    return 2 * counts.right / (counts.predicted + counts.actual)


def _balanced_accuracy(counts: _Counts) -> Tensor:
    return _recall(counts)[counts.actual > 0].mean()


def _kappa(counts: _Counts) -> Tensor:
    by_chance = (counts.predicted / counts.rows * (counts.actual / counts.rows)).sum()
    return (counts.right.sum() / counts.rows - by_chance) / (1 - by_chance)


def _mcc(counts: _Counts) -> Tensor:
    """Matthews' coefficient of several classes (Gorodkin 2004), from shares so that nothing overflows."""
    predicted, actual = counts.predicted / counts.rows, counts.actual / counts.rows
    covariance = counts.right.sum() / counts.rows - (predicted * actual).sum()
    spreads = (1 - predicted.square().sum()) * (1 - actual.square().sum())
    return covariance / spreads.sqrt()


_OF_ALL_CLASSES: Mapping[str, OfCounts] = {
    "accuracy": lambda counts: counts.right.sum() / counts.rows,
    "balanced_accuracy": _balanced_accuracy,
    "cohen_kappa": _kappa,
    "mcc": _mcc,
}
_OF_EACH_CLASS: Mapping[str, OfCounts] = {"f1": _f1, "precision": _precision, "recall": _recall}


def _overall(metric: OfCounts) -> OfAnswers:
    return lambda answers: _number(metric(answers.counts))


def _of_yes(metric: OfCounts) -> OfAnswers:
    return lambda answers: _number(metric(answers.counts)[1])


def _over_occurring(metric: OfCounts) -> OfAnswers:
    def mean(answers: _Answers) -> MetricValue:
        occurs = answers.counts.predicted + answers.counts.actual > 0
        return _number(metric(answers.counts)[occurs].nan_to_num(0.0).mean())

    return mean


# Scores and probabilities. Each function takes those of one class, and whether each row is of it.


def _auroc(scores: Tensor, positive: Tensor) -> float:
    """Give the area under the ROC curve, which is Mann and Whitney's U as a share of the pairs."""
    found = int(positive.sum())
    pairs = found * (len(positive) - found)
    if pairs == 0 or bool(scores.isnan().any()):
        return math.nan
    return (float(_ranks(scores)[positive].sum()) - found * (found + 1) / 2) / pairs


def _average_precision(scores: Tensor, positive: Tensor) -> float:
    """Give the sum over the thresholds of the precision times the gain in recall."""
    found = int(positive.sum())
    if found == 0 or bool(scores.isnan().any()):
        return math.nan
    ordered, order = scores.sort(descending=True)
    _, counts = torch.unique_consecutive(ordered, return_counts=True)
    rows = counts.cumsum(0)
    hits = positive[order].cumsum(0)[rows - 1].double()
    gains = hits.diff(prepend=hits.new_zeros(1))
    return float((gains * hits / rows).sum()) / found


def _log_loss(probabilities: Tensor, positive: Tensor) -> float:
    given = torch.where(positive, probabilities, 1 - probabilities)
    return _surprise(given)


def _surprise(given: Tensor) -> float:
    """Give the mean of -log of the probabilities that the truth was given; 0 counts as the smallest step from 1."""
    return float(-given.clamp_min(torch.finfo(given.dtype).eps).double().log().mean())


def _brier(probabilities: Tensor, positive: Tensor) -> float:
    return float((probabilities.double() - positive.double()).square().mean())


OfScores = Callable[[Tensor, Tensor], float]

_OF_SCORES: Mapping[str, OfScores] = {"auroc": _auroc, "average_precision": _average_precision}
_OF_PROBABILITIES: Mapping[str, OfScores] = {"log_loss": _log_loss, "brier": _brier}


def _from_scores(metric: OfScores) -> OfAnswers:
    return lambda one: None if one.scores is None else _number(metric(one.scores, one.truth > 0))


def _from_probabilities(metric: OfScores) -> OfAnswers:
    return lambda one: (
        None if one.probabilities is None else _number(metric(one.probabilities, one.truth > 0))
    )


def _each_against_the_rest(metric: OfScores) -> OfAnswers:
    def mean(answers: _Answers) -> MetricValue:
        if answers.scores is None:
            return None
        occurring = answers.counts.actual.nonzero().flatten().tolist()
        values = [metric(answers.scores[:, code], answers.truth == code) for code in occurring]
        return _mean_of_defined(torch.tensor(values, dtype=torch.float64))

    return mean


def _log_loss_of_classes(answers: _Answers) -> MetricValue:
    if answers.probabilities is None:
        return None
    return _number(_surprise(answers.probabilities.gather(1, answers.truth.unsqueeze(1))))


def _brier_of_classes(answers: _Answers) -> MetricValue:
    """Sum (p - y)² over the classes without the table y: a row's sum is sum(p²) - 2 p of the truth + 1."""
    if answers.probabilities is None:
        return None
    of_truth = answers.probabilities.gather(1, answers.truth.unsqueeze(1)).flatten()
    squares = torch.einsum("nc,nc->n", answers.probabilities, answers.probabilities)
    return _number((squares.double() - 2 * of_truth.double() + 1).mean())


_YES_OR_NO: Mapping[str, OfAnswers] = {
    **{name: _overall(metric) for name, metric in _OF_ALL_CLASSES.items()},
    **{name: _of_yes(metric) for name, metric in _OF_EACH_CLASS.items()},
    **{name: _from_scores(metric) for name, metric in _OF_SCORES.items()},
    **{name: _from_probabilities(metric) for name, metric in _OF_PROBABILITIES.items()},
    "confusion_matrix": _Answers.matrix,
}
_SEVERAL: Mapping[str, OfAnswers] = {
    **{name: _overall(metric) for name, metric in _OF_ALL_CLASSES.items()},
    **{name: _over_occurring(metric) for name, metric in _OF_EACH_CLASS.items()},
    **{name: _each_against_the_rest(metric) for name, metric in _OF_SCORES.items()},
    "log_loss": _log_loss_of_classes,
    "brier": _brier_of_classes,
    "confusion_matrix": _Answers.matrix,
}


# Tasks.


def _multiclass(names: Sequence[str], predictions: Predictions, truth: Tensor) -> dict[str, MetricValue]:
    assert predictions.scores is not None, "a loss of classes scores each"  # noqa: S101 - an invariant
    answers = _Answers(predictions, truth, classes=predictions.scores.shape[1])
    return {name: _SEVERAL[name](answers) for name in names}


def _binary(names: Sequence[str], predictions: Predictions, truth: Tensor) -> dict[str, MetricValue]:
    (label,) = _labels(predictions, truth)
    return {name: _YES_OR_NO[name](label) for name in names}


def _multilabel(names: Sequence[str], predictions: Predictions, truth: Tensor) -> dict[str, MetricValue]:
    labels = _labels(predictions, truth)
    return {name: _over_labels([_YES_OR_NO[name](label) for label in labels]) for name in names}


def _labels(predictions: Predictions, truth: Tensor) -> list[_Answers]:
    """Take the answers apart by their columns, of shape (N, T)."""
    scores, probabilities = (
        None if table is None else table.unbind(1)
        for table in (predictions.scores, predictions.probabilities)
    )
    return [
        _Answers(
            Predictions(
                column,
                scores=None if scores is None else scores[index],
                probabilities=None if probabilities is None else probabilities[index],
            ),
            truth[:, index],
            classes=2,
        )
        for index, column in enumerate(predictions.values.unbind(1))
    ]


def _over_labels(values: Sequence[MetricValue]) -> MetricValue:
    """Give the mean of the numbers, or all matrices."""
    matrices = [value for value in values if isinstance(value, list)]
    numbers = [value for value in values if isinstance(value, float)]
    if matrices:
        return matrices
    return sum(numbers) / len(numbers) if numbers else None


_FAMILIES: Mapping[Task, Callable[[Sequence[str], Predictions, Tensor], dict[str, MetricValue]]] = {
    "regression": _regression,
    "binary": _binary,
    "multiclass": _multiclass,
    "multilabel": _multilabel,
}
