"""The metrics by which a fit is judged, and which of them go with a loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.exceptions import Problem
from service.spec.columns import did_you_mean
from service.spec.losses import LossSpec, Target

__all__ = ["METRICS", "Metric", "MetricSpec", "Task", "default_metrics", "metric_problems", "task_of"]

Task = Literal["regression", "binary", "multiclass", "multilabel"]
"""What is predicted: numbers, one of two classes, one of several, or yes and no for several labels."""
MetricSpec = Literal[
    "r2",
    "mae",
    "rmse",
    "mse",
    "mape",
    "medae",
    "explained_variance",
    "pearson",
    "spearman",
    "max_error",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "auroc",
    "average_precision",
    "log_loss",
    "brier",
    "cohen_kappa",
    "mcc",
    "confusion_matrix",
]
"""A metric, by its name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is known of a metric.

    Attributes:
        summary: What it is, in a sentence for people.
        regression: Whether it is one of numbers; otherwise it is one of classes and labels.
        better: Whether `higher` or `lower` values are better; None for what is no single number.
        needs_probabilities: Whether it cannot be computed from the predicted classes or scores alone.
    """

    summary: str
    regression: bool = False
    better: Literal["higher", "lower"] | None = "higher"
    needs_probabilities: bool = False

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that it is for."""
        return ("regression",) if self.regression else ("binary", "multiclass", "multilabel")


def _of_numbers(summary: str, better: Literal["higher", "lower"]) -> Metric:
    return Metric(summary, regression=True, better=better)


METRICS: Mapping[str, Metric] = {
    "r2": _of_numbers(
        "Share of the target's variance that is explained: 1 is perfect, 0 as good as the mean.", "higher"
    ),
    "mae": _of_numbers("Mean absolute error, in units of the target.", "lower"),
    "rmse": _of_numbers("Root of the mean squared error, in units of the target.", "lower"),
    "mse": _of_numbers("Mean squared error, in squared units of the target.", "lower"),
    "mape": _of_numbers("Mean of the absolute error divided by the target; 0.1 is ten per cent.", "lower"),
    "medae": _of_numbers("Median absolute error: half of the errors are smaller.", "lower"),
    "explained_variance": _of_numbers("As r2, but a constant error does not count.", "higher"),
    "pearson": _of_numbers("Linear correlation of prediction and target, from -1 to 1.", "higher"),
    "spearman": _of_numbers("Correlation of the ranks of prediction and target, from -1 to 1.", "higher"),
    "max_error": _of_numbers("Largest absolute error, in units of the target.", "lower"),
    "accuracy": Metric("Share of right predictions; over all labels where there are several."),
    "balanced_accuracy": Metric("Mean over the classes that occur of the share of their rows that is found."),
    "f1": Metric(
        "Harmonic mean of precision and recall: of the positive class, or the mean over classes or labels."
    ),
    "precision": Metric(
        "Share of the predictions of a class that are right; the mean over classes or labels."
    ),
    "recall": Metric("Share of the rows of a class that are found; the mean over classes or labels."),
    "auroc": Metric(
        "Chance that a positive row scores higher than a negative; the mean over classes or labels."
    ),
    "average_precision": Metric("Mean precision over all thresholds; the mean over classes or labels."),
    "log_loss": Metric(
        "Mean of -log of the probability given to the truth.", better="lower", needs_probabilities=True
    ),
    "brier": Metric(
        "Mean squared error of the probabilities, summed over the classes where there are several.",
        better="lower",
        needs_probabilities=True,
    ),
    "cohen_kappa": Metric("Agreement beyond chance: 1 is perfect, 0 is what chance would give."),
    "mcc": Metric("Matthews correlation of prediction and truth, from -1 to 1; fair to rare classes."),
    "confusion_matrix": Metric("Rows by true class (down) and predicted class (across).", better=None),
}
"""Means over classes or labels leave out those for which the metric is undefined."""

_TASKS: Mapping[Target, Callable[[int], Task | None]] = {
    "values": lambda _: "regression",
    "distribution": lambda _: "regression",
    "classes": lambda _: "multiclass",
    "binary": lambda targets: "binary" if targets == 1 else "multilabel",
    "signs": lambda targets: "binary" if targets == 1 else "multilabel",
    "label_indices": lambda _: "multilabel",
    "sequence": lambda _: None,
    "none": lambda _: None,
}
_DEFAULTS: Mapping[Task, tuple[MetricSpec, ...]] = {
    "regression": ("r2", "mae", "rmse"),
    "binary": ("accuracy", "f1", "auroc"),
    "multiclass": ("accuracy", "f1"),
    "multilabel": ("accuracy", "f1", "auroc"),
}


def task_of(loss: LossSpec, *, targets: int = 1) -> Task | None:
    """Tell what a loss predicts.

    Args:
        loss: The loss.
        targets: Number of target columns.

    Returns:
        The task, or None for embeddings, rankings and sequences, for which no metric is known.
    """
    return None if loss.roles else _TASKS[loss.target](targets)


def default_metrics(loss: LossSpec, *, targets: int = 1) -> tuple[MetricSpec, ...]:
    """Give the usual metrics for a loss; none for embeddings, rankings and sequences."""
    task = task_of(loss, targets=targets)
    return _DEFAULTS[task] if task else ()


def metric_problems(names: Sequence[str], loss: LossSpec, *, targets: int = 1) -> list[Problem]:
    """Tell which metrics are not known or do not go with the loss; pointers are relative to `evaluation`."""
    task = task_of(loss, targets=targets)
    problems = (_problem(name, loss, task) for name in names)
    return [
        Problem(f"/metrics/{index}", *problem)
        for index, problem in enumerate(problems)
        if problem is not None
    ]


def _problem(name: str, loss: LossSpec, task: Task | None) -> tuple[str, str, str] | None:
    if name not in METRICS:
        fitting = [other for other, about in METRICS.items() if task is None or task in about.tasks]
        hint = (
            did_you_mean(name[:80], fitting)
            or f"For {loss.type} there are {', '.join(f'`{one}`' for one in fitting)}."
        )
        return "unknown_name", f"There is no metric `{name:.80}`.", hint
    if task is None:
        message = f"There are no metrics for {loss.type}."
        return "wrong_metric", message, "Leave metrics out: the loss itself tells how good the fit is."
    metric = METRICS[name]
    if task not in metric.tasks:
        known = [other for other, about in METRICS.items() if task in about.tasks]
        hint = f"For {loss.type} there are {', '.join(f'`{one}`' for one in known)}."
        return "wrong_metric", f"`{name}` is not for {task}, which {loss.type} is for.", hint
    if metric.needs_probabilities and not loss.probabilistic:
        message = f"`{name}` needs probabilities, and {loss.type} gives none."
        return "wrong_metric", message, f"Take {_PROBABILISTIC[task]}, or the metric `accuracy`."
    return None


_PROBABILISTIC: Mapping[Task, str] = {
    "binary": "BCEWithLogitsLoss",
    "multiclass": "CrossEntropyLoss",
    "multilabel": "BCEWithLogitsLoss",
}
