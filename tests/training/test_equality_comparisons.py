"""Losses of several inputs, and of sequences, equal a plain torch loop to the last bit as well."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.spec.losses import LossSpec
from tests.training.jobs import job, trained
from tests.training.lessons import LOSSES
from tests.training.textbook import Lesson

ROWS = 9
ROLES = {2: ("first", "second"), 3: ("anchor", "positive", "negative")}


def _ranking(network: nn.Module, features: Tensor, target: Tensor) -> Tensor:
    scores = network(features[:, 0]), network(features[:, 1])
    return nn.functional.margin_ranking_loss(*scores, target, margin=0.1)


def _cosine(network: nn.Module, features: Tensor, target: Tensor) -> Tensor:
    ends = network(features[:, 0]), network(features[:, 1])
    return nn.functional.cosine_embedding_loss(*ends, target.flatten(), margin=0.2)


def _triplet(network: nn.Module, features: Tensor, _: Tensor) -> Tensor:
    return nn.functional.triplet_margin_loss(*(network(features[:, role]) for role in range(3)))


COMPARISONS: dict[str, tuple[dict[str, Any], int, int, Callable[..., Tensor]]] = {
    "MarginRankingLoss": ({"type": "MarginRankingLoss", "margin": 0.1}, 2, 1, _ranking),
    "CosineEmbeddingLoss": ({"type": "CosineEmbeddingLoss", "margin": 0.2}, 2, 3, _cosine),
    "TripletMarginLoss": ({"type": "TripletMarginLoss"}, 3, 3, _triplet),
}


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("batch_size", ["full", 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_that_compare_inputs_equal_the_textbook_loop(
    name: str, batch_size: object, dtype: str
) -> None:
    sent, roles, outputs, by_hand = COMPARISONS[name]
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(ROWS, roles, 2))
    signs = np.where(np.arange(ROWS) % 3 == 0, -1.0, 1.0)[:, np.newaxis]
    columns = {
        f"{role}{i}": inputs[:, place, i].tolist() for place, role in enumerate(ROLES[roles]) for i in (0, 1)
    }
    data: dict[str, Any] = {"inputs": {role: [f"{role}0", f"{role}1"] for role in ROLES[roles]}}
    if roles == 2:
        columns["alike"], data["target"] = signs[:, 0].tolist(), "alike"
    training = {"epochs": 4, "seed": 5, "batch_size": batch_size, "dtype": dtype}
    width = {} if roles == 2 and outputs == 1 else {"outputs": outputs}
    plan = job(
        {"type": "inline", "columns": columns, **data},
        model={"type": "mlp", "hidden": [4], "activation": "Tanh", **width},
        loss=sent,
        optimizer={"type": "Adam", "lr": 0.05},
        training=training,
        evaluation={"split": {"type": "order", "dev": 2 / ROWS}},
    )
    number_format = getattr(torch, dtype)
    tensors = torch.from_numpy(inputs).to(number_format), torch.from_numpy(signs).to(number_format)
    lesson = Lesson(
        network=lambda: nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, outputs)),
        loss=by_hand,
        train=tuple(one[:-2] for one in tensors),
        dev=tuple(one[-2:] for one in tensors),
        optimizer={"type": "Adam", "lr": 0.05},
        training=training,
        dtype=number_format,
    ).run()
    history, fit = trained(plan)
    assert history["train_loss"] == lesson.train_loss
    assert history["dev_loss"] == lesson.dev_loss
    assert all(torch.equal(fit.state_dict[name], tensor) for name, tensor in lesson.state.items())


class EveryStep(nn.GRU):
    """The output of every step."""

    def forward(self, values: Tensor) -> Tensor:  # type: ignore[override] # one tensor, not two
        return super().forward(values)[0]


@pytest.mark.parametrize("batch_size", ["full", 4])
def test_aligned_sequences_equal_the_textbook_loop(batch_size: object) -> None:
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(ROWS, 6, 2))
    codes = rng.integers(1, 4, (ROWS, 3))
    steps, length = rng.integers(5, 7, ROWS), rng.integers(1, 3, ROWS)
    columns = {
        "x": inputs.tolist(),
        "steps": steps.astype(float).tolist(),
        "length": length.astype(float).tolist(),
        **{f"c{i}": codes[:, i].astype(float).tolist() for i in range(3)},
    }
    data = {
        "features": ["x"],
        "target": ["c0", "c1", "c2"],
        "lengths": {"input": "steps", "target": "length"},
    }
    layers = [
        {"type": "GRU", "hidden_size": 5, "output": "sequence"},
        {"type": "Linear", "out_features": 4},
        {"type": "LogSoftmax"},
    ]
    training = {"epochs": 3, "seed": 1, "batch_size": batch_size}
    plan = job(
        {"type": "inline", "columns": columns, **data},
        model={"type": "sequential", "layers": layers},
        loss={"type": "CTCLoss"},
        optimizer={"type": "Adam", "lr": 0.05},
        training=training,
    )
    target = torch.from_numpy(np.column_stack([steps, length, codes]))
    lesson = Lesson(
        network=lambda: nn.Sequential(EveryStep(2, 5, batch_first=True), nn.Linear(5, 4), nn.LogSoftmax(-1)),
        loss=lambda network, features, target: nn.functional.ctc_loss(
            network(features).transpose(0, 1), target[:, 2:], target[:, 0], target[:, 1]
        ),
        train=(torch.from_numpy(inputs).float(), target),
        optimizer={"type": "Adam", "lr": 0.05},
        training=training,
    ).run()
    history, fit = trained(plan)
    assert history["train_loss"] == lesson.train_loss
    assert all(torch.equal(fit.state_dict[name], tensor) for name, tensor in lesson.state.items())


def test_every_loss_has_its_lesson() -> None:
    named = {case.sent["type"] for case in LOSSES.values()} | COMPARISONS.keys() | {"CTCLoss"}
    assert named == {member.__name__ for member in get_args(get_args(LossSpec)[0])}
