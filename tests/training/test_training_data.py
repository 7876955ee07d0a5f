"""Drawn rows are those of plain torch code with the same seed, and whatever was accepted can be computed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from service.exceptions import InvalidSpec, TrainingFailed
from service.spec.expression import FUNCTIONS
from service.spec.plan import Plan
from service.training.frames import load
from service.training.preparation import fitted
from service.training.rows import Batch
from tests.spec.specs import parsed, problems_in, with_expression, with_inline
from tests.training.jobs import inline_job, synthetic_job, trainer

ROWS = 50
F64 = torch.float64


def rows_of(plan: Plan) -> Batch:
    """All rows as the network takes them, in float64."""
    double = plan.with_changes(training=plan.spec.training.model_copy(update={"dtype": "float64"}))
    frame = load(plan.spec.data)
    return fitted(double, frame, np.arange(len(frame))).batch(frame, slice(None))


def drawn(**data: object) -> Batch:
    return rows_of(synthetic_job(**{"rows": ROWS, "seed": 3, "noise": None, **data}))


def test_the_tutorials_rows_are_those_of_its_own_code() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(ROWS, generator=generator, dtype=F64)
    y = 5 * x + 7 + 0.25 * torch.randn(ROWS, generator=generator, dtype=F64)
    table = drawn(noise={"distribution": "normal", "std": 0.25})
    assert torch.equal(table.features, x.unsqueeze(1))
    assert torch.equal(table.target, y.unsqueeze(1))


def test_uniform_numbers_fill_their_range() -> None:
    unit = torch.rand(ROWS, generator=torch.Generator().manual_seed(3), dtype=F64)
    table = drawn(features={"x": {"distribution": "uniform", "low": -2, "high": 3}})
    assert torch.equal(table.features[:, 0], -2 + 5 * unit)


def test_normal_numbers_have_their_mean_and_spread() -> None:
    standard = torch.randn(ROWS, generator=torch.Generator().manual_seed(3), dtype=F64)
    table = drawn(features={"x": {"distribution": "normal", "mean": 10, "std": 0.5}})
    assert torch.equal(table.features[:, 0], 10 + 0.5 * standard)


def test_evenly_spaced_numbers_include_both_ends() -> None:
    table = drawn(features={"x": {"distribution": "linspace", "low": -1, "high": 1}})
    assert torch.equal(table.features[:, 0], torch.linspace(-1, 1, ROWS, dtype=F64))


def test_uniform_noise_lies_between_minus_and_plus_its_width() -> None:
    unit = torch.rand(ROWS, generator=torch.Generator().manual_seed(3), dtype=F64)
    table = drawn(
        features={"x": {"distribution": "linspace"}},
        noise={"distribution": "uniform", "half_width": 2},
    )
    assert torch.equal(table.target[:, 0], 5 * table.features[:, 0] + 7 + 2 * (2 * unit - 1))


def test_features_are_drawn_in_the_order_written_and_the_noise_last() -> None:
    generator = torch.Generator().manual_seed(3)
    b = torch.randn(ROWS, generator=generator, dtype=F64)
    a = torch.rand(ROWS, generator=generator, dtype=F64)
    noise = 0.5 * torch.randn(ROWS, generator=generator, dtype=F64)
    table = drawn(
        features={"b": {"distribution": "normal"}, "a": {"distribution": "uniform"}},
        target={"expression": "a - 2*b"},
        noise={"distribution": "normal", "std": 0.5},
    )
    assert torch.equal(table.features, torch.stack([b, a], dim=1))
    assert torch.equal(table.target[:, 0], a - 2 * b + noise)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_torchs_own(name: str) -> None:
    table = drawn(
        features={"x": {"distribution": "uniform", "low": 0.5, "high": 1}},
        target={"expression": f"3*{name}(x)**2 + x"},
    )
    x = table.features[:, 0]
    assert torch.equal(table.target[:, 0], 3 * getattr(torch, name)(x) ** 2 + x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_number_is_a_number(name: str) -> None:
    table = drawn(target={"expression": f"x*{name}(2) + {name}(pi/6)"})
    x, function = table.features[:, 0], abs if name == "abs" else getattr(math, name)
    torch.testing.assert_close(table.target[:, 0], x * function(2.0) + function(math.pi / 6))


def test_the_seed_decides() -> None:
    assert torch.equal(drawn().target, drawn().target)
    assert not torch.equal(drawn().target, drawn(seed=4).target)


TERMS = st.recursive(
    st.sampled_from(["x", "z", "pi", "e", "2", "0.5", "-3", "1e3"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner)
        | st.builds("{}({})".format, st.sampled_from(FUNCTIONS), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(text=TERMS)
def test_an_accepted_formula_gives_real_numbers_or_a_clear_error(text: str) -> None:
    features = {"x": {"distribution": "uniform", "low": 1, "high": 2}, "z": {"distribution": "normal"}}
    spec = with_expression(text, **features)
    assume(not problems_in(spec))
    try:
        table = rows_of(parsed(spec))
    except TrainingFailed:
        return
    assert table.target.dtype == F64
    assert table.target.shape == (256, 1)


def test_a_value_that_the_trial_did_not_meet_fails_the_training() -> None:
    # The trial before the job takes an even number of points, which leaves out the middle; three rows hit it.
    plan = synthetic_job(
        rows=3,
        features={"x": {"distribution": "linspace", "low": -1, "high": 1}},
        target={"expression": "1/x"},
    )
    with pytest.raises(TrainingFailed) as error:
        load(plan.spec.data)
    assert error.value.code == "data_not_finite"
    assert error.value.hint


def test_sent_rows_become_the_same_tensors_by_column_and_by_row() -> None:
    by_column = rows_of(parsed(with_inline(columns={"x": [1, 2], "y": [3, 4], "z": [5, 6]}, target="y")))
    rows = [{"x": 1, "y": 3, "z": 5}, {"x": 2, "y": 4, "z": 6}]
    by_row = rows_of(parsed(with_inline(rows=rows, target="y")))
    assert by_column.features.tolist() == by_row.features.tolist() == [[1, 5], [2, 6]]
    assert by_column.target.tolist() == by_row.target.tolist() == [[3], [4]]
    assert len(by_row.features) == 2


def test_the_listed_features_are_the_inputs_in_the_order_listed() -> None:
    columns = {"x": [1, 2], "y": [3, 4], "z": [5, 6]}
    table = rows_of(parsed(with_inline(columns=columns, target="y", features=["z", "x"])))
    assert table.features.tolist() == [[5, 1], [6, 2]]


@pytest.mark.parametrize(
    "columns", [{"x": [1e39, 2.0], "y": [1.0, 2.0]}, {"x": [1.0, 2.0], "y": [1e39, 2.0]}], ids=str
)
def test_numbers_beyond_the_number_format_are_refused_as_such(columns: dict[str, list[float]]) -> None:
    spec = with_inline(columns=columns, target="y")
    with pytest.raises(InvalidSpec) as error:
        parsed(spec)
    assert [problem.code for problem in error.value.problems] == ["data_not_finite"]
    assert "float64" in error.value.problems[0].hint


def test_a_power_beyond_the_number_format_is_told_when_it_is_computed() -> None:
    spec = with_inline(columns={"x": [1e30, 2.0], "y": [1.0, 2.0]}, target="y")
    spec["model"] = {"type": "polynomial", "degree": 2}
    with pytest.raises(TrainingFailed) as error:
        trainer(parsed(spec)).fit()
    assert error.value.code == "data_not_finite"


def test_a_spec_without_a_seed_is_a_mistake_of_the_caller() -> None:
    plan = inline_job()
    unfinished = plan.with_changes(training=plan.spec.training.model_copy(update={"seed": None}))
    with pytest.raises(ValueError, match="seed"):
        trainer(unfinished).fit()
