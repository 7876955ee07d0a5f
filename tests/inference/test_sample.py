"""Rows of a job's own data for its pictures: as many at once as memory is meant for, and only those that were used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.inference import predictor as module
from service.inference.predictor import Predictor
from service.inference.sample import Sample
from service.spec.plan import Plan
from service.training.weights import to_bytes
from tests.training.jobs import inline, job, trainer

ROWS = 40
IMAGES = [[[float((row + i) % 3) for i in range(8)]] * 8 for row in range(ROWS)]
CNN = {"type": "cnn", "blocks": [{"channels": 4}]}


def sampled(plan: Plan, *, limit: int = 1000) -> Sample:
    fit = trainer(plan).fit()
    predictor = Predictor(plan.spec, to_bytes(fit.state_dict, fit.preparation))
    return Sample.of(plan.spec, predictor, datasets=Path("none"), limit=limit)


def images(**sections: Any) -> Plan:  # noqa: ANN401 - sections of any kind
    columns = {"i": IMAGES, "y": [float(row % 3) for row in range(ROWS)]}
    return job(inline(columns), model=CNN, **sections)


def block_sizes(sample: Sample) -> list[int]:
    """Predict, and tell how many rows the network was given at a time."""
    sizes: list[int] = []
    network = sample.predictor._network
    hook = network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    _ = sample.predicted
    hook.remove()
    return sizes


def test_rows_are_encoded_and_predicted_in_blocks_that_fit_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = images()
    whole = sampled(plan)
    row_bytes = 8 * (plan.activation_count + 2 * 64)
    monkeypatch.setattr(module, "BLOCK_BYTES", 7 * row_bytes + 1)
    cut = sampled(plan)
    assert block_sizes(whole) == [ROWS]
    assert block_sizes(cut) == [7, 7, 7, 7, 7, 5]
    assert cut.predicted == pytest.approx(whole.predicted, rel=1e-5)
    assert np.array_equal(cut.actual, whole.actual)


def test_a_network_of_large_images_is_given_few_rows_at_once() -> None:
    layers = [{"type": "Conv2d", "out_channels": 64, "kernel_size": 3, "padding": 1}, {"type": "ReLU"}]
    layers += [{"type": "Flatten"}, {"type": "Linear"}]
    plan = job(
        inline({"i": np.zeros((2, 1, 28, 28)).tolist(), "y": [1.0, 2.0]}),
        model={"type": "sequential", "layers": layers},
    )
    predictor = sampled(plan).predictor
    # Two layers of 64 channels of 28 by 28 numbers: 100,352 a row, of which 64 MiB hold 83 in float64.
    assert 64 < predictor.block_rows <= 83


def test_the_first_number_of_an_array_target_is_kept_in_raw_units() -> None:
    p = [[10.0, 0.0], [20.0, 5.0], [40.0, 1.0]]
    sample = sampled(
        job(inline({"x": [0.0, 1.0, 2.0], "p": p}, target="p"), preprocessing={"target_scaling": "min_max"})
    )
    assert sample.actual.tolist() == pytest.approx([10.0, 20.0, 40.0])
    told = sample.predictor.predict({"x": [0.0, 1.0, 2.0]}).columns["p[0]"]
    assert sample.predicted.tolist() == pytest.approx(told, rel=1e-6)


def test_rows_without_a_value_in_any_input_are_left_out_as_in_the_training() -> None:
    columns = {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, None, 2.0, 0.0], "y": [1.0, 1.0, -1.0, -1.0]}
    plan = job(
        inline(columns, inputs={"first": ["a"], "second": ["b"]}),
        loss={"type": "MarginRankingLoss"},
        preprocessing={"missing": "drop"},
    )
    assert sampled(plan).rows.tolist() == [0, 2, 3]


def test_more_rows_than_wanted_are_thinned_evenly() -> None:
    assert sampled(images(), limit=10).rows.tolist() == list(range(0, ROWS, 4))


def test_outputs_of_blocks_are_those_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    plan = job(inline({"x": [float(x) for x in range(10)], "y": [float(x * x) for x in range(10)]}))
    sample = sampled(plan)
    arrays = {"x": np.arange(10.0)}
    assert block_sizes(sample) == [3, 3, 3, 1]
    assert torch.equal(sample.predictor.outputs(arrays), torch.cat(list(sample.predictor.blocks(arrays))))
    assert sample.predictor.outputs(arrays)[:, 0].tolist() == pytest.approx(
        sample.predicted.tolist(), rel=1e-6
    )
