"""The optimizers have torch's names, fields and defaults; their groups take the same fields."""

import inspect
import json
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from service.exceptions import Problem
from service.spec.base import SpecModel
from service.spec.limits import Limits
from service.spec.optimizers import LBFGS, SGD, Adagrad, Adam, Optimizer, OptimizerSpec
from service.spec.problems import problems_of

MEMBERS: tuple[type[Optimizer], ...] = get_args(get_args(OptimizerSpec)[0])
BY_NAME = {member.__name__: member for member in MEMBERS}
WITH_GROUPS = [name for name in BY_NAME if name != "LBFGS"]
EXECUTION = {"self", "params", "foreach", "fused", "capturable", "differentiable", "maximize"}
NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]
ADAPTER: TypeAdapter[Optimizer] = TypeAdapter(OptimizerSpec)


class Body(SpecModel):
    """As much of a job spec as these tests need."""

    optimizer: OptimizerSpec


def read(name: str, **fields: object) -> Optimizer:
    return ADAPTER.validate_json(json.dumps({"type": name, **fields}))


def problems(name: str, **fields: object) -> list[Problem]:
    body = json.dumps({"optimizer": {"type": name, **fields}})
    try:
        return list(Body.model_validate_json(body).optimizer.problems(Limits()))
    except ValidationError as error:
        return problems_of(error, Body)


def the_problem(name: str, **fields: object) -> tuple[str | None, str]:
    (found,) = problems(name, **fields)
    assert found.message
    assert found.hint
    return found.pointer, found.code


@pytest.mark.parametrize("name", BY_NAME)
def test_fields_and_defaults_are_those_of_torch(name: str) -> None:
    import torch

    signature = inspect.signature(getattr(torch.optim, name).__init__).parameters
    theirs = {field: about.default for field, about in signature.items() if field not in EXECUTION}
    assert read(name).arguments() == theirs


def test_every_optimizer_of_torch_with_dense_gradients_is_here() -> None:
    import torch

    theirs = {
        name
        for name, found in vars(torch.optim).items()
        if isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    }
    assert theirs - {"Optimizer", "SparseAdam"} == BY_NAME.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_spec_without_groups_is_written_and_read_without_them(name: str) -> None:
    spec = read(name)
    assert spec.problems(Limits()) == []
    assert "groups" not in spec.model_dump()
    assert ADAPTER.validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("name", BY_NAME)
def test_every_field_is_described(name: str) -> None:
    schema = BY_NAME[name].model_json_schema()
    assert all(about.get("description") for field, about in schema["properties"].items() if field != "type")
    assert schema["description"].endswith(".")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        *[(name, "lr", 0) for name in BY_NAME],
        *[(name, "weight_decay", -0.1) for name, one in BY_NAME.items() if "weight_decay" in one.model_fields],
        *[(name, "eps", -1e-8) for name, one in BY_NAME.items() if "eps" in one.model_fields if name != "Adafactor"],
        ("SGD", "momentum", -0.1),
        ("RMSprop", "alpha", 1),
        ("NAdam", "momentum_decay", -1),
        ("Adagrad", "initial_accumulator_value", 1e31),
        ("Adagrad", "lr_decay", -1),
        ("Adadelta", "rho", 1.1),
        ("Adafactor", "beta2_decay", 0.1),
        ("Adafactor", "d", 0.9),
        ("ASGD", "alpha", 1.5),
        ("ASGD", "lambd", -1),
        ("ASGD", "t0", -1),
        ("Muon", "momentum", -1),
        ("Muon", "ns_steps", 100),
        ("LBFGS", "max_iter", 0),
        ("LBFGS", "max_eval", 0),
        ("LBFGS", "history_size", 0),
        ("LBFGS", "tolerance_grad", -1),
        ("LBFGS", "tolerance_change", -1),
    ],
)  # fmt: skip
def test_numbers_out_of_bounds_are_refused(name: str, field: str, value: float) -> None:
    assert the_problem(name, **{field: value}) == (f"/optimizer/{field}", "out_of_range")


