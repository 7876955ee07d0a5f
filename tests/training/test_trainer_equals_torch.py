"""The trainer gives, to the last bit, what the plain PyTorch loop of a textbook gives."""

import math
from typing import Any

import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from service.spec.job import JobSpec
from service.spec.losses import LossSpec
from service.spec.optimizers import OptimizerSpec
from service.training.callbacks import Callback, Pulse
from service.training.data import DTYPES
from service.training.trainer import Fit, Trainer
from tests.training.jobs import inline_job, tensors_of

LR = st.sampled_from([1e-4, 1e-3, 1e-2, 0.05])
SHARE = st.sampled_from([0.0, 0.1, 0.5, 0.9])
DECAY = st.sampled_from([0.0, 0.01, 0.3])
EPS = st.sampled_from([1e-8, 1e-4])
WIDTH = st.sampled_from([0.01, 0.5, 1.0, 3.0])

LOSSES = st.one_of(
    st.just({"type": "MSELoss"}),
    st.just({"type": "L1Loss"}),
    st.fixed_dictionaries({"type": st.just("SmoothL1Loss")}, optional={"beta": WIDTH | st.just(0.0)}),
    st.fixed_dictionaries({"type": st.just("HuberLoss")}, optional={"delta": WIDTH}),
)
ADAMS = {
    "betas": st.tuples(SHARE, SHARE).map(list),
    "eps": EPS,
    "weight_decay": DECAY,
    "amsgrad": st.booleans(),
}
OPTIMIZERS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("SGD"), "lr": LR},
        optional={"momentum": SHARE, "dampening": SHARE, "weight_decay": DECAY},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("SGD"),
            "lr": LR,
            "nesterov": st.just(value=True),
            "momentum": st.sampled_from([0.5, 0.9]),
            "weight_decay": DECAY,
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("RMSprop"), "lr": LR},
        optional={
            "alpha": SHARE,
            "eps": EPS,
            "weight_decay": DECAY,
            "momentum": SHARE,
            "centered": st.booleans(),
        },
    ),
    st.fixed_dictionaries({"type": st.just("Adam"), "lr": LR}, optional=ADAMS),
    st.fixed_dictionaries({"type": st.just("AdamW"), "lr": LR}, optional=ADAMS),
)
JOBS = st.fixed_dictionaries(
    {
        "rows": st.integers(2, 13),
        "features": st.integers(1, 4),
        "data_seed": st.integers(0, 1000),
        "loss": LOSSES,
        "optimizer": OPTIMIZERS,
        "bias": st.booleans(),
        "epochs": st.integers(1, 6),
        "batch_size": st.sampled_from(["full", "auto", 1, 2, 3, 4, 5, 8, 16]),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 2**63 - 1),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


def without_type(spec: LossSpec | OptimizerSpec) -> dict[str, Any]:
    return dict(spec.model_dump(exclude={"type"}))


def batches_of(spec: JobSpec) -> list[Any] | DataLoader[Any]:
    """All rows at once, or what a DataLoader gives."""
    features, target = tensors_of(spec)
    size = spec.training.batch_size
    if size == "full" or size >= len(features):
        return [(features, target)]
    generator = torch.Generator().manual_seed(spec.training.seed)
    dataset = TensorDataset(features, target)
    return DataLoader(dataset, batch_size=size, shuffle=spec.training.shuffle, generator=generator)


def textbook_loop(spec: JobSpec) -> tuple[list[float], torch.nn.Linear]:
    batches = batches_of(spec)
    rows = len(tensors_of(spec)[0])
    torch.manual_seed(spec.training.seed)
    model = torch.nn.Linear(len(spec.data.feature_names), 1, bias=spec.model.bias).to(
        DTYPES[spec.training.dtype]
    )
    loss_function = getattr(torch.nn, spec.loss.type)(**without_type(spec.loss))
    optimizer = getattr(torch.optim, spec.optimizer.type)(model.parameters(), **without_type(spec.optimizer))
    history = []
    for _ in range(spec.training.epochs):
        total = 0.0
        for features, target in batches:
            optimizer.zero_grad()
            loss = loss_function(model(features), target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(features)
        history.append(loss.item() if len(batches) == 1 else total / rows)
    return history, model


def is_finite(history: list[float], model: torch.nn.Module) -> bool:
    """Tell whether a training is one to compare: some optimizers divide by zero with parameters that torch allows."""
    return all(map(math.isfinite, history)) and all(bool(p.isfinite().all()) for p in model.parameters())


class Record(Callback):
    def __init__(self) -> None:
        self.train_loss: list[float] = []
        self.learning_rate: list[float] = []

    def on_pulse(self, pulse: Pulse) -> None:
        self.train_loss += pulse.train_loss
        self.learning_rate += pulse.learning_rate


def trained(spec: JobSpec) -> tuple[Record, Fit]:
    record = Record()
    return record, Trainer(spec, callbacks=[record]).fit()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(job=JOBS)
@example({"rows": 7, "batch_size": 3, "seed": 0})
@example({"rows": 7, "batch_size": 1, "shuffle": False})
@example({"rows": 7, "batch_size": 7, "shuffle": True})
@example({"rows": 7, "batch_size": 8, "shuffle": True})
@example({"rows": 8, "batch_size": "auto", "dtype": "float64"})
def test_history_and_parameters_equal_the_textbook_loop(job: dict[str, Any]) -> None:
    spec = inline_job(**job)
    history, model = textbook_loop(spec)
    assume(is_finite(history, model))
    record, fit = trained(spec)

    assert record.train_loss == history
    assert record.learning_rate == [spec.optimizer.lr] * len(history)
    assert (fit.stop_reason, fit.epochs) == ("completed", spec.training.epochs)
    assert fit.state_dict.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(fit.state_dict[name], tensor)
        assert fit.state_dict[name].dtype == tensor.dtype


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(job=JOBS)
def test_the_reported_loss_is_that_of_the_final_parameters_over_all_rows(job: dict[str, Any]) -> None:
    spec = inline_job(**job)
    features, target = tensors_of(spec)
    fit = Trainer(spec).fit()

    loss_function = getattr(torch.nn, spec.loss.type)(**without_type(spec.loss))
    bias = fit.state_dict.get("bias")
    with torch.no_grad():
        loss = loss_function(
            torch.nn.functional.linear(features, fit.state_dict["weight"], bias), target
        ).item()
    assume(math.isfinite(loss))
    precision = torch.finfo(DTYPES[spec.training.dtype]).eps
    assert fit.train_loss is not None
    assert abs(fit.train_loss - loss) <= 32 * precision * max(1.0, loss)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(job=JOBS)
def test_a_training_repeats_itself_to_the_last_bit(job: dict[str, Any]) -> None:
    assume(is_finite(*textbook_loop(inline_job(**job))))
    first_record, first = trained(inline_job(**job))
    second_record, second = trained(inline_job(**job))
    assert first_record.train_loss == second_record.train_loss
    assert first.train_loss == second.train_loss
    assert all(torch.equal(first.state_dict[name], second.state_dict[name]) for name in first.state_dict)


def test_an_epoch_of_batches_has_the_mean_loss_of_its_rows_not_of_its_batches() -> None:
    spec = inline_job(rows=5, batch_size=4, shuffle=False, epochs=1, optimizer={"type": "SGD", "lr": 1e-30})
    features, target = tensors_of(spec)
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    large, small = (
        torch.nn.functional.mse_loss(model(features[s]), target[s]).item() for s in (slice(4), slice(4, 5))
    )
    record, _ = trained(spec)
    assert record.train_loss == [(large * 4 + small * 1) / 5]


def test_both_number_formats_start_from_the_same_parameters() -> None:
    still = {"type": "SGD", "lr": 1e-30}
    single = Trainer(inline_job(dtype="float32", optimizer=still, epochs=1)).network.state_dict()
    double = Trainer(inline_job(dtype="float64", optimizer=still, epochs=1)).network.state_dict()
    assert all(torch.equal(single[name].double(), double[name]) for name in single)


def test_another_seed_is_another_start() -> None:
    starts = [Trainer(inline_job(seed=seed)).network.state_dict()["weight"].item() for seed in (0, 1)]
    assert starts[0] != starts[1]


def test_without_shuffling_the_rows_are_taken_in_the_order_sent() -> None:
    spec = inline_job(rows=5, batch_size=2, shuffle=False)
    first, second = (list(Trainer(spec)._batches.epoch()) for _ in range(2))
    features, _ = tensors_of(spec)
    assert torch.equal(torch.cat([batch[0] for batch in first]), features)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


def test_each_epoch_holds_every_row_once_and_has_an_order_of_its_own() -> None:
    batches = Trainer(inline_job(rows=9, batch_size=2))._batches
    epochs = [torch.cat([features for features, _ in batches.epoch()]).flatten().tolist() for _ in range(4)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_rows_may_be_handed_over_instead_of_loaded() -> None:
    spec = inline_job()
    from service.training.data import load

    own, given_rows = Trainer(spec).fit(), Trainer(spec, table=load(spec.data)).fit()
    assert torch.equal(own.state_dict["weight"], given_rows.state_dict["weight"])
