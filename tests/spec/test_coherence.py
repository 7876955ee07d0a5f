"""Sections that do not go together, or not with the table, are refused before anything is trained."""

from typing import Any

import pytest

from service.exceptions import Problem
from tests.spec.specs import problems_in

ROWS = 12
X = [float(row) for row in range(ROWS)]
Y = [3 * x + (row % 3) for row, x in enumerate(X)]
WORDS = ["red", "green"] * (ROWS // 2)
IMAGES = [[[row + 1.0, 2.0], [3.0, 4.0 + row]] for row in range(ROWS)]


def spec(columns: dict[str, Any], /, **sections: Any) -> dict[str, Any]:  # noqa: ANN401 - sections of any kind
    data = {"type": "inline", "columns": {**columns, "y": Y}, "target": "y"} | sections.pop("data", {})
    return {
        "data": {name: value for name, value in data.items() if value is not None},
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
        "training": {"epochs": 2, "seed": 0, **sections.pop("training", {})},
        **sections,
    }


def random_split(**parts: float) -> dict[str, Any]:
    return {"split": {"type": "random", **parts}}


NORMALIZED = {"type": "mlp", "hidden": [4], "normalization": "batch"}
CODES = {"type": "sequential", "layers": [{"type": "Embedding", "num_embeddings": 9, "embedding_dim": 2}]}
RANKING: dict[str, Any] = {"loss": {"type": "MarginRankingLoss"}}
SIGNS = [1.0, -1.0] * (ROWS // 2)
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a split that leaves one row": (
        spec({"x": X}, evaluation=random_split(dev=0.95)),
        "/evaluation/split",
        "too_few_rows",
    ),
    "a split that leaves none": (
        spec({"x": X}, evaluation=random_split(dev=0.999)),
        "/evaluation/split",
        "too_few_rows",
    ),
    "more folds than rows": (
        spec({"x": X}, evaluation={"folds": {"k": 20}}),
        "/evaluation/folds/k",
        "too_few_rows",
    ),
    "batch normalization of a single row": (
        spec({"x": X}, model=NORMALIZED, training={"batch_size": 11}),
        "/training/batch_size",
        "batch_too_small",
    ),
    "batch normalization of single rows": (
        spec({"x": X}, model=NORMALIZED, training={"batch_size": 1, "drop_last": True}),
        "/training/batch_size",
        "batch_too_small",
    ),
    "a weight of zero in every row": (
        spec({"x": X, "w": [0.0] * ROWS}, data={"weight": "w"}),
        "/data/weight",
        "constant_column",
    ),
    "weights that are learnt from": (
        spec({"x": X}, data={"weight": "x", "features": ["x"]}),
        "/data/features/0",
        "target_leak",
    ),
    "weights that are learnt": (
        spec({"x": X}, data={"weight": "y"}),
        "/data/target",
        "target_leak",
    ),
    "a split column that is learnt from": (
        spec(
            {"x": X, "part": ["train", "dev"] * (ROWS // 2)},
            data={"features": ["x", "part"]},
            evaluation={"split": {"type": "column", "column": "part"}},
        ),
        "/data/features/1",
        "target_leak",
    ),
    "early stopping without dev rows in the split column": (
        spec(
            {"x": X, "part": ["train", "test"] * (ROWS // 2)},
            evaluation={"split": {"type": "column", "column": "part"}},
            training={"early_stopping": {}},
        ),
        "/training/early_stopping/monitor",
        "incompatible_fields",
    ),
    "metrics of dev rows that are not there": (
        spec(
            {"x": X, "part": ["train", "test"] * (ROWS // 2)},
            evaluation={"split": {"type": "column", "column": "part"}, "every": 1},
        ),
        "/evaluation/every",
        "incompatible_fields",
    ),
    "numbers that float32 cannot hold": (
        spec({"x": [1e308, *X[1:]]}),
        "/training/dtype",
        "data_not_finite",
    ),
    "scaled classes": (
        spec(
            {"x": X, "c": WORDS},
            data={"target": "c", "features": ["x"]},
            model={"type": "logistic"},
            loss={"type": "BCEWithLogitsLoss"},
            preprocessing={"target_scaling": "standardize"},
        ),
        "/preprocessing/target_scaling",
        "incompatible_fields",
    ),
    "an encoding of numbers": (
        spec({"x": X}, preprocessing={"columns": {"x": {"encoding": "embedding"}}}),
        "/preprocessing/columns/x/encoding",
        "incompatible_fields",
    ),
    "a scaling of categories": (
        spec({"c": WORDS}, preprocessing={"columns": {"c": {"scaling": "min_max"}}}),
        "/preprocessing/columns/c/scaling",
        "incompatible_fields",
    ),
    "a scaling of the target among the features": (
        spec({"x": X}, preprocessing={"columns": {"y": {"scaling": "min_max"}}}),
        "/preprocessing/columns/y/scaling",
        "incompatible_fields",
    ),
    "a polynomial of categories": (
        spec({"x": X, "c": WORDS}, model={"type": "polynomial", "degree": 2}),
        "/model/type",
        "incompatible_fields",
    ),
    "noise on embedded categories": (
        spec(
            {"x": X, "c": WORDS},
            preprocessing={"encoding": "embedding"},
            training={"augmentation": [{"type": "noise", "std": 1.0}]},
        ),
        "/training/augmentation/0",
        "incompatible_fields",
    ),
    "inputs of different kinds": (
        spec(
            {"a": X, "c": WORDS, "s": SIGNS},
            data={"target": "s", "inputs": {"first": ["a"], "second": ["c"]}},
            **RANKING,
        ),
        "/data/inputs",
        "incompatible_fields",
    ),
    "the same input twice": (
        spec(
            {"a": X, "s": SIGNS}, data={"target": "s", "inputs": {"first": ["a"], "second": ["a"]}}, **RANKING
        ),
        "/data/inputs",
        "duplicate_column",
    ),
    "an unknown metric": (
        spec({"x": X}, evaluation={"metrics": ["zzz"]}),
        "/evaluation/metrics/0",
        "unknown_name",
    ),
}


@pytest.mark.parametrize(("body", "pointer", "code"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_go_together_is_refused(body: dict[str, Any], pointer: str, code: str) -> None:
    found: list[Problem] = problems_in(body)
    assert (pointer, code) in [(problem.pointer, problem.code) for problem in found]
    assert all(problem.hint for problem in found)


def test_images_of_several_places_can_be_normalized_one_by_one() -> None:
    layers = [{"type": "BatchNorm2d"}, {"type": "Flatten"}, {"type": "Linear"}]
    images = [[image] for image in IMAGES]
    body = spec({"image": images}, model={"type": "sequential", "layers": layers}, training={"batch_size": 1})
    assert problems_in(body) == []


def test_what_splits_the_rows_is_no_constant_feature_although_another_section_is_broken() -> None:
    body = spec(
        {"x": X, "part": ["train"] * ROWS},
        evaluation={"split": {"type": "column", "column": "part"}},
        optimizer={"type": "SGD", "lr": -1},
    )
    assert [problem.pointer for problem in problems_in(body)] == ["/optimizer/lr"]
