"""The effective spec holds every choice, and sent again it is the same job; its cost is known by arithmetic."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.spec.estimates import (
    BATCH_MEMORY_BUDGET,
    estimated_seconds,
    job_bytes,
    largest_batch,
)
from service.spec.job import JobSpec
from service.spec.plan import Plan
from tests.conftest import TUTORIAL
from tests.spec.specs import LEFT_OUT, changed, parsed, with_inline

ROWS = [{"x": 0, "z": 5, "y": 1}, {"x": 1, "z": 4, "y": 3}]

OPEN_SPECS: dict[str, dict[str, Any]] = {
    "the tutorial": TUTORIAL,
    "no seed": changed("/training/seed", LEFT_OUT),
    "automatic batches": changed("/training/batch_size", "auto"),
    "a batch larger than the data": changed("/training/batch_size", 1000),
    "no noise": changed("/data/noise", None),
    "uniform noise": changed("/data/noise", {"distribution": "uniform", "half_width": 1}),
    "defaults of a distribution": changed("/data/features/x", {"distribution": "normal"}),
    "Adam by default": changed("/optimizer", {"type": "Adam"}),
    "columns": with_inline(target="y", columns={"x": [0, 1, 2], "y": [1, 3, 5]}),
    "rows": with_inline(target="y", rows=ROWS),
    "rows of one feature": with_inline(target="y", rows=ROWS, features=["z"]),
    "a name and metadata": {**TUTORIAL, "name": "ähm", "metadata": {"team": "a"}},
}


@pytest.mark.parametrize("sent", OPEN_SPECS.values(), ids=OPEN_SPECS)
def test_the_effective_spec_sent_again_is_the_same_job(sent: dict[str, Any]) -> None:
    plan = parsed(sent)
    again = JobSpec.model_validate_json(plan.spec.model_dump_json())
    assert again == plan.spec
    assert parsed(again.model_dump(mode="json")).spec == plan.spec


def test_a_seed_is_drawn_where_none_was_given() -> None:
    seeds = {parsed(changed("/training/seed", LEFT_OUT)).spec.training.seed for _ in range(5)}
    assert None not in seeds
    assert len(seeds) > 1


def test_a_seed_that_was_given_stays() -> None:
    assert parsed(changed("/training/seed", 0)).spec.training.seed == 0


def test_an_automatic_batch_size_becomes_a_number_and_full_stays_full() -> None:
    assert parsed(changed("/training/batch_size", "auto")).spec.training.batch_size == 256
    assert parsed(TUTORIAL).spec.training.batch_size == "full"


def test_the_features_of_inline_data_are_all_columns_but_the_target_in_the_order_sent() -> None:
    assert parsed(with_inline(target="y", rows=ROWS)).spec.data.feature_names() == ("x", "z")
    columns = {"z": [0, 1], "y": [1, 3], "a": [5, 6]}
    assert parsed(with_inline(target="y", columns=columns)).spec.data.feature_names() == ("z", "a")


def test_columns_and_rows_describe_the_same_table() -> None:
    by_row = parsed(with_inline(target="y", rows=ROWS))
    by_column = parsed(with_inline(target="y", columns={"x": [0, 1], "z": [5, 4], "y": [1, 3]}))
    assert by_row.spec.data.table == by_column.spec.data.table
    assert by_row.schema == by_column.schema
    assert by_row.schema.rows == 2


@pytest.mark.parametrize(
    ("batch_size", "rows"), [("full", 256), (1, 1), (100, 100), (256, 256), (1000, 256), ("auto", 256)]
)
def test_a_step_takes_at_most_all_rows(batch_size: object, rows: int) -> None:
    assert parsed(changed("/training/batch_size", batch_size)).batch_rows == rows


@pytest.mark.parametrize(("bias", "count"), [(True, 3), (False, 2)])
def test_the_parameters_are_counted(*, bias: bool, count: int) -> None:
    spec = changed("/model/bias", bias, spec=with_inline(target="y", rows=ROWS))
    assert parsed(spec).parameter_count == count


def test_equal_bodies_are_equal_specs_and_others_are_not() -> None:
    assert parsed(TUTORIAL).spec == parsed(TUTORIAL).spec
    assert parsed(TUTORIAL).spec != parsed(changed("/optimizer/lr", 0.02)).spec


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(2, 10_000_000),
    features=st.integers(1, 40),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_automatic_batch_is_the_largest_power_of_two_that_fits(
    rows: int, features: int, dtype: str
) -> None:
    batch, row_bytes = automatic_batch(rows, features, dtype)
    assert batch.bit_count() == 1
    assert batch <= rows
    assert batch * row_bytes <= BATCH_MEMORY_BUDGET
    assert 2 * batch > rows or 2 * batch * row_bytes > BATCH_MEMORY_BUDGET


def automatic_batch(rows: int, features: int, dtype: str) -> tuple[int, int]:
    plan = sized(rows=rows, features=features, dtype=dtype)
    width = {"float32": 4, "float64": 8}[dtype]
    return largest_batch(plan), (features + 1) * width * 4


def sized(*, rows: int, features: int, dtype: str = "float32", batch_size: object = "full") -> Plan:
    spec = changed("/data/rows", rows)
    spec["data"]["features"] = {f"x{i}": {"distribution": "uniform"} for i in range(features)}
    spec["data"]["target"]["expression"] = "x0"
    spec["training"] |= {"epochs": 1, "dtype": dtype, "batch_size": batch_size}
    return parsed(spec, max_job_bytes=2**60, max_steps=2**60)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(2, 10_000),
    more=st.integers(1, 1000),
    features=st.integers(1, 10),
    batch=st.integers(1, 10_000),
)
def test_a_larger_job_is_never_estimated_smaller(rows: int, more: int, features: int, batch: int) -> None:
    job = sized(rows=rows, features=features, batch_size=batch)
    larger = [
        sized(rows=rows + more, features=features, batch_size=batch),
        sized(rows=rows, features=features + 1, batch_size=batch),
        sized(rows=rows, features=features, batch_size=batch, dtype="float64"),
    ]
    assert all(job_bytes(one) >= job_bytes(job) > 0 for one in larger)


@settings(max_examples=100, deadline=None)
@given(rows=st.integers(2, 10**7), batch=st.integers(1, 10**7))
def test_the_batches_of_an_epoch_hold_every_row_once(rows: int, batch: int) -> None:
    steps = sized(rows=rows, features=1, batch_size=batch).steps_per_epoch
    assert (steps - 1) * batch < rows <= steps * batch


def test_more_steps_and_slower_steps_take_longer() -> None:
    job, small_batches = parsed(TUTORIAL), parsed(changed("/training/batch_size", 1))
    by_steps = parsed(changed("/training/engine", "eager"))
    # Epochs that follow by algebra cost next to nothing.
    assert 0 < 20 * estimated_seconds(job) < estimated_seconds(by_steps) < estimated_seconds(small_batches)
    assert estimated_seconds(by_steps, step_seconds=1.0) == pytest.approx(3000, rel=0.01)
