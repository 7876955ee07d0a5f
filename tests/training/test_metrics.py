"""Each metric equals scikit-learn's; what is undefined is None; a million rows are no trouble."""

import functools
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from service.spec.metrics import METRICS, Task
from service.training.metrics import metrics_of
from service.training.objective import Predictions

Reference = Callable[..., Any]
Array = np.ndarray[Any, Any]

SEEDS = st.integers(0, 2**31 - 1)
OF_NUMBERS: dict[str, Reference] = {
    "r2": sklearn.metrics.r2_score,
    "mae": sklearn.metrics.mean_absolute_error,
    "rmse": sklearn.metrics.root_mean_squared_error,
    "mse": sklearn.metrics.mean_squared_error,
    "mape": sklearn.metrics.mean_absolute_percentage_error,
    "medae": sklearn.metrics.median_absolute_error,
    "explained_variance": sklearn.metrics.explained_variance_score,
    "pearson": lambda y, p: np.mean([scipy.stats.pearsonr(y[:, i], p[:, i])[0] for i in range(y.shape[1])]),
    "spearman": lambda y, p: np.mean([scipy.stats.spearmanr(y[:, i], p[:, i])[0] for i in range(y.shape[1])]),
    "max_error": lambda y, p: np.abs(y - p).max(),
}


def assert_near(found: object, expected: object) -> None:
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-9, atol=1e-12)


def numbers_of(names: list[str], predicted: Tensor, truth: Tensor) -> dict[str, Any]:
    return metrics_of(names, task="regression", predictions=Predictions(predicted), truth=truth)


def test_every_metric_is_computed_for_its_tasks() -> None:
    predictions = {
        "regression": (Predictions(torch.tensor([[1.0], [3.0], [4.0]])), torch.tensor([[1.0], [2.0], [5.0]])),
        "binary": (yes_or_no(torch.tensor([[0.9], [0.4], [0.3]])), torch.tensor([[1], [1], [0]])),
        "multiclass": (most_likely(torch.eye(3) * 0.7 + 0.1), torch.tensor([0, 1, 1])),
        "multilabel": (
            yes_or_no(torch.tensor([[0.9, 0.1], [0.4, 0.8], [0.6, 0.6]])),
            torch.tensor([[1, 0], [1, 1], [0, 0]]),
        ),
    }
    for name, about in METRICS.items():
        for task in about.tasks:
            single, truth = predictions[task]
            value = metrics_of([name], task=task, predictions=single, truth=truth)[name]
            assert value is not None, (name, task)


