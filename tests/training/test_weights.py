"""Trained tensors as bytes, as JSON and as coefficients by name."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.training.columns import columns_in_use
from service.training.frames import load
from service.training.naming import class_of, label_of, unique
from service.training.preparation import Preparation, fitted
from service.training.warmup import warm_up
from service.training.weights import coefficients, from_bytes, preparation_of, to_bytes, to_json
from tests.training.jobs import inline, inline_job, job, trainer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_tensors_come_back_from_their_bytes_to_the_last_bit(dtype: str, *, bias: bool) -> None:
    fit = trainer(inline_job(features=3, dtype=dtype, bias=bias)).fit()
    state, again = fit.state_dict, from_bytes(to_bytes(fit.state_dict, fit.preparation))
    assert again.keys() == state.keys()
    assert all(
        torch.equal(again[name], state[name]) and again[name].dtype == state[name].dtype for name in state
    )


def test_equal_tensors_have_equal_bytes() -> None:
    fits = [trainer(inline_job()).fit() for _ in range(8)]
    assert len({to_bytes(fit.state_dict, fit.preparation) for fit in fits}) == 1


def test_json_tells_shape_number_format_and_values() -> None:
    state = {"weight": torch.tensor([[1.5, -2.0]]), "bias": torch.tensor([0.5], dtype=torch.float64)}
    told = json.loads(json.dumps(to_json(state)))
    assert told == {
        "weight": {"shape": [1, 2], "dtype": "float32", "values": [[1.5, -2.0]]},
        "bias": {"shape": [1], "dtype": "float64", "values": [0.5]},
    }


def prepared(names: list[str]) -> Preparation:
    """The preparation of so many numbers, unscaled."""
    columns = {name: [0.0, 1.0, 2.0] for name in names}
    plan = job(inline({**columns, "y": [1.0, 3.0, 4.0]}))
    return fitted(plan, load(plan.spec.data), np.arange(3))


def test_coefficients_are_told_by_feature_name() -> None:
    state = {"weight": torch.tensor([[1.5, -2.0]]), "bias": torch.tensor([0.5])}
    assert coefficients(state, prepared(["a", "b"]), model="linear") == ({"a": 1.5, "b": -2.0}, 0.5)


def test_without_a_bias_the_intercept_is_zero() -> None:
    state = {"weight": torch.tensor([[1.5]])}
    assert coefficients(state, prepared(["a"]), model="linear") == ({"a": 1.5}, 0.0)


def test_as_many_names_as_weights_are_needed() -> None:
    assert coefficients({"weight": torch.tensor([[1.5, 2.0]])}, prepared(["a"]), model="linear") is None


def test_a_network_that_is_not_linear_has_no_coefficients() -> None:
    state = {"weight": torch.tensor([[1.5]]), "bias": torch.tensor([0.5])}
    assert coefficients(state, prepared(["a"]), model="mlp") is None


def test_the_preparation_comes_back_from_the_bytes_too() -> None:
    preparation = prepared(["a", "größe"])
    assert preparation_of(to_bytes({"weight": torch.ones(1, 2)}, preparation)) == preparation


def test_warming_up_measures_a_step() -> None:
    threads = torch.get_num_threads()
    assert warm_up(threads) > 0
    assert torch.get_num_threads() == threads


X = [0.0, 1.0, 2.0, 3.0]
P, Q = [[1.0, 2.0], [2.0, 1.0], [0.0, 3.0], [4.0, 1.0]], [[5.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 9.0]]


def told(columns: dict[str, Any], **sections: Any) -> tuple[Any, Any]:  # noqa: ANN401 - sections of any kind
    """Coefficients and intercepts of a short training."""
    target = sections.pop("target", "y")
    plan = job(inline(columns, target=target), **sections)
    fit = trainer(plan).fit()
    spec = plan.spec
    found = coefficients(fit.state_dict, fit.preparation, model=spec.model.type, loss=spec.loss)
    assert found is not None
    return found


def test_elements_of_an_array_target_are_named_by_their_place_and_are_no_log_variances() -> None:
    weights, intercept = told({"x": X, "p": P}, target="p")
    assert list(weights) == list(intercept) == ["p[0]", "p[1]"]
    weights, _ = told({"x": X, "p": P, "q": Q, "r": X[::-1]}, target=["p", "r", "q"])
    assert list(weights) == ["p[0]", "p[1]", "r", "q[0]", "q[1]"]
    weights, _ = told({"x": X, "m": [[row, row[::-1]] for row in P]}, target="m")
    assert list(weights) == ["m[0][0]", "m[0][1]", "m[1][0]", "m[1][1]"]


def test_log_variances_are_named_where_the_loss_fits_them() -> None:
    weights, _ = told({"x": X, "p": P}, target="p", loss={"type": "GaussianNLLLoss"})
    assert list(weights) == ["p[0]", "p[1]", "log_variance(p[0])", "log_variance(p[1])"]


def test_inputs_of_one_name_are_told_apart() -> None:
    weights, _ = told({"a": ["b", "c", "b", "c"], "a=b": X, "y": [1.0, 4.0, 2.0, 8.0]})
    assert list(weights) == ["a=b", "a=c", "a=b (2)"]


def test_a_class_is_written_exactly_and_whole_numbers_without_a_point() -> None:
    classes = [0.0, -0.0, 3.0, 2.5, 1000000.25, 1000000.75, 1e300, "1.0"]
    labels = ["0", "0", "3", "2.5", "1000000.25", "1000000.75", "1e+300", "1.0"]
    assert [label_of(one) for one in classes] == labels
    assert [repr(class_of(one)) for one in (2.0, 2.5, 1e300, "2.0")] == ["2", "2.5", "1e+300", "'2.0'"]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_two_classes_never_share_a_label(one: float, other: float) -> None:
    assert (label_of(one) == label_of(other)) == (one == other)
    assert label_of(class_of(one)) == label_of(one)


@given(st.lists(st.sampled_from(["a", "b", "a (2)", "a (2) (2)"])))
def test_names_that_are_told_apart_are_as_many_and_the_first_of_each_keeps_its_own(names: list[str]) -> None:
    found = unique(names)
    assert len(set(found)) == len(names)
    assert unique(found) == found
    assert found[:1] == tuple(names[:1])


def test_the_columns_of_every_input_are_in_use() -> None:
    columns = {"a": X, "b": X[::-1], "c": P, "y": [1.0, -1.0, 1.0, -1.0]}
    data = inline(columns, inputs={"first": ["a"], "second": ["b"]})
    plan = job(data, loss={"type": "MarginRankingLoss"})
    assert [column.name for column in columns_in_use(plan.spec, plan.schema)] == ["a", "b", "y"]
