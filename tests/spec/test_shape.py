"""Jobs of one shape differ in nothing that would keep them from being trained together."""

from collections.abc import Callable
from typing import Any

import pytest

from service.spec.shape import MOST, members, shape_of
from tests.spec.specs import parsed

Spec = dict[str, Any]
Change = Callable[[Spec], Spec]


def changed(spec: Spec, section: str, **fields: object) -> Spec:
    return {**spec, section: {**spec[section], **fields}}


def shape(spec: Spec) -> str | None:
    return shape_of(parsed(spec))


def test_the_tutorials_job_has_a_shape_and_many_go_together(tutorial: Spec) -> None:
    assert MOST // 2 <= members(shape(tutorial)) <= MOST


FREE: dict[str, Change] = {
    "name": lambda spec: {**spec, "name": "mine", "metadata": {"a": "1"}, "priority": 3},
    "seed": lambda spec: changed(spec, "training", seed=99),
    "seed of the rows": lambda spec: changed(spec, "data", seed=99),
    "noise": lambda spec: changed(spec, "data", noise={"distribution": "normal", "std": 0.5}),
    "formula": lambda spec: changed(spec, "data", target={"name": "y", "expression": "2*x - 1"}),
    "rate": lambda spec: changed(spec, "optimizer", lr=0.5, momentum=0.9, weight_decay=1e-3),
    "time": lambda spec: changed(spec, "training", max_seconds=5),
}


@pytest.mark.parametrize("change", FREE.values(), ids=FREE)
def test_values_seeds_and_rates_are_free(tutorial: Spec, change: Change) -> None:
    assert shape(change(tutorial)) == shape(tutorial)


BOUND: dict[str, Change] = {
    "epochs": lambda spec: changed(spec, "training", epochs=2999),
    "batch": lambda spec: changed(spec, "training", batch_size=128),
    "rows": lambda spec: changed(spec, "data", rows=255),
    "column": lambda spec: changed(spec, "data", target={"name": "z", "expression": "5*x + 7"}),
    "optimizer": lambda spec: {**spec, "optimizer": {"type": "Adam", "lr": 0.01}},
    "switch": lambda spec: changed(spec, "optimizer", momentum=0.9, nesterov=True),
    "loss": lambda spec: {**spec, "loss": {"type": "L1Loss"}},
    "model": lambda spec: {**spec, "model": {"type": "mlp", "hidden": [4]}},
    "scaling": lambda spec: {**spec, "preprocessing": {"scaling": "standardize"}},
    "precision": lambda spec: changed(spec, "training", dtype="float64"),
    "schedule": lambda spec: {**spec, "scheduler": {"type": "StepLR", "step_size": 100}},
    "penalty": lambda spec: {**spec, "regularization": {"l2": 0.1}},
}


@pytest.mark.parametrize("change", BOUND.values(), ids=BOUND)
def test_what_the_steps_are_made_of_is_not(tutorial: Spec, change: Change) -> None:
    other = shape(change(tutorial))
    assert other is not None
    assert other != shape(tutorial)


def test_rows_that_were_sent_along_are_free_too(tutorial: Spec) -> None:
    def sent(*y: float) -> Spec:
        data = {"type": "inline", "columns": {"x": [0, 1, 2, 3], "y": list(y)}, "target": "y"}
        return {**tutorial, "data": data}

    assert shape(sent(7, 12, 17, 22)) == shape(sent(1, 1, 2, 1))
    assert shape(sent(7, 12, 17, 22)) != shape(tutorial)


ALONE: dict[str, Change] = {
    "large": lambda spec: {**changed(spec, "training", epochs=100_000), "optimizer": {"type": "Adam"}},
    "dropout": lambda spec: {**spec, "model": {"type": "mlp", "hidden": [4], "dropout": 0.1}},
    "several trainings": lambda spec: changed(spec, "training", restarts=3),
    "the reference engine": lambda spec: changed(spec, "training", engine="eager"),
    "an unknown number of rows": lambda spec: {
        **spec,
        "data": {"type": "inline", "columns": {"x": [0, 1, 2, None], "y": [1, 2, 3, 4]}, "target": "y"},
        "preprocessing": {"missing": "drop"},
    },
}


@pytest.mark.parametrize("change", ALONE.values(), ids=ALONE)
def test_some_always_train_alone(tutorial: Spec, change: Change) -> None:
    assert shape(change(tutorial)) is None
    assert members(None) == 1


def test_the_longer_each_takes_the_fewer_go_together(tutorial: Spec) -> None:
    adam = {**tutorial, "optimizer": {"type": "Adam"}}
    wide = changed(changed(adam, "data", rows=20_000), "training", epochs=1000)
    assert 1 < members(shape(wide)) < members(shape(adam))
