"""The schedulers have torch's names, fields and defaults, and what torch would break on is told before."""

import inspect
import json
from typing import Any, get_args

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from service.exceptions import Problem
from service.spec.base import SpecModel
from service.spec.limits import Limits
from service.spec.optimizers import OptimizerSpec
from service.spec.problems import problems_of
from service.spec.regularization import ClipGradNorm, Regularization
from service.spec.schedulers import Scheduler, SchedulerSpec

MEMBERS: tuple[type[Scheduler], ...] = get_args(get_args(SchedulerSpec)[0])
BY_NAME = {member.__name__: member for member in MEMBERS}
ADAPTER: TypeAdapter[Scheduler] = TypeAdapter(SchedulerSpec)
PARTS = [{"type": "LinearLR"}, {"type": "CosineAnnealingLR"}]
NEEDED: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 3},
    "MultiStepLR": {"milestones": [2, 4]},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1},
    "OneCycleLR": {"max_lr": 1},
    "SequentialLR": {"schedulers": PARTS, "milestones": [5]},
    "ChainedScheduler": {"schedulers": PARTS},
}
"""The fields without a default, with values."""
WARMABLE = [name for name in BY_NAME if name not in {"CyclicLR", "OneCycleLR"}]
OURS = {"type", "interval", "warmup", "monitor"}
LEFT_OUT = {"self", "optimizer", "last_epoch", "scale_fn", "scale_mode", "epochs", "steps_per_epoch"}
JOB = {"epochs": 10, "steps_per_epoch": 3}


class Body(SpecModel):
    """As much of a job spec as these tests need."""

    scheduler: SchedulerSpec | None = None
    regularization: Regularization = Regularization()


def json_of(name: str, **fields: object) -> dict[str, Any]:
    return {"type": name, **NEEDED.get(name, {}), **fields}


def read(name: str, **fields: object) -> Scheduler:
    return ADAPTER.validate_json(json.dumps(json_of(name, **fields)))


def refusals(**sections: object) -> list[tuple[str | None, str]]:
    """The problems of a body whose types or bounds are wrong."""
    with pytest.raises(ValidationError) as caught:
        Body.model_validate_json(json.dumps(sections))
    return told(problems_of(caught.value, Body))


def told(problems: list[Problem]) -> list[tuple[str | None, str]]:
    assert all(found.message and found.hint for found in problems)
    return [(found.pointer, found.code) for found in problems]


def problems(name: str, *, optimizer: dict[str, Any] | None = None, **fields: object) -> list[Any]:
    """The problems of a scheduler within a job of ten epochs of three steps."""
    beside: Any = TypeAdapter(OptimizerSpec).validate_python(optimizer or {"type": "SGD"})
    return told(read(name, **fields).problems(Limits(), optimizer=beside, has_dev_set=False, **JOB))


@pytest.mark.parametrize("name", BY_NAME)
def test_fields_and_defaults_are_those_of_torch(name: str) -> None:
    import torch

    signature = inspect.signature(getattr(torch.optim.lr_scheduler, name).__init__).parameters
    theirs = {field: about.default for field, about in signature.items() if field not in LEFT_OUT}
    fields = {field: about.get_default() for field, about in BY_NAME[name].model_fields.items()}
    assert fields.keys() - OURS == theirs.keys()
    # Torch wants T_max; its PolynomialLR ends after five epochs however long the training is.
    follow = {"T_max", "total_steps"} | ({"total_iters"} if name == "PolynomialLR" else set())
    compared = theirs.keys() - NEEDED.get(name, {}).keys() - follow
    assert {field: fields[field] for field in compared} == {field: theirs[field] for field in compared}
    assert all(fields[field] is None for field in follow & fields.keys())


def test_every_scheduler_of_torch_that_needs_no_function_is_here() -> None:
    import torch

    left_out = {"LambdaLR", "MultiplicativeLR", "LRScheduler"}
    assert set(torch.optim.lr_scheduler.__all__) - left_out == BY_NAME.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_every_field_is_described(name: str) -> None:
    schema = BY_NAME[name].model_json_schema()
    assert all(about.get("description") for field, about in schema["properties"].items() if field != "type")
    assert schema["description"].endswith(".")


@pytest.mark.parametrize("name", BY_NAME)
def test_the_completed_spec_can_be_sent_again(name: str) -> None:
    assert problems(name, optimizer={"type": "Adam"}) == []
    completed = read(name).completed(**JOB)
    again = ADAPTER.validate_json(completed.model_dump_json())
    assert again == completed == again.completed(**JOB)
    assert again.problems(Limits(), **JOB) == []
    jsonschema.validate(completed.model_dump(mode="json"), BY_NAME[name].model_json_schema())


