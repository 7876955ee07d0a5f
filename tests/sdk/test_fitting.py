"""What is chosen where little is said."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitd_client import UnreadableData
from fitd_client.fitting import merged, rows_of, spec_of, task_of
from fitd_client.wire import json_body

from service.spec.job import JobSpec

X = {"a": [1.0, 2.0, 3.0, 4.0] * 5, "b": [0.0, 1.0, 0.0, 2.0] * 5}
NUMBERS = [0.1 * value for value in range(20)]
TEXTS = ["no", "yes"] * 10
TOWNS = ["Bern", "Oslo", "Wien", "Oslo"] * 5


def _spec(y: Any, **asked: Any) -> dict[str, Any]:  # noqa: ANN401
    rows = rows_of(X, y)
    spec = spec_of(rows, **asked)
    # The service's own model of a spec takes it.
    data = {"type": "inline", "columns": rows.table.inline(), **rows.data}
    JobSpec.model_validate_json(json_body({**spec, "data": data}))
    return spec


@pytest.mark.parametrize(
    ("y", "model", "loss"),
    [
        (NUMBERS, "linear", "MSELoss"),
        ([float(value) for value in range(2)] * 10, "linear", "MSELoss"),
        (list(range(20)), "linear", "MSELoss"),
        (TEXTS, "logistic", "BCEWithLogitsLoss"),
        ([True, False] * 10, "logistic", "BCEWithLogitsLoss"),
        ([0, 1] * 10, "logistic", "BCEWithLogitsLoss"),
        (TOWNS, "softmax", "CrossEntropyLoss"),
        ([3, 4, 5, 3] * 5, "softmax", "CrossEntropyLoss"),
    ],
    ids=["numbers", "floats", "counts", "texts", "truth", "zero-one", "towns", "few whole numbers"],
)
def test_the_target_chooses_model_and_loss(y: Any, model: str, loss: str) -> None:  # noqa: ANN401
    spec = _spec(y)
    assert (spec["model"]["type"], spec["loss"]["type"]) == (model, loss)


@pytest.mark.parametrize("model", ["mlp", "linear", "polynomial", {"type": "mlp", "hidden": [3]}])
def test_a_model_that_is_named_is_complete(model: Any) -> None:  # noqa: ANN401
    spec = _spec(NUMBERS, model=model)
    assert spec["loss"]["type"] == "MSELoss"
    assert spec["preprocessing"] == {"scaling": "standardize", "target_scaling": "standardize"}


def test_a_loss_or_task_that_is_named_decides() -> None:
    assert _spec([0, 1] * 10, loss="MSELoss")["model"]["type"] == "linear"
    assert _spec([0, 1] * 10, task="regression")["loss"]["type"] == "MSELoss"
    assert _spec(list(range(20)), task="classification")["loss"]["type"] == "CrossEntropyLoss"
    assert _spec([0.0, 1.0] * 10, model="logistic")["loss"]["type"] == "BCEWithLogitsLoss"
    assert _spec([0.0, 1.0] * 10, loss="BCEWithLogitsLoss")["model"]["type"] == "logistic"


def test_classes_are_not_scaled() -> None:
    assert "target_scaling" not in _spec(TOWNS)["preprocessing"]


def test_what_is_said_is_in_the_spec() -> None:
    spec = _spec(
        NUMBERS,
        optimizer="RMSprop",
        lr=0.02,
        epochs=7,
        batch_size=4,
        scaling="none",
        dev=0.2,
        test=0.1,
        seed=3,
    )
    assert spec["optimizer"] == {"type": "RMSprop", "lr": 0.02}
    assert spec["training"] == {"epochs": 7, "batch_size": 4, "seed": 3}
    assert spec["preprocessing"]["scaling"] == "none"
    assert spec["evaluation"]["split"] == {"type": "random", "dev": 0.2, "test": 0.1}


def test_a_line_s_steps_are_shorter_with_more_features() -> None:
    assert _spec(NUMBERS)["optimizer"] == {"type": "SGD", "lr": 0.1, "momentum": 0.9}
    many = rows_of({f"x{place}": NUMBERS for place in range(99)}, NUMBERS)
    assert spec_of(many)["optimizer"]["lr"] == 0.01


def test_many_rows_come_in_batches() -> None:
    rows = rows_of(np.zeros((5000, 2)), np.linspace(0, 1, 5000))
    assert spec_of(rows)["training"] == {"epochs": 20, "batch_size": 1024}
    assert spec_of(rows)["optimizer"]["type"] == "Adam"


def test_the_target_may_be_in_the_table_or_beside_it() -> None:
    frame = pd.DataFrame(X | {"price": NUMBERS})
    within = rows_of(frame, target="price")
    beside = rows_of(frame[["a", "b"]], frame["price"])
    for rows in (within, beside):
        assert (rows.targets, rows.features) == (["price"], ["a", "b"])
        assert rows.table.values("price") == NUMBERS
    assert rows_of(frame[["a"]], NUMBERS).targets == ["y"]
    assert rows_of(frame[["a"]], NUMBERS, target="cost").targets == ["cost"]
    assert rows_of({"y": NUMBERS}, NUMBERS).targets == ["y (2)"]


def test_several_targets_come_as_columns() -> None:
    both = np.column_stack([NUMBERS, NUMBERS])
    assert rows_of(X, both).targets == ["y0", "y1"]
    assert rows_of(X, pd.DataFrame({"u": NUMBERS, "v": NUMBERS})).targets == ["u", "v"]
    assert rows_of(X | {"u": NUMBERS, "v": NUMBERS}, target=["u", "v"]).data["target"] == ["u", "v"]
    assert task_of(rows_of(X, both)).classes == 0


def test_a_series_with_another_index_is_taken_by_its_place() -> None:
    frame = pd.DataFrame(X)
    rows = rows_of(frame, pd.Series(NUMBERS, index=range(100, 120), name="y"))
    assert rows.table.values("y") == NUMBERS


def test_weights_are_a_column_and_no_feature() -> None:
    named = rows_of(X | {"trust": NUMBERS, "y": NUMBERS}, target="y", weight="trust")
    given = rows_of(X, NUMBERS, weight=NUMBERS)
    assert named.data == {"target": "y", "features": ["a", "b"], "weight": "trust"}
    assert given.data == {"target": "y", "features": ["a", "b"], "weight": "weight"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "There is no target"),
        ({"target": "c"}, "no column `c`; there are `a`, `b`"),
        ({"target": "a", "features": ["d"]}, "no column `d`"),
        ({"target": "a", "weight": "w"}, "no column `w`"),
    ],
)
def test_what_is_missing_is_named(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UnreadableData, match=message):
        rows_of(X, **asked)


def test_changes_go_into_objects_and_take_the_place_of_others() -> None:
    spec = {"training": {"epochs": 3, "seed": 0}, "optimizer": {"type": "SGD", "momentum": 0.9}}
    changes = {"training": {"epochs": 5}, "optimizer": {"type": "Adam"}, "scheduler": None}
    assert merged(spec, changes) == {
        "training": {"epochs": 5, "seed": 0},
        "optimizer": {"type": "Adam"},
        "scheduler": None,
    }
