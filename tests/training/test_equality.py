"""Whatever a job combines, its history and its parameters are those of a plain torch loop, to the last bit."""

from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from service.spec.plan import Plan
from service.training.trainer import Fit
from tests.training.jobs import History, job, trained
from tests.training.lessons import (
    LOSSES,
    MODELS,
    TARGETS,
    Features,
    LossCase,
    ModelCase,
    features_for,
    fits,
    second_degree,
)
from tests.training.textbook import Lesson

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"type": "SGD", "lr": 0.05},
    "SGD with momentum": {"type": "SGD", "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "SGD with dampening": {"type": "SGD", "lr": 0.02, "momentum": 0.5, "dampening": 0.3},
    "RMSprop": {"type": "RMSprop", "lr": 0.01, "alpha": 0.9, "momentum": 0.3, "centered": True},
    "Adam": {"type": "Adam", "lr": 0.02, "betas": [0.8, 0.99], "weight_decay": 0.1, "amsgrad": True},
    "Adam by default": {"type": "Adam"},
    "AdamW": {"type": "AdamW", "lr": 0.02, "weight_decay": 0.3},
    "Adamax": {"type": "Adamax", "lr": 0.02},
    "NAdam": {"type": "NAdam", "lr": 0.02, "decoupled_weight_decay": True, "weight_decay": 0.1},
    "RAdam": {"type": "RAdam", "lr": 0.02},
    "Adagrad": {"type": "Adagrad", "lr": 0.05, "lr_decay": 0.1, "initial_accumulator_value": 0.1},
    "Adadelta": {"type": "Adadelta", "rho": 0.8},
    "Adafactor": {"type": "Adafactor", "lr": 0.05},
    "ASGD": {"type": "ASGD", "lr": 0.02, "t0": 2},
    "Rprop": {"type": "Rprop", "lr": 0.02, "etas": [0.4, 1.3]},
    "LBFGS": {"type": "LBFGS", "lr": 0.5, "max_iter": 3, "history_size": 4},
    "LBFGS with a line search": {"type": "LBFGS", "max_iter": 4, "line_search_fn": "strong_wolfe"},
    "Muon": {"type": "Muon", "lr": 0.02},
    "a group for the weights": {
        "type": "AdamW",
        "lr": 0.03,
        "groups": [{"parameters": ["*weight"], "lr": 0.01, "weight_decay": 0.5}],
    },
}
SCHEDULERS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "StepLR": {"type": "StepLR", "step_size": 2, "gamma": 0.5},
    "StepLR by step": {"type": "StepLR", "step_size": 3, "gamma": 0.5, "interval": "step"},
    "StepLR after a warm-up of steps": {"type": "StepLR", "step_size": 1, "warmup": {"steps": 2}},
    "MultiStepLR": {"type": "MultiStepLR", "milestones": [1, 3], "gamma": 0.3},
    "ConstantLR": {"type": "ConstantLR", "factor": 0.5, "total_iters": 2},
    "LinearLR": {"type": "LinearLR", "start_factor": 0.25, "total_iters": 3, "interval": "step"},
    "ExponentialLR": {"type": "ExponentialLR", "gamma": 0.8},
    "ExponentialLR after a warm-up": {
        "type": "ExponentialLR",
        "gamma": 0.8,
        "warmup": {"epochs": 2, "start_factor": 0.1},
    },
    "PolynomialLR": {"type": "PolynomialLR", "power": 2.0},
    "CosineAnnealingLR": {"type": "CosineAnnealingLR", "interval": "step"},
    "CosineAnnealingLR after a warm-up": {"type": "CosineAnnealingLR", "T_max": 3, "warmup": {"epochs": 1}},
    "CosineAnnealingWarmRestarts": {"type": "CosineAnnealingWarmRestarts", "T_0": 2, "eta_min": 0.001},
    "CyclicLR": {
        "type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.05, "step_size_up": 3, "mode": "triangular2", "cycle_momentum": False,
    },
    "OneCycleLR": {"type": "OneCycleLR", "max_lr": 0.05, "pct_start": 0.4, "cycle_momentum": False},
    "ReduceLROnPlateau": {"type": "ReduceLROnPlateau", "factor": 0.5, "patience": 0, "threshold": 0.2},
    "ReduceLROnPlateau after a warm-up": {
        "type": "ReduceLROnPlateau", "patience": 0, "threshold": 0.5, "warmup": {"epochs": 1},
    },
    "SequentialLR": {
        "type": "SequentialLR",
        "schedulers": [{"type": "LinearLR", "total_iters": 2}, {"type": "ExponentialLR", "gamma": 0.7}],
        "milestones": [2],
    },
    "ChainedScheduler": {
        "type": "ChainedScheduler",
        "schedulers": [{"type": "ConstantLR", "total_iters": 2}, {"type": "ExponentialLR", "gamma": 0.9}],
    },
}  # fmt: skip
REGULARIZATION: dict[str, dict[str, Any]] = {
    "none": {},
    "l1": {"l1": 0.02},
    "l2": {"l2": 0.05},
    "both": {"l1": 0.01, "l2": 0.02},
    "clipped": {"clip_grad_norm": 0.3},
    "all": {"l1": 0.01, "l2": 0.02, "clip_grad_norm": 0.5, "clip_grad_value": 0.2},
}
STOPPING: dict[str, dict[str, Any] | None] = {
    "none": None,
    "impatient": {"patience": 1, "min_delta": 0.01},
    "patient": {"patience": 2},
    "last kept": {"patience": 1, "min_delta": 0.05, "restore_best": False},
    "train loss": {"patience": 1, "min_delta": 0.02, "monitor": "train_loss"},
}
JOBS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(list(MODELS)),
        "loss": st.sampled_from(list(LOSSES)),
        "optimizer": st.sampled_from(list(OPTIMIZERS)),
    },
    optional={
        "scheduler": st.sampled_from(list(SCHEDULERS)),
        "regularization": st.sampled_from(list(REGULARIZATION)),
        "stopping": st.sampled_from(list(STOPPING)),
        "rows": st.integers(6, 13),
        "width": st.integers(1, 3),
        "targets": st.integers(1, 2),
        "data_seed": st.integers(0, 1000),
        "dev": st.sampled_from([0.0, 0.25, 0.4]),
        "weighted": st.booleans(),
        "scaled": st.booleans(),
        "batch_size": st.sampled_from(["full", 2, 3, 4, 5, 8, 16]),
        "shuffle": st.booleans(),
        "drop_last": st.booleans(),
        "epochs": st.integers(3, 6),
        "seed": st.integers(0, 2**63 - 1),
        "dtype": st.sampled_from(["float32", "float64"]),
    },
)