@pytest.mark.parametrize(
    ("name", "field", "value", "index"),
    [
        *[(name, "betas", [0.9, 1], 1) for name, one in BY_NAME.items() if "betas" in one.model_fields],
        ("NAdam", "betas", [0.99999999, 0.9], 0),
        ("Rprop", "etas", [1, 1.2], 0),
        ("Rprop", "etas", [0.5, 1], 1),
        ("Adafactor", "eps", [-1, 1], 0),
        ("Adafactor", "eps", [None, -1], 1),
    ],
)
def test_pairs_out_of_bounds_are_refused(name: str, field: str, value: list[float], index: int) -> None:
    assert the_problem(name, **{field: value}) == (f"/optimizer/{field}/{index}", "out_of_range")


@pytest.mark.parametrize(
    ("name", "fields", "pointer"),
    [
        ("SGD", {"nesterov": True}, "/nesterov"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "/nesterov"),
        ("Rprop", {"step_sizes": [1, 0.5]}, "/step_sizes"),
        ("Rprop", {"groups": [{"parameters": ["*"], "step_sizes": [1, 0.5]}]}, "/groups/0/step_sizes"),
    ],
)
def test_values_that_do_not_go_together_are_refused(name: str, fields: dict[str, Any], pointer: str) -> None:
    assert [found.pointer for found in problems(name, **fields)] == [pointer]


def test_a_group_may_do_without_the_momentum_that_nesterov_needs_elsewhere() -> None:
    groups = [{"parameters": ["*.bias"], "momentum": 0}]
    assert problems("SGD", nesterov=True, momentum=0.9, groups=groups) == []


@pytest.mark.parametrize("name", WITH_GROUPS)
def test_a_group_takes_every_number_of_its_optimizer_within_the_same_bounds(name: str) -> None:
    own = read(name).arguments()
    numbers = {field: value for field, value in own.items() if isinstance(value, int | float | tuple)}
    numbers = {field: value for field, value in numbers.items() if not isinstance(value, bool)}
    numbers.pop("initial_accumulator_value", None)
    spec = read(name, groups=[{"parameters": ["*.bias"], **numbers}])
    assert spec.parameter_groups[0].overrides == numbers
    assert the_problem(name, groups=[{"parameters": ["*"], "lr": 0}]) == (
        "/optimizer/groups/0/lr",
        "out_of_range",
    )
    jsonschema.validate(spec.model_dump(mode="json"), BY_NAME[name].model_json_schema())
    assert ADAPTER.validate_json(spec.model_dump_json()) == spec


def test_a_group_is_written_with_its_own_values_only() -> None:
    groups = [{"parameters": ["*.bias"], "weight_decay": 0.0}]
    assert read("Adam", groups=groups).model_dump(mode="json")["groups"] == groups


@pytest.mark.parametrize(
    ("name", "groups", "pointer", "code"),
    [
        ("Adam", [{"parameters": ["*"], "momentum": 0.5}], "/optimizer/groups/0/momentum", "unknown_field"),
        ("Adam", [{"parameters": ["*"], "amsgrad": True}], "/optimizer/groups/0/amsgrad", "unknown_field"),
        ("Adagrad", [{"parameters": ["*"], "initial_accumulator_value": 1}],
         "/optimizer/groups/0/initial_accumulator_value", "unknown_field"),
        ("SGD", [{"lr": 1}], "/optimizer/groups/0/parameters", "missing"),
        ("SGD", [{"parameters": [], "lr": 1}], "/optimizer/groups/0/parameters", "too_short"),
        ("SGD", [{"parameters": ["*"]}], "/groups/0", "missing"),
        ("LBFGS", [{"parameters": ["*"], "lr": 1}], "/optimizer/groups", "unknown_field"),
    ],
)  # fmt: skip
def test_groups_that_mean_nothing_are_refused(
    name: str, groups: list[dict[str, Any]], pointer: str, code: str
) -> None:
    assert the_problem(name, groups=groups) == (pointer, code)


