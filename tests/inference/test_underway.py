"""A checkpoint predicts what the job would have predicted had it ended there."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from service.exceptions import CheckpointUnusable
from service.inference.grouped import predictor_of
from service.inference.underway import parameters_at
from service.spec.plan import Plan
from service.training import weights
from service.training.callbacks import Callback, Pulse
from service.training.checkpoint import Checkpoint, from_bytes, to_bytes
from service.training.quadratic import training as quadratic
from tests.training.jobs import inline, job, trainer
from tests.training.resumed import assert_same, changed, pulses_at_every_chance, resumed, undisturbed

NUMBERS = {
    "x": [1.0, 2.5, None, 4.0, -3.0, 0.5],
    "z": ["a", "b", "a", "b", "c", "a"],
    "y": [1.0, 2.0, 2.0, 5.0, -1.0, 0.0],
}
ASKED = {"x": [0.5, None, -8.0], "z": ["c", "a", "b"]}
FILLED = {"missing": "mean", "scaling": "standardize", "columns": {"z": {"missing": "drop"}}}
LINE = {"x": [1.0, 2.0, 3.0, 4.0], "y": [3.0, 5.0, 7.0, 9.5]}
IMAGES = {
    "v": [[[float(i + j + k) for i in range(4)] for j in range(4)] for k in range(6)],
    "y": [0, 1, 1, 0, 1, 0],
}
MLP = {
    "model": {"type": "mlp", "hidden": [4], "activation": "Tanh"},
    "optimizer": {"type": "Adam", "lr": 0.05},
}

JOBS: dict[str, tuple[Plan, str]] = {
    "numbers and categories": (job(inline(NUMBERS), preprocessing=FILLED, **MLP), "eager"),
    "embedded categories": (
        job(inline(NUMBERS), preprocessing=FILLED | {"columns": {"z": {"encoding": "embedding"}}}, **MLP),
        "eager",
    ),
    "images and batch norm": (
        job(
            inline(IMAGES),
            model={"type": "cnn", "blocks": [{"channels": 2, "normalization": "batch"}]},
            loss={"type": "BCEWithLogitsLoss"},
        ),
        "eager",
    ),
    "early stopping": (
        job(
            inline(LINE),
            training={"early_stopping": {"monitor": "train_loss", "patience": 2}},
            preprocessing={"scaling": "standardize", "target_scaling": "standardize"},
        ),
        "eager",
    ),
    "dense": (job(inline(LINE), **MLP), "dense"),
    "quadratic": (job(inline(LINE), preprocessing={"scaling": "standardize"}), "quadratic"),
}


@pytest.fixture(autouse=True, scope="module")
def _pulses() -> Iterator[None]:
    with pulses_at_every_chance(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadratic, "CHUNK_EPOCHS", 3)
        yield


class Taking(Callback):
    """Takes a checkpoint at every pulse; of each epoch the first is kept."""

    def __init__(self) -> None:
        self.at: dict[int, bytes] = {}

    def on_pulse(self, pulse: Pulse) -> None:
        if pulse.checkpoint is not None:
            taken = pulse.checkpoint()
            self.at.setdefault(taken.epoch, to_bytes(taken))


def taken(plan: Plan, *, engine: str = "eager") -> dict[int, bytes]:
    taking = Taking()
    trainer(plan, engine=engine, callbacks=[taking]).fit()
    return taking.at


def ended(plan: Plan, *, engine: str = "eager", **training: object) -> bytes:
    """What the job leaves with another training."""
    shorter = plan.with_changes(training=plan.spec.training.model_copy(update=training))
    fit = trainer(shorter, engine=engine).fit()
    return weights.to_bytes(fit.state_dict, fit.preparation)


def same(one: bytes, other: bytes) -> bool:
    mine, theirs = weights.from_bytes(one), weights.from_bytes(other)
    return weights.preparation_of(one) == weights.preparation_of(other) and all(
        torch.equal(mine[name], theirs[name]) for name in {**mine, **theirs}
    )


@pytest.mark.parametrize("name", JOBS)
def test_the_parameters_are_those_of_a_job_of_so_many_epochs(name: str) -> None:
    plan, engine = JOBS[name]
    found = parameters_at(plan.spec, taken(plan, engine=engine)[3])
    assert same(found, ended(plan, engine=engine, epochs=3))
    assert not same(found, ended(plan, engine=engine))


def test_it_predicts_rows_as_they_are_sent() -> None:
    plan, _ = JOBS["numbers and categories"]
    found = predictor_of(plan.spec, parameters_at(plan.spec, taken(plan)[3])).predict(ASKED)
    expected = predictor_of(plan.spec, ended(plan, epochs=3)).predict(ASKED)
    assert found.columns["y"].tolist() == expected.columns["y"].tolist()  # type: ignore[union-attr]


def test_of_several_trainings_it_is_the_one_under_way() -> None:
    plan = job(inline(LINE), training={"restarts": 2, "epochs": 4})
    found = parameters_at(plan.spec, taken(plan)[6])
    assert same(found, ended(plan, epochs=2, restarts=1, seed=1))


def test_of_folds_it_has_the_preparation_of_the_fold() -> None:
    plan = job(
        inline({**LINE, "x": [1.0, 2.0, 3.0, 10.0]}),
        preprocessing={"scaling": "standardize"},
        evaluation={"folds": {"k": 2}},
        training={"epochs": 4},
    )
    at = taken(plan)
    first, final = (weights.preparation_of(parameters_at(plan.spec, at[epoch])) for epoch in (2, 10))
    assert final.shift == (4.0,)
    assert first.shift != final.shift


def test_in_the_midst_of_an_epoch_it_is_what_the_steps_have_made() -> None:
    plan = job(inline(LINE), training={"epochs": 1, "batch_size": 1, "shuffle": False})
    found = weights.from_bytes(parameters_at(plan.spec, taken(plan)[0]))
    begun = from_bytes(taken(plan)[0]).state["training"]
    assert begun["cursor"]["batches"] == 1
    assert torch.equal(found["weight"], begun["network"]["weight"])


def without_preparation(state: dict[str, Any]) -> None:
    """Make it a state of the version before."""
    del state["preparation"]
    if "away" in state["training"]:
        del state["training"]["network"]


@pytest.mark.parametrize("name", ["numbers and categories", "quadratic"])
def test_a_job_goes_on_from_a_checkpoint_of_the_version_before(name: str) -> None:
    plan, engine = JOBS[name]
    make = functools.partial(trainer, plan, engine=engine)
    assert_same(resumed(make, [1], change=without_preparation), undisturbed(make), make)


def test_a_checkpoint_of_the_version_before_predicts_nothing() -> None:
    plan, _ = JOBS["dense"]
    old = to_bytes(changed(from_bytes(taken(plan)[2]), without_preparation))
    with pytest.raises(CheckpointUnusable, match="older version"):
        parameters_at(plan.spec, old)


def test_what_is_no_checkpoint_of_this_job_predicts_nothing() -> None:
    plan, _ = JOBS["dense"]
    other, _ = JOBS["quadratic"]
    for wrong in (taken(other)[3], b"no checkpoint", to_bytes(Checkpoint(1, 0.5, {"preparation": "{}"}))):
        with pytest.raises(CheckpointUnusable):
            parameters_at(plan.spec, wrong)


def test_a_job_with_groups_predicts_nothing_before_its_end() -> None:
    sensors = {"sensor": ["a", "b"] * 2, **LINE}
    plan = job(inline(sensors, group_by="sensor"))
    with pytest.raises(CheckpointUnusable, match="groups"):
        parameters_at(plan.spec, b"")