class Pair:
    """One job twice: as it is sent, and as a lesson."""

    def __init__(self, chosen: dict[str, Any]) -> None:
        self.chosen = chosen
        self.model: ModelCase = MODELS[chosen["model"]]
        self.loss: LossCase = LOSSES[chosen["loss"]]
        self.optimizer = OPTIMIZERS[chosen["optimizer"]]
        self._draw()
        self.training = self._training()

    def _draw(self) -> None:
        rng = np.random.default_rng(self.chosen.get("data_seed", 0))
        self.rows = self.chosen.get("rows", 8)
        self.features: Features = features_for(self.model.rows, rng, self.rows, self.chosen.get("width", 2))
        self.target = TARGETS[self.loss.target](rng, self.rows, self.chosen.get("targets", 1))
        self.weights = rng.uniform(0.1, 2.0, self.rows)
        self.weighted = self.chosen.get("weighted", False) and self.loss.rows is not None
        self.dev_rows = round(self.rows * self.chosen.get("dev", 0.0))
        self.train_rows = self.rows - self.dev_rows
        self.dtype = getattr(torch, self.chosen.get("dtype", "float32"))

    def _training(self) -> dict[str, Any]:
        size = self.chosen.get("batch_size", "full")
        training = {
            "epochs": self.chosen.get("epochs", 4),
            "seed": self.chosen.get("seed", 0),
            "batch_size": size,
            "shuffle": self.chosen.get("shuffle", True),
            "dtype": self.chosen.get("dtype", "float32"),
        }
        # A last batch of one row cannot be normalized, and the service refuses it.
        lonely = self.model.batch_norm and size != "full" and self.train_rows % size == 1
        if size != "full":
            training["drop_last"] = lonely or self.chosen.get("drop_last", False)
        stopping = STOPPING[self.chosen.get("stopping", "none")]
        if stopping is not None and (self.dev_rows or stopping.get("monitor") == "train_loss"):
            training["early_stopping"] = stopping
        return training

    @property
    def sent(self) -> Plan:
        columns = {**self.features.columns, **self.target.columns}
        selection: dict[str, Any] = {
            "target": list(self.target.columns),
            "features": list(self.features.columns),
        }
        if self.weighted:
            columns["w"], selection["weight"] = self.weights.tolist(), "w"
        share = self.dev_rows / self.rows
        sections: dict[str, Any] = {
            "evaluation": {"metrics": [], **({"split": {"type": "order", "dev": share}} if share else {})},
            "regularization": self.regularization,
            "preprocessing": {"scaling": "standardize", "arrays": "standardize"} if self._is_scaled else {},
        }
        if self.scheduler is not None:
            sections["scheduler"] = self.scheduler
        activation = {"output_activation": self.loss.activation[0]} if self.loss.activation else {}
        return job(
            {"type": "inline", "columns": columns, **selection},
            model={**self.model.sent, **activation},
            loss=self.loss.sent,
            optimizer=self.optimizer,
            training=self.training,
            **sections,
        )

    @property
    def regularization(self) -> dict[str, Any]:
        return REGULARIZATION[self.chosen.get("regularization", "none")]

    @property
    def scheduler(self) -> dict[str, Any] | None:
        return SCHEDULERS[self.chosen.get("scheduler", "none")]

    @property
    def _is_scaled(self) -> bool:
        return self.chosen.get("scaled", False) and self.model.rows == "table"

    @property
    def lesson(self) -> Lesson:
        table = self.features.table
        if self.chosen["model"] == "polynomial":
            table = second_degree(table)
        if self._is_scaled:
            # The figures come from the training rows alone.
            train = np.ascontiguousarray(table[: self.train_rows].T)
            table = (table - train.mean(axis=1)) / train.std(axis=1)
        target = self.target.tensor
        tensors = [
            torch.from_numpy(table).to(self.dtype),
            target.to(self.dtype) if target.is_floating_point() else target,
        ]
        if self.weighted:
            tensors.append(torch.from_numpy(self.weights).to(self.dtype))
        dev = tuple(one[self.train_rows :] for one in tensors)
        return Lesson(
            network=lambda: self._network(table.shape[1]),
            loss=self.loss.by_hand,
            row_losses=self.loss.rows,
            train=tuple(one[: self.train_rows].clone() for one in tensors),
            dev=dev if self.dev_rows else None,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            regularization=self.regularization,
            training=self.training,
            dtype=self.dtype,
        )

    def _network(self, inputs: int) -> nn.Module:
        layers = self.model.layers(inputs, self.loss.outputs(len(self.target.columns)))
        if self.loss.activation is not None:
            layers.append(self.loss.activation[1]())
        return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def is_comparable(chosen: dict[str, Any]) -> bool:
    """Tell whether the service takes the parts of a job together."""
    model, loss = MODELS[chosen["model"]], LOSSES[chosen["loss"]]
    # A cycle sets one learning rate in all groups of parameters.
    grouped = "groups" in OPTIMIZERS[chosen["optimizer"]] and chosen.get("scheduler") in {
        "CyclicLR",
        "OneCycleLR",
    }
    return fits(model, loss) and (model.matrices or chosen["optimizer"] != "Muon") and not grouped