def test_a_misspelt_field_of_a_group_is_answered_with_the_right_one() -> None:
    (found,) = problems("AdamW", groups=[{"parameters": ["*"], "weight_decy": 0}])
    assert found.hint == "Did you mean `weight_decay`?"


def test_the_first_group_that_matches_takes_a_parameter() -> None:
    groups = [{"parameters": ["2.*"], "lr": 1}, {"parameters": ["*.bias", "0.w*"], "lr": 2}]
    assert read("SGD", groups=groups).members(NAMES) == [[], ["2.weight", "2.bias"], ["0.weight", "0.bias"]]
    groups = [{"parameters": ["?.bias"], "lr": 1}]
    assert read("SGD", groups=groups).members(NAMES) == [["0.weight", "2.weight"], ["0.bias", "2.bias"]]
    assert read("LBFGS").members(NAMES) == [NAMES]


def test_names_are_told_apart_by_their_case() -> None:
    assert read("SGD", groups=[{"parameters": ["*.BIAS"], "lr": 1}]).members(NAMES) == [NAMES, []]


def test_a_pattern_that_matches_nothing_is_told_with_the_names_that_there_are() -> None:
    spec = read("SGD", groups=[{"parameters": ["*.weight", "0.bais"], "lr": 1}])
    (found,) = spec.match_problems(NAMES)
    assert (found.pointer, found.code) == ("/groups/0/parameters/1", "unmatched_group")
    assert all(f"`{name}`" in found.message for name in NAMES)
    assert found.hint == "Did you mean `0.bias`?"


def test_a_group_that_comes_too_late_is_told() -> None:
    groups = [{"parameters": ["*"], "lr": 1}, {"parameters": ["*.bias"], "lr": 2}]
    (found,) = read("SGD", groups=groups).match_problems(NAMES)
    assert (found.pointer, found.code) == ("/groups/1", "unmatched_group")


def test_a_message_lists_few_of_many_names() -> None:
    names = [f"{i}.weight" for i in range(1000)]
    (found,) = read("SGD", groups=[{"parameters": ["x"], "lr": 1}]).match_problems(names)
    assert "and 980 more" in found.message


@pytest.mark.parametrize("name", BY_NAME)
def test_the_memory_estimate_covers_what_torch_keeps(name: str) -> None:
    import torch

    spec = read(name, **({"history_size": 3} if name == "LBFGS" else {}))
    switched = {f: True for f in ("amsgrad", "centered") if f in type(spec).model_fields}
    spec = spec.model_copy(
        update=switched | ({"momentum": 0.9} if "momentum" in type(spec).model_fields else {})
    )
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(40, 50))
    optimizer = getattr(torch.optim, name)([weight], **spec.arguments())

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight.cos() * weight).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    kept = [found for value in optimizer.state[weight].values() for found in tensors_in(value)]
    assert sum(tensor.numel() for tensor in kept if tensor.numel() > 1) <= spec.state_tensors * weight.numel()


def tensors_in(value: object) -> list[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    return [found for one in value for found in tensors_in(one)] if isinstance(value, list) else []


def test_what_the_trainer_must_know_of_an_optimizer() -> None:
    assert [name for name, one in BY_NAME.items() if one.needs_closure] == ["LBFGS"]
    assert [name for name, one in BY_NAME.items() if one.matrices_only] == ["Muon"]
    assert [name for name in BY_NAME if not read(name).has_momentum] == [
        "Adagrad", "Adadelta", "Adafactor", "ASGD", "Rprop", "LBFGS",
    ]  # fmt: skip
    assert read("SGD").evaluations_per_step == 1
    assert read("LBFGS").evaluations_per_step == 25
    assert read("LBFGS", max_eval=7).evaluations_per_step == 7


def test_the_classes_keep_their_names_and_their_place() -> None:
    assert isinstance(read("SGD"), SGD)
    assert [one.__name__ for one in (SGD, Adam, Adagrad, LBFGS)] == ["SGD", "Adam", "Adagrad", "LBFGS"]
    assert SGD.__module__ == "service.spec.optimizers.descent"
