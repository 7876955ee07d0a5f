"""The short way of a prediction gives what the long one gives, to the last bit, or leaves the rows to it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.inference.predictor import Predicted, Predictor
from service.inference.quick import MOST_ROWS
from tests.serving.models import MODELS, predictor

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-100, 100),
    st.integers(-(2**63), 2**63),
)
QUICK = [name for name in MODELS if name not in {"categories", "gaps", "vectors", "polynomial"}]


def long_way(one: Predictor, columns: dict[str, Any]) -> Predicted:
    return one.predict_arrays(one.arrays(columns))


def bits(found: Predicted) -> dict[str, Any]:
    """All values, so that only the same ones are equal: NaN is NaN, and 0.0 is not -0.0."""
    sides = {"": found.columns, "probabilities": found.probabilities, "std": found.std}
    return {
        f"{side}.{name}": np.ascontiguousarray(values).tobytes() if isinstance(values, np.ndarray) else values
        for side, columns in sides.items()
        for name, values in columns.items()
    }


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=60, deadline=None)  # The first example trains the model.
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_both_ways_give_the_same_bits(name: str, rows: list[tuple[float, float]]) -> None:
    one = predictor(name)
    assert isinstance(one, Predictor)
    columns = {feature: [row[place] for row in rows] for place, feature in enumerate(one.feature_names)}
    with np.errstate(over="ignore", invalid="ignore"):
        assert bits(one.predict(columns)) == bits(long_way(one, columns))


@pytest.mark.parametrize("name", QUICK)
def test_usual_rows_take_the_short_way(name: str) -> None:
    one = predictor(name)
    assert isinstance(one, Predictor)
    assert one.quick is not None
    for rows in (1, 2, MOST_ROWS):
        outputs = one.quick.outputs(dict.fromkeys(one.feature_names, [0.5] * rows))
        assert outputs is not None
        assert len(outputs) == rows


@pytest.mark.parametrize(
    "values",
    [[True], ["1.5"], [None], [[1.0]], [float("nan")], [float("inf")], [1e300], [], [0.5] * (MOST_ROWS + 1)],
    ids=lambda values: str(values)[:20],
)
def test_unusual_rows_are_left_to_the_long_way(values: list[Any]) -> None:
    one = predictor("linear")
    assert isinstance(one, Predictor)
    assert one.quick is not None
    assert one.quick.outputs({"a": values, "b": values}) is None
    assert one.quick.outputs({"a": [1.0], "b": values or [1.0, 2.0]}) is None
    assert one.quick.outputs({"a": [1.0], "c": [1.0]}) is None
    assert one.quick.outputs({"a": [1.0]}) is None


@pytest.mark.parametrize("name", ["categories", "gaps", "vectors", "polynomial"])
def test_models_of_other_inputs_have_no_short_way(name: str) -> None:
    one = predictor(name)
    assert isinstance(one, Predictor)
    assert one.quick is None


def test_hooks_of_a_module_are_not_passed_over() -> None:
    one = predictor("mlp")
    assert isinstance(one, Predictor)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    network.eval().requires_grad_(requires_grad=False)
    network[1].register_forward_hook(lambda _module, _given, found: found + 1)
    from service.inference.quick import _operations

    values = torch.ones(1, 2)
    expected = network(values)
    for operation in _operations(network):
        values = operation(values)
    assert torch.equal(values, expected)