def finished(lesson: Lesson) -> bool:
    """Train by hand; tell whether all went well, so that there is something to compare with."""
    try:
        lesson.run()
    except ZeroDivisionError:  # Torch's own line search, between two equal points.
        return False
    return lesson.is_finite


def assert_equal(pair: Pair, lesson: Lesson) -> None:
    """Train as a job, and compare every bit with the finished lesson."""
    assert_same(*trained(pair.sent), lesson)


def assert_same(history: History, fit: Fit, lesson: Lesson) -> None:
    """Compare every bit of a job with the finished lesson."""
    assert history["train_loss"] == lesson.train_loss
    assert history["learning_rate"] == lesson.learning_rate
    assert history.columns.get("dev_loss", []) == lesson.dev_loss
    assert fit.trained.kept_epoch == lesson.kept_epoch
    assert list(fit.state_dict) == list(lesson.state)
    for name, tensor in lesson.state.items():
        assert torch.equal(fit.state_dict[name], tensor), name
        assert fit.state_dict[name].dtype == tensor.dtype


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(chosen=JOBS)
@example({"model": "linear", "loss": "MSELoss", "optimizer": "SGD", "batch_size": 3, "rows": 7})
@example({"model": "linear", "loss": "MSELoss", "optimizer": "SGD", "batch_size": 7, "rows": 7})
@example({"model": "mlp with dropout", "loss": "CrossEntropyLoss", "optimizer": "LBFGS", "batch_size": 4})
@example(
    {"model": "cnn with batch norm", "loss": "NLLLoss", "optimizer": "Adam", "batch_size": 4, "dev": 0.4}
)
@example(
    {"model": "mlp", "loss": "MSELoss", "optimizer": "SGD", "dev": 0.4, "stopping": "impatient", "epochs": 6}
)
@example(
    {
        "model": "mlp",
        "loss": "MSELoss",
        "optimizer": "Adam",
        "dev": 0.4,
        "scheduler": "ReduceLROnPlateau",
        "epochs": 6,
    }
)
@example(
    {
        "model": "mlp with batch norm",
        "loss": "MSELoss",
        "optimizer": "AdamW",
        "dev": 0.4,
        "stopping": "patient",
        "weighted": True,
    }
)
@example(
    {
        "model": "sequential with an LSTM",
        "loss": "BCEWithLogitsLoss",
        "optimizer": "Rprop",
        "regularization": "all",
    }
)
def test_history_and_parameters_equal_the_textbook_loop(chosen: dict[str, Any]) -> None:
    assume(is_comparable(chosen))
    pair = Pair(chosen)
    lesson = pair.lesson
    assume(finished(lesson))
    history, fit = trained(pair.sent)
    # Where the last step itself makes the loss overflow, the job keeps the parameters from before it.
    assume(fit.stop_reason != "diverged")
    assert_same(history, fit, lesson)