@pytest.mark.parametrize("name", OF_NUMBERS)
@settings(max_examples=12, deadline=None)
@given(
    seed=SEEDS, rows=st.integers(2, 60), targets=st.integers(1, 3), scale=st.sampled_from([1e-6, 1.0, 1e6])
)
def test_metrics_of_numbers_are_scikit_learns(
    name: str, seed: int, rows: int, targets: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = scale * (torch.randn(rows, targets, generator=generator, dtype=torch.float64) + 0.5)
    predicted = truth + 0.3 * scale * torch.randn(rows, targets, generator=generator, dtype=torch.float64)
    found = numbers_of([name], predicted, truth)[name]
    assert found == pytest.approx(float(OF_NUMBERS[name](truth.numpy(), predicted.numpy())), rel=1e-9)


def yes_or_no(probabilities: Tensor) -> Predictions:
    return Predictions((probabilities >= 0.5).long(), probabilities=probabilities, scores=probabilities)


def most_likely(probabilities: Tensor) -> Predictions:
    return Predictions(probabilities.argmax(1), probabilities=probabilities, scores=probabilities)


def with_nan(metric: Reference) -> Reference:
    return functools.partial(metric, zero_division=np.nan)


YES_BY_CODES: dict[str, Reference] = {
    "accuracy": sklearn.metrics.accuracy_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "f1": with_nan(sklearn.metrics.f1_score),
    "precision": with_nan(sklearn.metrics.precision_score),
    "recall": with_nan(sklearn.metrics.recall_score),
    "cohen_kappa": sklearn.metrics.cohen_kappa_score,
    "mcc": sklearn.metrics.matthews_corrcoef,
    "confusion_matrix": functools.partial(sklearn.metrics.confusion_matrix, labels=[0, 1]),
}
YES_BY_SCORES: dict[str, Reference] = {
    "auroc": sklearn.metrics.roc_auc_score,
    "average_precision": sklearn.metrics.average_precision_score,
    "log_loss": functools.partial(sklearn.metrics.log_loss, labels=[0, 1]),
    "brier": sklearn.metrics.brier_score_loss,
}
OF_YES = [*YES_BY_CODES, *YES_BY_SCORES]


def of_yes(name: str, y: Array, c: Array, p: Array) -> object:
    if name in YES_BY_CODES:
        return YES_BY_CODES[name](y, c)
    return YES_BY_SCORES[name](y, p)


def drawn_labels(seed: int, rows: int, labels: int) -> tuple[Tensor, Tensor]:
    """Probabilities with ties, and truth in which each label is once yes and once no."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = (torch.rand(rows, labels, generator=generator, dtype=torch.float64) * 8).round() / 8
    truth = torch.randint(0, 2, (rows, labels), generator=generator)
    truth[0], truth[1] = 0, 1
    probabilities[0], probabilities[1] = 0.25, 0.75
    return probabilities, truth


@pytest.mark.parametrize("name", OF_YES)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, rows=st.integers(2, 50))
def test_metrics_of_yes_or_no_are_scikit_learns(name: str, seed: int, rows: int) -> None:
    probabilities, truth = drawn_labels(seed, rows, 1)
    predictions = yes_or_no(probabilities)
    found = metrics_of([name], task="binary", predictions=predictions, truth=truth)[name]
    y, c, p = (one.flatten().numpy() for one in (truth, predictions.values, probabilities))
    assert_near(found, of_yes(name, y, c, p))


@pytest.mark.parametrize("name", OF_YES)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, rows=st.integers(2, 50), labels=st.integers(2, 4))
def test_metrics_of_labels_are_the_means_of_scikit_learns(
    name: str, seed: int, rows: int, labels: int
) -> None:
    probabilities, truth = drawn_labels(seed, rows, labels)
    predictions = yes_or_no(probabilities)
    found = metrics_of([name], task="multilabel", predictions=predictions, truth=truth)[name]
    columns = zip(truth.T.numpy(), predictions.values.T.numpy(), probabilities.T.numpy(), strict=True)
    each = [of_yes(name, *column) for column in columns]
    assert_near(found, each if name == "confusion_matrix" else np.mean(each))


def against_the_rest(metric: Reference) -> Reference:
    return lambda y, p: np.mean([metric(y == code, p[:, code]) for code in np.unique(y)])


def over_classes(metric: Reference) -> Reference:
    return functools.partial(metric, average="macro", zero_division=0)


CLASSES_BY_CODES: dict[str, Reference] = {
    **YES_BY_CODES,
    "f1": over_classes(sklearn.metrics.f1_score),
    "precision": over_classes(sklearn.metrics.precision_score),
    "recall": over_classes(sklearn.metrics.recall_score),
}
CLASSES_BY_SCORES: dict[str, Reference] = {
    "auroc": against_the_rest(sklearn.metrics.roc_auc_score),
    "average_precision": against_the_rest(sklearn.metrics.average_precision_score),
    "log_loss": lambda y, p: sklearn.metrics.log_loss(y, p, labels=range(p.shape[1])),
    "brier": lambda y, p: ((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean(),
}


def of_classes(name: str, y: Array, c: Array, p: Array) -> object:
    if name == "confusion_matrix":
        return sklearn.metrics.confusion_matrix(y, c, labels=range(p.shape[1]))
    if name in CLASSES_BY_CODES:
        return CLASSES_BY_CODES[name](y, c)
    return CLASSES_BY_SCORES[name](y, p)


@pytest.mark.parametrize("name", [*CLASSES_BY_CODES, *CLASSES_BY_SCORES])
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, rows=st.integers(3, 50), classes=st.integers(3, 6))
def test_metrics_of_classes_are_scikit_learns(name: str, seed: int, rows: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)).softmax(1)
    truth = torch.randint(0, classes, (rows,), generator=generator)
    truth[0], truth[1] = 0, 1
    predictions = most_likely(probabilities)
    found = metrics_of([name], task="multiclass", predictions=predictions, truth=truth)[name]
    y, c, p = truth.numpy(), predictions.values.numpy(), probabilities.numpy()
    with warnings.catch_warnings():
        # Scikit-learn warns where a class was predicted that the truth lacks; the value is what is compared.
        warnings.simplefilter("ignore")
        expected = of_classes(name, y, c, p)
    if name == "mcc" and len(np.unique(c)) == 1:
        assert found is None
    else:
        assert_near(found, expected)


@pytest.mark.parametrize(
    ("name", "predicted", "truth"),
    [
        ("r2", [1.0, 2.0], [0.1, 0.1]),
        ("r2", [1.0], [1.0]),
        ("explained_variance", [1.0, 2.0], [0.1, 0.1]),
        ("pearson", [0.1, 0.1, 0.1], [1.0, 2.0, 3.0]),
        ("spearman", [1.0, 2.0], [3.0, 3.0]),
        ("spearman", [1.0, math.nan, 2.0], [3.0, 4.0, 5.0]),
        ("mape", [1.0, 2.0], [0.0, 2.0]),
        ("mae", [math.inf, 2.0], [0.0, 2.0]),
        ("medae", [math.nan, math.nan], [0.0, 2.0]),
        ("max_error", [math.nan, 1.0], [0.0, 2.0]),
    ],
)
def test_what_is_undefined_of_numbers_is_none(name: str, predicted: list[float], truth: list[float]) -> None:
    tables = (torch.tensor(one, dtype=torch.float64).unsqueeze(1) for one in (predicted, truth))
    assert numbers_of([name], *tables)[name] is None


def test_a_target_for_which_a_metric_is_undefined_is_left_out_of_the_mean() -> None:
    truth = torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    assert numbers_of(["r2"], truth.clone(), truth)["r2"] == 1.0


def test_arrays_count_as_so_many_targets() -> None:
    truth = torch.randn(5, 2, 3)
    flat = numbers_of(["rmse"], truth.flatten(1) + 1, truth.flatten(1))
    assert numbers_of(["rmse"], truth + 1, truth) == flat


@pytest.mark.parametrize(
    ("name", "probabilities", "truth"),
    [
        ("auroc", [0.2, 0.3], [1, 1]),
        ("auroc", [math.nan, 0.3], [1, 0]),
        ("average_precision", [0.2, 0.3], [0, 0]),
        ("precision", [0.2, 0.3], [1, 0]),
        ("recall", [0.2, 0.9], [0, 0]),
        ("f1", [0.2, 0.3], [0, 0]),
        ("mcc", [0.2, 0.3], [0, 1]),
        ("cohen_kappa", [0.2, 0.3], [0, 0]),
    ],
)
def test_what_is_undefined_of_yes_or_no_is_none(
    name: str, probabilities: list[float], truth: list[int]
) -> None:
    predictions = yes_or_no(torch.tensor(probabilities).unsqueeze(1))
    found = metrics_of([name], task="binary", predictions=predictions, truth=torch.tensor(truth).unsqueeze(1))
    assert found == {name: None}


def test_a_label_for_which_a_metric_is_undefined_is_left_out_of_the_mean() -> None:
    predictions = yes_or_no(torch.tensor([[0.9, 0.1], [0.1, 0.2]]))
    truth = torch.tensor([[1, 0], [0, 0]])
    found = metrics_of(["f1", "auroc"], task="multilabel", predictions=predictions, truth=truth)
    assert found == {"f1": 1.0, "auroc": 1.0}


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel"])
def test_no_rows_have_no_metrics(task: Task) -> None:
    empty = torch.empty(0, 2)
    names = [name for name, about in METRICS.items() if task in about.tasks]
    predictions = Predictions(empty, probabilities=empty, scores=empty)
    found = metrics_of(names, task=task, predictions=predictions, truth=empty)
    assert found == dict.fromkeys(names)


def test_without_probabilities_there_is_no_log_loss() -> None:
    scores = torch.tensor([[2.0, 1.0], [0.0, 5.0]])
    classes = Predictions(scores.argmax(1), scores=scores)
    names = ["log_loss", "brier", "auroc"]
    found = metrics_of(names, task="multiclass", predictions=classes, truth=torch.tensor([0, 1]))
    assert found == {"log_loss": None, "brier": None, "auroc": 1.0}
    binary = Predictions((scores[:, :1] > 1).long(), scores=scores[:, :1])
    found = metrics_of(names, task="binary", predictions=binary, truth=torch.tensor([[1], [0]]))
    assert found == {"log_loss": None, "brier": None, "auroc": 1.0}


def test_too_many_classes_have_no_matrix() -> None:
    predictions = most_likely(torch.eye(1001))
    truth = torch.arange(1001)
    names = ["confusion_matrix", "accuracy", "mcc"]
    found = metrics_of(names, task="multiclass", predictions=predictions, truth=truth)
    assert found == {"confusion_matrix": None, "accuracy": 1.0, "mcc": pytest.approx(1.0)}


def test_a_certain_and_wrong_probability_has_a_finite_log_loss() -> None:
    predictions = yes_or_no(torch.tensor([[0.0], [1.0]]))
    found = metrics_of(["log_loss"], task="binary", predictions=predictions, truth=torch.tensor([[1], [0]]))
    assert found["log_loss"] == pytest.approx(-math.log(torch.finfo(torch.float32).eps))


@pytest.mark.timeout(60)
def test_a_million_rows_take_seconds_and_are_still_right() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = 1_000_000
    truth = torch.randint(0, 3, (rows, 1), generator=generator).float()
    predicted = truth + torch.randint(0, 3, (rows, 1), generator=generator)
    started = time.process_time()
    names = [name for name, about in METRICS.items() if about.regression]
    found = numbers_of(names, predicted, truth)
    scores = 30 * torch.randn(rows, 1, generator=generator)
    labels = (torch.rand(rows, 1, generator=generator) < torch.sigmoid(scores / 30)).long()
    predictions = Predictions((scores > 0).long(), probabilities=scores.sigmoid(), scores=scores)
    binary = metrics_of(OF_YES, task="binary", predictions=predictions, truth=labels)
    assert time.process_time() - started < 20
    y, p = (one.flatten().double().numpy() for one in (truth, predicted))
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(y, p)[0], rel=1e-9)
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(y, p), rel=1e-9)
    y, p = labels.flatten().numpy(), scores.flatten().numpy()
    assert binary["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p), rel=1e-9)
    assert binary["average_precision"] == pytest.approx(
        sklearn.metrics.average_precision_score(y, p), rel=1e-9
    )
