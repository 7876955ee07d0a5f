"""Trained tensors as bytes, as JSON and as coefficients by name."""

import json

import numpy as np
import pytest
import torch

from service.training.frames import load
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