def test_the_learning_rate_changes_after_epochs_but_in_cycles_after_steps() -> None:
    assert [name for name in BY_NAME if read(name).interval == "step"] == ["CyclicLR", "OneCycleLR"]


@pytest.mark.parametrize(
    ("name", "fields", "filled"),
    [
        ("CosineAnnealingLR", {}, {"T_max": 10}),
        ("CosineAnnealingLR", {"interval": "step"}, {"T_max": 30}),
        ("CosineAnnealingLR", {"T_max": 4}, {"T_max": 4}),
        ("CosineAnnealingLR", {"warmup": {"epochs": 2}}, {"T_max": 8}),
        ("CosineAnnealingLR", {"warmup": {"steps": 6}}, {"T_max": 8}),
        ("CosineAnnealingLR", {"warmup": {"steps": 5}}, {"T_max": 9}),
        ("CosineAnnealingLR", {"warmup": {"steps": 5}, "interval": "step"}, {"T_max": 25}),
        ("CosineAnnealingLR", {"warmup": {"epochs": 2}, "interval": "step"}, {"T_max": 24}),
        ("PolynomialLR", {}, {"total_iters": 10}),
        ("PolynomialLR", {"total_iters": 5}, {"total_iters": 5}),
        ("OneCycleLR", {}, {"total_steps": 30}),
        ("OneCycleLR", {"interval": "epoch"}, {"total_steps": 10}),
        ("LinearLR", {}, {"total_iters": 5}),
    ],
)
def test_lengths_that_were_left_out_follow_the_job(
    name: str, fields: dict[str, Any], filled: dict[str, int]
) -> None:
    completed = read(name, **fields).completed(**JOB)
    assert {field: getattr(completed, field) for field in filled} == filled


def test_the_loss_that_is_watched_follows_the_job() -> None:
    def watched(*, has_dev_set: bool, **fields: object) -> object:
        completed = read("ReduceLROnPlateau", **fields).completed(**JOB, has_dev_set=has_dev_set)
        return completed.model_dump()["monitor"]

    assert [watched(has_dev_set=has) for has in (True, False)] == ["dev_loss", "train_loss"]
    assert watched(has_dev_set=True, monitor="train_loss") == "train_loss"


def test_the_parts_of_a_sequence_follow_its_milestones_and_its_interval() -> None:
    cosine = {"type": "CosineAnnealingLR"}
    sequence = read("SequentialLR", interval="step", schedulers=[cosine] * 3, milestones=[5, 7])
    parts = sequence.completed(**JOB).model_dump()["schedulers"]
    assert [(part["T_max"], part["interval"]) for part in parts] == [(5, "step"), (2, "step"), (23, "step")]
    chain = read("ChainedScheduler", schedulers=[cosine] * 2).completed(**JOB).model_dump()["schedulers"]
    assert [(part["T_max"], part["interval"]) for part in chain] == [(10, "epoch")] * 2


@pytest.mark.parametrize(
    ("name", "fields", "pointer"),
    [
        ("StepLR", {"step_size": 0}, "/scheduler/step_size"),
        ("StepLR", {"gamma": 0}, "/scheduler/gamma"),
        ("StepLR", {"step_size": 10**8 + 1}, "/scheduler/step_size"),
        ("ConstantLR", {"factor": 0}, "/scheduler/factor"),
        ("ConstantLR", {"factor": 1.1}, "/scheduler/factor"),
        ("LinearLR", {"start_factor": 0}, "/scheduler/start_factor"),
        ("LinearLR", {"end_factor": 1.1}, "/scheduler/end_factor"),
        ("PolynomialLR", {"power": -1}, "/scheduler/power"),
        ("CosineAnnealingWarmRestarts", {"T_mult": 0}, "/scheduler/T_mult"),
        ("CyclicLR", {"gamma": 1.1}, "/scheduler/gamma"),
        ("CyclicLR", {"max_momentum": 1}, "/scheduler/max_momentum"),
        ("OneCycleLR", {"pct_start": 1.1}, "/scheduler/pct_start"),
        ("OneCycleLR", {"div_factor": 0}, "/scheduler/div_factor"),
        ("ReduceLROnPlateau", {"factor": 1}, "/scheduler/factor"),
        ("ReduceLROnPlateau", {"patience": -1}, "/scheduler/patience"),
        ("StepLR", {"warmup": {"steps": 0}}, "/scheduler/warmup/steps"),
        ("StepLR", {"warmup": {"steps": 1, "start_factor": 0}}, "/scheduler/warmup/start_factor"),
        ("SequentialLR", {"milestones": [0]}, "/scheduler/milestones/0"),
    ],
)
def test_numbers_out_of_bounds_are_refused(name: str, fields: dict[str, Any], pointer: str) -> None:
    assert refusals(scheduler=json_of(name, **fields))[0] == (pointer, "out_of_range")


