"""What is wrong with a sweep is told before anything is trained, where in its body it stands."""

from typing import Any

import pytest

from service.exceptions import InvalidSpec
from service.spec.limits import Limits
from service.spec.schema import Column, Schema
from service.sweeps.intake import check, read
from service.sweeps.members import FieldMissing, body_of
from tests.sweeps.bodies import (
    GRID,
    HALVING,
    LR,
    OPTIMIZERS,
    RANDOM,
    SPEC,
    TPE,
    as_sent,
    problems,
    sweep_body,
    sweep_spec,
)


def told(body: dict[str, Any], **limits: int) -> list[tuple[str | None, str]]:
    return [(one.pointer, one.code) for one in problems(body, **limits)]


def choice(*values: object) -> dict[str, Any]:
    return {"type": "choice", "values": list(values)}


@pytest.mark.parametrize("search", [RANDOM, TPE, HALVING], ids=lambda search: search["type"])
def test_a_good_sweep_has_no_problems(search: dict[str, Any]) -> None:
    assert problems(sweep_body(search, parameters={"/optimizer": OPTIMIZERS, "/optimizer/lr": LR})) == []


def test_what_is_varied_may_be_left_out_of_the_spec() -> None:
    spec = {name: value for name, value in SPEC.items() if name != "optimizer"}
    parameters = {"/optimizer": OPTIMIZERS, "/regularization/l2": choice(0, 0.1)}
    assert problems(sweep_body(GRID, spec=spec, parameters=parameters)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parameters": {"optimizer/lr": LR}}, [("/parameters/optimizer~1lr", "invalid_text")]),
        ({"parameters": {}}, [("/parameters", "too_short")]),
        (
            {"parameters": {"/optimizer/lr": {**LR, "low": 1}}},
            [("/parameters/~1optimizer~1lr/low", "out_of_range")],
        ),
        ({"parameters": {"/optimizer/lr": {"type": "x"}}}, [("/parameters/~1optimizer~1lr/type", "unknown_name")]),
        ({"search": {"type": "random"}}, [("/search/trials", "missing")]),
        ({"search": {**HALVING, "min_epochs": 20}}, [("/search/min_epochs", "out_of_range")]),
        ({"search": GRID}, [("/parameters/~1optimizer~1lr", "missing")]),
        (
            {"search": HALVING, "parameters": {"/training/epochs": choice(1, 2)}},
            [("/parameters/~1training~1epochs", "incompatible_fields")],
        ),
        ({"objective": {"monitor": "test_loss"}}, [("/objective/monitor", "invalid_text")]),
        ({"objective": {"monitor": "dev.accuracy", "mode": "max"}}, [("/objective/monitor", "unknown_name")]),
        ({"spec": []}, [("/spec", "wrong_type")]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_sweep_itself_is_told(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert told(sweep_body(**{"search": RANDOM, **changes})) == expected


@pytest.mark.parametrize("search", [RANDOM, TPE, HALVING, GRID], ids=lambda search: search["type"])
def test_a_value_that_no_job_takes_is_told_at_the_value(search: dict[str, Any]) -> None:
    parameters = {"/optimizer/lr": choice(0.1, -1), "/loss/type": choice("MSELoss", "MSE")}
    if search is RANDOM:
        search = {**RANDOM, "trials": 20}
    assert set(told(sweep_body(search, parameters=parameters))) == {
        ("/parameters/~1optimizer~1lr/values/1", "out_of_range"),
        ("/parameters/~1loss~1type/values/1", "unknown_name"),
    }


def test_the_ends_of_a_range_are_checked_although_none_is_drawn_there() -> None:
    parameters = {"/training/batch_size": {"type": "int_uniform", "low": 0, "high": 1000}}
    assert told(sweep_body(TPE, parameters=parameters)) == [
        ("/parameters/~1training~1batch_size", "wrong_type")
    ]


def test_a_field_within_a_chosen_section_is_told_in_that_section() -> None:
    parameters = {"/optimizer": choice({"type": "SGD", "lr": 0.1}, {"type": "Adam", "speed": 1})}
    (problem,) = problems(sweep_body(GRID, parameters=parameters))
    assert problem.pointer == "/parameters/~1optimizer/values/1/speed"
    assert problem.code == "unknown_field"


def test_what_is_wrong_with_every_trial_is_told_in_the_spec() -> None:
    spec = {**SPEC, "loss": {"type": "MSE"}}
    (problem,) = problems(sweep_body(spec=spec))
    assert (problem.pointer, problem.code) == ("/spec/loss/type", "unknown_name")
    assert "So it is with" not in problem.message


def test_what_is_wrong_with_some_trials_tells_their_values() -> None:
    parameters = {"/training/batch_size": choice(32, "full"), "/training/drop_last": choice(*[False, True])}
    (problem,) = problems(sweep_body(GRID, parameters=parameters))
    assert problem.pointer == "/parameters/~1training~1drop_last/values/1"
    parameters = {"/training/batch_size": choice(32, "full")}
    spec = {**SPEC, "training": {"epochs": 2, "drop_last": True}}
    (problem,) = problems(sweep_body(GRID, spec=spec, parameters=parameters))
    assert problem.pointer == "/spec/training/drop_last"
    assert 'So it is with /training/batch_size = "full".' in problem.message


def test_a_place_that_is_not_there_is_told_at_the_parameter() -> None:
    spec = {**SPEC, "model": {"type": "mlp", "hidden": [8]}}
    for pointer in ("/model/hidden/1", "/model/hidden/first", "/model/hidden/0/x", "/model/type/x"):
        found = told(sweep_body(spec=spec, parameters={pointer: choice(1)}))
        assert found == [(f"/parameters/{pointer.replace('/', '~1')}", "unknown_field")], pointer
    assert told(sweep_body(parameters={"/model/hidden/0": choice(4)})) == [
        ("/parameters/~1model~1hidden~10", "unknown_field")
    ]
    assert problems(sweep_body(spec=spec, parameters={"/model/hidden/0": choice(4)})) == []


def test_without_dev_rows_the_dev_loss_is_refused_and_the_train_loss_is_not() -> None:
    spec = {name: value for name, value in SPEC.items() if name != "evaluation"}
    (problem,) = problems(sweep_body(spec=spec))
    assert (problem.pointer, problem.code) == ("/objective/monitor", "incompatible_fields")
    assert "evaluation" in problem.hint
    assert "train_loss" in problem.hint
    assert problems(sweep_body(spec=spec, objective={"monitor": "train_loss"})) == []
    assert problems(sweep_body(spec=spec, objective={"monitor": "train.r2", "mode": "max"})) == []
    folds = {**spec, "evaluation": {"folds": {"k": 3}}}
    assert problems(sweep_body(spec=folds)) == []


def test_a_matrix_is_no_objective() -> None:
    spec = {**SPEC, "evaluation": {**SPEC["evaluation"], "metrics": ["r2"]}}
    assert told(sweep_body(spec=spec, objective={"monitor": "dev.mae"})) == [
        ("/objective/monitor", "unknown_name")
    ]
    assert told(sweep_body(spec=spec, objective={"monitor": "dev.confusion_matrix"})) == [
        ("/objective/monitor", "unknown_name")
    ]


def test_trials_and_bytes_are_bounded_by_arithmetic() -> None:
    huge = {"/a": {"type": "int_uniform", "low": -(2**53), "high": 2**53}, "/b": choice(*range(1000))}
    assert told(sweep_body(GRID, parameters=huge)) == [("/parameters", "limit_exceeded")]
    assert told(sweep_body({**RANDOM, "trials": 1_000_000})) == [("/search/trials", "limit_exceeded")]
    assert told(sweep_body(HALVING), max_sweep_trials=12) == [("/search/trials", "limit_exceeded")]
    assert told(sweep_body(HALVING), max_sweep_trials=13) == []
    (problem,) = problems(sweep_body(), max_sweep_bytes=1000)
    assert (problem.pointer, problem.code) == ("/spec/data", "limit_exceeded")
    assert "/v1/datasets" in problem.hint


def test_what_is_no_json_is_refused_wherever_it_stands() -> None:
    for text in (b"{", b'{"spec": {"a": NaN}}', as_sent(sweep_body()).replace(b"256", b"Infinity", 1)):
        with pytest.raises(InvalidSpec):
            read(text)
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"a": deep}
    found = told(sweep_body(spec={**SPEC, "model": deep}, parameters={"/model" + "/a" * 90: choice(1)}))
    assert found


def test_a_seed_is_drawn_where_none_is_given_and_kept_where_one_is() -> None:
    search = {name: value for name, value in RANDOM.items() if name != "seed"}
    assert len({sweep_spec(search).seed for _ in range(5)}) > 1
    assert sweep_spec({**search, "seed": 0}).seed == 0
    assert sweep_spec(GRID).seed == 0


def test_the_seed_of_the_training_is_the_sweep_s_unless_the_spec_has_one() -> None:
    assert b'"seed":5' in body_of(sweep_spec(), {"/optimizer/lr": 0.1}, number=0, seed=5)
    own = sweep_spec(spec={**SPEC, "training": {"epochs": 2, "seed": 77}})
    assert b'"seed":77' in body_of(own, {"/optimizer/lr": 0.1}, number=0, seed=5)


def test_the_spec_of_the_sweep_is_not_changed_by_its_trials() -> None:
    sweep = sweep_spec(parameters={"/evaluation/split/dev": choice(0.5), "/optimizer/lr": LR})
    before = sweep.model_dump_json()
    body_of(sweep, {"/evaluation/split/dev": 0, "/optimizer/lr": 0.1}, number=1, seed=1)
    assert sweep.model_dump_json() == before
    with pytest.raises(FieldMissing):
        body_of(sweep_spec(parameters={"/loss/type/x": LR}), {"/loss/type/x": 1}, number=0, seed=0)


def test_what_all_trials_refer_to_is_looked_up_once() -> None:
    class Library:
        asked = 0

        def dataset(self, _: str) -> tuple[Schema, str]:
            self.asked += 1
            column = {
                "kind": "number",
                "dtype": "float64",
                "minimum": 0.0,
                "maximum": 1.0,
                "mean": 0.5,
                "std": 1.0,
            }
            return Schema(rows=9, columns=tuple(Column(name=name, **column) for name in "xy")), "0" * 64

        def has_parameters(self, _: str) -> bool:
            return False

    library = Library()
    spec = {**SPEC, "data": {"type": "dataset", "id": "ds_a", "features": ["x"], "target": "y"}}
    check(sweep_spec({**RANDOM, "trials": 30}, spec=spec), Limits(), library)
    assert library.asked == 1
