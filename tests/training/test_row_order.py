"""The order of the rows, the start of the parameters and the loss that is reported are those of plain torch."""

import math

import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from service.training.frames import load
from service.training.rows import DTYPES, Batches, Table
from tests.training.jobs import STILL, all_finite, inline_job, tensors_of, trained, trainer

JOBS = st.fixed_dictionaries(
    {
        "rows": st.integers(2, 13),
        "features": st.integers(1, 4),
        "data_seed": st.integers(0, 1000),
        "loss": st.sampled_from(
            [{"type": "MSELoss"}, {"type": "L1Loss"}, {"type": "HuberLoss", "delta": 0.5}]
        ),
        "optimizer": st.sampled_from([{"type": "SGD", "lr": 0.01}, {"type": "Adam", "lr": 0.1}]),
        "bias": st.booleans(),
        "epochs": st.integers(1, 6),
        "batch_size": st.sampled_from(["full", "auto", 1, 2, 3, 4, 5, 8, 16]),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 2**63 - 1),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(job=JOBS)
def test_the_reported_loss_is_that_of_the_final_parameters_over_all_rows(job: dict[str, object]) -> None:
    plan = inline_job(**job)  # type: ignore[arg-type] # drawn by name
    features, target = tensors_of(plan)
    fit = trainer(plan).fit()

    loss_function = getattr(torch.nn, plan.spec.loss.type)(**plan.spec.loss.model_dump(exclude={"type"}))
    bias = fit.state_dict.get("bias")
    outputs = torch.nn.functional.linear(features, fit.state_dict["weight"], bias)
    loss = loss_function(outputs, target).item()
    assume(math.isfinite(loss))
    precision = torch.finfo(DTYPES[plan.spec.training.dtype]).eps
    assert fit.train_loss is not None
    assert abs(fit.train_loss - loss) <= 32 * precision * max(1.0, loss)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(job=JOBS)
def test_a_training_repeats_itself_to_the_last_bit(job: dict[str, object]) -> None:
    first_record, first = trained(inline_job(**job))  # type: ignore[arg-type] # drawn by name
    assume(all_finite(first_record["train_loss"], first.state_dict))
    second_record, second = trained(inline_job(**job))  # type: ignore[arg-type] # drawn by name
    assert first_record["train_loss"] == second_record["train_loss"]
    assert first.train_loss == second.train_loss
    assert all(torch.equal(first.state_dict[name], second.state_dict[name]) for name in first.state_dict)


def test_an_epoch_of_batches_has_the_mean_loss_of_its_rows_not_of_its_batches() -> None:
    plan = inline_job(rows=5, batch_size=4, shuffle=False, epochs=1, optimizer={"type": "SGD", "lr": 1e-30})
    features, target = tensors_of(plan)
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    large, small = (
        torch.nn.functional.mse_loss(model(features[s]), target[s]).item() for s in (slice(4), slice(4, 5))
    )
    record, _ = trained(plan)
    assert record["train_loss"] == [(large * 4 + small * 1) / 5]


def test_both_number_formats_start_from_the_same_parameters() -> None:
    single = trainer(inline_job(dtype="float32", optimizer=STILL, epochs=1)).fit().state_dict
    double = trainer(inline_job(dtype="float64", optimizer=STILL, epochs=1)).fit().state_dict
    assert all(torch.equal(single[name].double(), double[name]) for name in single)


def test_another_seed_is_another_start() -> None:
    starts = [
        trainer(inline_job(seed=seed, optimizer=STILL)).fit().state_dict["weight"].item() for seed in (0, 1)
    ]
    assert starts[0] != starts[1]


def epochs_of(
    count: int, *, rows: int, batch_rows: int, shuffle: bool, drop_last: bool = False
) -> list[list[float]]:
    """The rows of each epoch, numbered, in the order in which they are trained on."""
    numbers = torch.arange(float(rows)).unsqueeze(1)
    batches = Batches(
        Table(numbers, numbers), batch_rows=batch_rows, shuffle=shuffle, seed=0, drop_last=drop_last
    )
    return [torch.cat([batch.features for batch in batches.epoch()]).flatten().tolist() for _ in range(count)]


def test_without_shuffling_the_rows_are_taken_in_the_order_sent() -> None:
    assert epochs_of(2, rows=5, batch_rows=2, shuffle=False) == [[0, 1, 2, 3, 4]] * 2


def test_each_epoch_holds_every_row_once_and_has_an_order_of_its_own() -> None:
    epochs = epochs_of(4, rows=9, batch_rows=2, shuffle=True)
    assert all(sorted(epoch) == list(range(9)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_smaller_last_batch_is_dropped_where_asked() -> None:
    assert epochs_of(1, rows=5, batch_rows=2, shuffle=False, drop_last=True) == [[0, 1, 2, 3]]
    assert epochs_of(1, rows=4, batch_rows=2, shuffle=False, drop_last=True) == [[0, 1, 2, 3]]


def test_the_rows_of_a_frame_are_those_of_the_spec() -> None:
    plan = inline_job()
    frame = load(plan.spec.data)
    assert {name: values.tolist() for name, values in frame.arrays.items()} == {
        name: list(values) for name, values in plan.spec.data.table.items()
    }


def test_an_epoch_that_was_put_down_anywhere_goes_on_with_the_batches_that_are_left() -> None:
    rows = Table(torch.arange(7.0)[:, None], torch.zeros(7, 1))
    for shuffle in (False, True):
        whole = [batch.features.flatten().tolist() for batch in _seven(rows, shuffle=shuffle).epoch()]
        for done in range(len(whole) + 1):
            left = _seven(rows, shuffle=shuffle).epoch(done=done)
            assert [batch.features.flatten().tolist() for batch in left] == whole[done:]


def _seven(rows: Table, *, shuffle: bool) -> Batches:
    return Batches(rows, batch_rows=3, shuffle=shuffle, seed=1)