@pytest.mark.parametrize(
    ("name", "fields", "pointer", "code"),
    [
        ("OneCycleLR", {"warmup": {"epochs": 1}}, "/scheduler/warmup", "unknown_field"),
        ("ReduceLROnPlateau", {"interval": "step"}, "/scheduler/interval", "unknown_name"),
        ("StepLR", {"interval": "epochs"}, "/scheduler/interval", "unknown_name"),
        ("LambdaLR", {}, "/scheduler/type", "unknown_name"),
    ],
)
def test_what_has_no_meaning_is_refused(name: str, fields: dict[str, Any], pointer: str, code: str) -> None:
    assert refusals(scheduler=json_of(name, **fields)) == [(pointer, code)]


@pytest.mark.parametrize("inner", ["ReduceLROnPlateau", "SequentialLR", "ChainedScheduler", "CyclicLR"])
@pytest.mark.parametrize("outer", ["SequentialLR", "ChainedScheduler"])
def test_nothing_but_simple_schedulers_can_be_parts(outer: str, inner: str) -> None:
    found = refusals(scheduler=json_of(outer, schedulers=[PARTS[0], json_of(inner)]))
    assert found == [("/scheduler/schedulers/1/type", "unknown_name")]


@pytest.mark.parametrize(
    ("name", "fields", "pointer", "code"),
    [
        ("MultiStepLR", {"milestones": [4, 2]}, "/milestones/1", "out_of_range"),
        ("MultiStepLR", {"milestones": [2, 2]}, "/milestones/1", "out_of_range"),
        ("StepLR", {"warmup": {}}, "/warmup", "missing"),
        ("StepLR", {"warmup": {"steps": 1, "epochs": 1}}, "/warmup", "incompatible_fields"),
        ("StepLR", {"warmup": {"steps": 30}}, "/warmup", "out_of_range"),
        ("StepLR", {"warmup": {"epochs": 10}}, "/warmup", "out_of_range"),
        ("ReduceLROnPlateau", {"monitor": "dev_loss"}, "/monitor", "incompatible_fields"),
        ("CyclicLR", {"base_lr": 2}, "/base_lr", "out_of_range"),
        ("CyclicLR", {"base_momentum": 0.95}, "/base_momentum", "out_of_range"),
        ("OneCycleLR", {"base_momentum": 0.96}, "/base_momentum", "out_of_range"),
        ("OneCycleLR", {"total_steps": 29}, "/total_steps", "out_of_range"),
        ("OneCycleLR", {"pct_start": 1}, "/pct_start", "out_of_range"),
        ("OneCycleLR", {"pct_start": 0.1, "interval": "epoch"}, "/pct_start", "out_of_range"),
        ("SequentialLR", {"milestones": [3, 4]}, "/milestones", "incompatible_fields"),
        ("SequentialLR", {"schedulers": [*PARTS, PARTS[0]], "milestones": [4, 3]}, "/milestones/1", "out_of_range"),
        ("SequentialLR", {"schedulers": [PARTS[0], {**PARTS[1], "interval": "step"}]},
         "/schedulers/1/interval", "incompatible_fields"),
        ("ChainedScheduler", {"schedulers": [{**PARTS[0], "warmup": {"steps": 1}}]},
         "/schedulers/0/warmup", "incompatible_fields"),
        ("ChainedScheduler", {"schedulers": [json_of("MultiStepLR", milestones=[2, 1])]},
         "/schedulers/0/milestones/1", "out_of_range"),
    ],
)  # fmt: skip
def test_values_that_do_not_go_together_are_refused(
    name: str, fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert problems(name, **fields) == [(pointer, code)]


def test_a_part_may_repeat_the_interval_of_the_whole() -> None:
    parts = [{**part, "interval": "step"} for part in PARTS]
    assert problems("SequentialLR", interval="step", schedulers=parts) == []


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
@pytest.mark.parametrize("optimizer", ["Adagrad", "Adadelta", "Adafactor", "ASGD", "Rprop", "LBFGS"])
def test_a_momentum_that_is_not_there_cannot_be_cycled(name: str, optimizer: str) -> None:
    beside = {"type": optimizer}
    assert problems(name, optimizer=beside) == [("/cycle_momentum", "incompatible_fields")]
    assert problems(name, optimizer=beside, cycle_momentum=False) == []


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_cycles_do_not_silently_replace_what_a_group_asked_for(name: str) -> None:
    def beside(**values: float) -> dict[str, Any]:
        return {"type": "SGD", "groups": ({"parameters": ("*",), **values},)}

    assert problems(name, optimizer=beside(lr=1)) == [("/type", "incompatible_fields")]
    assert problems(name, optimizer=beside(momentum=0.5)) == [("/type", "incompatible_fields")]
    assert problems(name, optimizer=beside(momentum=0.5), cycle_momentum=False) == []
    assert problems(name, optimizer=beside(weight_decay=0)) == []


def test_halving_for_ever_is_refused() -> None:
    spec = read("CyclicLR", mode="triangular2", step_size_up=1)
    assert told(spec.problems(Limits(), epochs=1, steps_per_epoch=2002)) == [
        ("/step_size_up", "out_of_range")
    ]
    assert spec.problems(Limits(), epochs=1, steps_per_epoch=2001) == []
    assert read("CyclicLR", step_size_up=1).problems(Limits(), epochs=1, steps_per_epoch=2002) == []


def test_a_schedule_longer_than_torch_can_count_is_refused() -> None:
    found = read("StepLR", interval="step").problems(Limits(), epochs=10**6, steps_per_epoch=101)
    assert told(found) == [("/interval", "limit_exceeded")]
    assert read("StepLR").problems(Limits(), epochs=10**6, steps_per_epoch=101) == []


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("total", range(1, 40))
def test_every_cycle_that_torch_divides_by_zero_in_is_refused(total: int, *, three_phase: bool) -> None:
    import torch

    for share in (0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.52, 0.6, 1.0):
        spec = read("OneCycleLR", pct_start=share, three_phase=three_phase, cycle_momentum=False)
        if spec.problems(Limits(), epochs=1, steps_per_epoch=total):
            continue
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
        arguments = spec.completed(epochs=1, steps_per_epoch=total).arguments()
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, **arguments)
        for _ in range(total):
            optimizer.step()
            scheduler.step()


