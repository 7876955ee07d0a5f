"""Trained tensors as bytes, as JSON and as coefficients by name."""

import json

import pytest
import torch

from service.training.trainer import Trainer
from service.training.warmup import warm_up
from service.training.weights import coefficients, from_bytes, to_bytes, to_json
from tests.training.jobs import inline_job


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_tensors_come_back_from_their_bytes_to_the_last_bit(dtype: str, *, bias: bool) -> None:
    state = Trainer(inline_job(features=3, dtype=dtype, bias=bias)).fit().state_dict
    again = from_bytes(to_bytes(state))
    assert again.keys() == state.keys()
    assert all(
        torch.equal(again[name], state[name]) and again[name].dtype == state[name].dtype for name in state
    )


def test_equal_tensors_have_equal_bytes() -> None:
    one, other = (to_bytes(Trainer(inline_job()).fit().state_dict) for _ in range(2))
    assert one == other


def test_json_tells_shape_number_format_and_values() -> None:
    state = {"weight": torch.tensor([[1.5, -2.0]]), "bias": torch.tensor([0.5], dtype=torch.float64)}
    told = json.loads(json.dumps(to_json(state)))
    assert told == {
        "weight": {"shape": [1, 2], "dtype": "float32", "values": [[1.5, -2.0]]},
        "bias": {"shape": [1], "dtype": "float64", "values": [0.5]},
    }


def test_coefficients_are_told_by_feature_name() -> None:
    state = {"weight": torch.tensor([[1.5, -2.0]]), "bias": torch.tensor([0.5])}
    assert coefficients(state, ["a", "b"]) == ({"a": 1.5, "b": -2.0}, 0.5)


def test_without_a_bias_the_intercept_is_zero() -> None:
    assert coefficients({"weight": torch.tensor([[1.5]])}, ["a"]) == ({"a": 1.5}, 0.0)


def test_as_many_names_as_weights_are_needed() -> None:
    with pytest.raises(ValueError, match="zip"):
        coefficients({"weight": torch.tensor([[1.5, 2.0]])}, ["a"])


def test_warming_up_measures_a_step() -> None:
    threads = torch.get_num_threads()
    assert warm_up(threads) > 0
    assert torch.get_num_threads() == threads