def test_the_advised_start_of_a_cycle_is_a_good_one() -> None:
    for total in range(5, 200):
        spec = read("OneCycleLR", pct_start=1 / total, interval="epoch")
        for found in spec.problems(Limits(), epochs=total, steps_per_epoch=1):
            advised = float(found.hint.removeprefix("Set pct_start to ").removesuffix("."))
            better = read("OneCycleLR", pct_start=advised, interval="epoch")
            assert better.problems(Limits(), epochs=total, steps_per_epoch=1) == []


def test_what_is_not_known_is_not_checked_against() -> None:
    assert read("OneCycleLR", total_steps=1).problems(Limits()) == []
    assert read("ReduceLROnPlateau", monitor="dev_loss").problems(Limits()) == []


def test_a_number_is_a_largest_norm_of_the_gradient() -> None:
    short = Body.model_validate_json('{"regularization": {"clip_grad_norm": 2}}').regularization
    long = Regularization.model_validate_json('{"clip_grad_norm": {"max_norm": 2}}')
    assert short.norm_bound == long.norm_bound == ClipGradNorm(max_norm=2.0, norm_type=2.0)
    for spec in (short, long, Regularization()):
        assert Regularization.model_validate_json(spec.model_dump_json()) == spec
        jsonschema.validate(spec.model_dump(mode="json"), Regularization.model_json_schema())


@pytest.mark.parametrize(
    ("field", "value", "pointer", "code"),
    [
        ("clip_grad_norm", 0, "", "out_of_range"),
        ("clip_grad_norm", 10**400, "", "not_finite"),
        ("clip_grad_norm", True, "", "wrong_type"),
        ("clip_grad_norm", "1", "", "wrong_type"),
        ("clip_grad_norm", {"max_norm": 0}, "/max_norm", "out_of_range"),
        ("clip_grad_norm", {"max_norm": 1, "norm_type": "max"}, "/norm_type", "wrong_type"),
        ("clip_grad_norm", {"max_norm": 1, "norm_type": 0}, "/norm_type", "out_of_range"),
        ("clip_grad_norm", {}, "/max_norm", "missing"),
        ("clip_grad_value", 0, "", "out_of_range"),
        ("l1", -1, "", "out_of_range"),
        ("l2", -1, "", "out_of_range"),
    ],
)
def test_penalties_and_bounds_that_mean_nothing_are_refused(
    field: str, value: object, pointer: str, code: str
) -> None:
    assert refusals(regularization={field: value}) == [(f"/regularization/{field}{pointer}", code)]
