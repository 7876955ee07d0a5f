"""Groups of parameters, the state of a schedule, penalties and clipping."""

import copy
import json
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import lr_scheduler

from service.exceptions import TrainingFailed
from service.spec.optimizers import OptimizerSpec
from service.spec.regularization import Regularization
from service.spec.schedulers import SchedulerSpec
from service.training.optimization import Clipping, Penalty, Schedule, build_optimizer

EPOCHS, STEPS = 12, 3
LOSSES = [5.0, 3.0, 4.0, 4.0, 4.0, 4.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0]
OPTIMIZER: TypeAdapter[Any] = TypeAdapter(OptimizerSpec)
SCHEDULER: TypeAdapter[Any] = TypeAdapter(SchedulerSpec)
CYCLES = {"CyclicLR", "OneCycleLR"}
SCHEDULERS = ["none", *(member.__name__ for member in get_args(get_args(SchedulerSpec)[0]))]


def small_network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))


def optimizer_of(network: torch.nn.Module, kind: str = "SGD", **values: object) -> torch.optim.Optimizer:
    return build_optimizer(OPTIMIZER.validate_python({"type": kind, **values}), network)


def completed(**values: object) -> Any:  # noqa: ANN401 - a scheduler of any kind
    return SCHEDULER.validate_python(values).completed(epochs=EPOCHS, steps_per_epoch=STEPS)


SAVED = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": (1, 3)},
    "ExponentialLR": {"gamma": 0.5},
    "CosineAnnealingWarmRestarts": {"T_0": 2, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4},
    "OneCycleLR": {"max_lr": 0.1},
    "ReduceLROnPlateau": {"patience": 1, "cooldown": 1},
    "SequentialLR": {"schedulers": ({"type": "LinearLR"}, {"type": "CosineAnnealingLR"}), "milestones": (2,)},
    "ChainedScheduler": {"schedulers": ({"type": "ConstantLR"}, {"type": "MultiStepLR", "milestones": (2,)})},
}


@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("warmup", [None, {"steps": 4}, {"epochs": 2}])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_schedule_goes_on_from_its_state_as_json(
    name: str, warmup: dict[str, int] | None, *, optimizer_first: bool
) -> None:
    fields_of = SAVED.get(name, {}) | ({"warmup": warmup} if warmup and name not in CYCLES else {})
    spec = None if name == "none" else completed(type=name, **fields_of)

    def start() -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = optimizer_of(small_network(), groups=({"parameters": ("0.*",), "weight_decay": 0.1},))
        return optimizer, Schedule.build(spec, optimizer)

    def epoch(number: int, optimizer: torch.optim.Optimizer, schedule: Schedule) -> list[Any]:
        seen = []
        for _ in range(STEPS):
            optimizer.step()
            schedule.after_step()
            seen.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
        schedule.after_epoch(train_loss=LOSSES[number])
        return seen

    whole, saved, record = start(), [], []
    for number in range(EPOCHS):
        saved.append(
            (copy.deepcopy(whole[0].state_dict()), json.dumps(whole[1].state_dict(), allow_nan=False))
        )
        record.append(epoch(number, *whole))
    for done, (of_optimizer, of_schedule) in enumerate(saved):
        optimizer, schedule = start()
        loads = [(optimizer, of_optimizer), (schedule, json.loads(of_schedule))]
        for part, state in loads if optimizer_first else reversed(loads):
            part.load_state_dict(state)
        assert [epoch(number, optimizer, schedule) for number in range(done, EPOCHS)] == record[done:]


def test_without_a_scheduler_the_optimizer_is_left_alone() -> None:
    optimizer = optimizer_of(small_network())
    schedule = Schedule.build(None, optimizer)
    assert type(schedule) is Schedule
    assert "initial_lr" not in optimizer.param_groups[0]
    assert "step" not in vars(optimizer)
    assert schedule.state_dict() == {}


def test_a_warm_up_goes_the_way_of_torchs_recipe_for_it() -> None:
    ours, theirs = optimizer_of(small_network(), lr=0.1), optimizer_of(small_network(), lr=0.1)
    schedule = Schedule.build(completed(type="CosineAnnealingLR", warmup={"epochs": 3}), ours)
    parts = [lr_scheduler.LinearLR(theirs, total_iters=3), lr_scheduler.CosineAnnealingLR(theirs, T_max=9)]
    recipe = lr_scheduler.SequentialLR(theirs, parts, milestones=[3])
    for _ in range(EPOCHS):
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        ours.step()
        theirs.step()
        schedule.after_step()
        schedule.after_epoch(train_loss=1.0)
        recipe.step()


@pytest.mark.parametrize(("has_dev", "falls"), [(True, False), (False, True)])
def test_a_plateau_of_the_train_loss_is_watched_for_where_no_dev_loss_comes(
    *, has_dev: bool, falls: bool
) -> None:
    optimizer = optimizer_of(small_network(), lr=1.0)
    spec = completed(type="ReduceLROnPlateau", monitor="dev_loss", patience=0)
    schedule = Schedule.build(spec, optimizer, has_dev=has_dev)
    for _ in range(2):
        schedule.after_epoch(train_loss=1.0, dev_loss=None)
    assert (optimizer.param_groups[0]["lr"] < 1) is falls


def test_groups_follow_the_parameters_that_have_none() -> None:
    groups = ({"parameters": ("*.bias",), "lr": 0.5}, {"parameters": ("0.*", "2.*"), "momentum": 0.9})
    built = optimizer_of(small_network(), lr=0.1, groups=groups).param_groups
    assert [(group["param_names"], group["lr"], group["momentum"]) for group in built] == [
        (["1.weight"], 0.1, 0.0),
        (["0.bias", "1.bias", "2.bias"], 0.5, 0.0),
        (["0.weight", "2.weight"], 0.1, 0.9),
    ]
    everything = ({"parameters": ("*",), "lr": 0.5},)
    assert [group["lr"] for group in optimizer_of(small_network(), groups=everything).param_groups] == [0.5]


def test_parameters_that_are_not_trained_belong_to_no_group() -> None:
    network = small_network()
    network[0].requires_grad_(requires_grad=False)
    assert optimizer_of(network).param_groups[0]["param_names"] == [
        "1.weight",
        "1.bias",
        "2.weight",
        "2.bias",
    ]
    with pytest.raises(TrainingFailed, match=r"`0\.\*` matches no parameter.*`2\.bias`"):
        optimizer_of(network, groups=({"parameters": ("0.*",), "lr": 1.0},))


@pytest.mark.parametrize("patterns", [("*.gamma",), ("*.bias", "0.weights")])
def test_a_pattern_that_matches_nothing_fails_with_the_names(patterns: tuple[str, ...]) -> None:
    with pytest.raises(TrainingFailed, match=r"`0\.weight`") as caught:
        optimizer_of(small_network(), groups=({"parameters": patterns, "lr": 1.0},))
    assert caught.value.code == "unmatched_group"
    assert caught.value.hint


def test_muon_says_which_parameter_is_no_matrix() -> None:
    with pytest.raises(TrainingFailed, match=r"`0\.bias` has 1 dimensions") as caught:
        optimizer_of(small_network(), "Muon")
    assert caught.value.code == "not_matrices"


def test_a_newton_step_of_length_zero_ends_where_it_began() -> None:
    network = torch.nn.Linear(1, 1)
    optimizer = optimizer_of(network, "LBFGS", line_search_fn="strong_wolfe")
    before = copy.deepcopy(network.state_dict())

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (network(torch.ones(1, 1)) - 3).square().sum()
        loss.backward()
        return loss

    for lr in (0.0, 0.0, 1.0):
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step(closure)
    assert closure().item() < 1e-6


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_the_penalty_is_that_of_the_weights_alone(l1: float, l2: float) -> None:
    network = small_network()
    weights = [network[0].weight, network[2].weight]
    penalty = Penalty(Regularization(l1=l1, l2=l2), network)()
    expected = sum(l1 * w.abs().sum() + l2 * w.pow(2).sum() for w in weights)
    torch.testing.assert_close(penalty, expected)
    penalty.backward()
    for weight in weights:
        torch.testing.assert_close(weight.grad, (l1 * weight.sign() + 2 * l2 * weight).detach())
    assert all(p.grad is None for p in network.parameters() if p.ndim == 1)


def test_there_is_no_penalty_where_none_is_asked_for_or_nothing_has_weights() -> None:
    assert Penalty(Regularization(), small_network())() is None
    assert Penalty(Regularization(l1=1.0), torch.nn.BatchNorm1d(3))() is None


@pytest.mark.parametrize("norm_type", [2.0, 1.0, "inf"])
def test_the_gradient_keeps_both_bounds(norm_type: float | str) -> None:
    network, reference = small_network(), small_network()
    bound = {"max_norm": 0.4, "norm_type": norm_type}
    for one in (network, reference):
        (one(torch.arange(8.0).view(4, 2)) * 100).square().sum().backward()
    Clipping(
        Regularization.model_validate({"clip_grad_norm": bound, "clip_grad_value": 0.1}), network.parameters()
    )()
    torch.nn.utils.clip_grad_value_(reference.parameters(), 0.1)
    torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.4, norm_type=float(norm_type))
    for ours, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
        assert ours.grad.abs().max() <= 0.1


def test_without_bounds_the_gradient_stays_as_it_is() -> None:
    network = small_network()
    network(torch.arange(8.0).view(4, 2)).sum().backward()
    before = [p.grad.clone() for p in network.parameters()]
    Clipping(Regularization(), network.parameters())()
    assert all(torch.equal(p.grad, grad) for p, grad in zip(network.parameters(), before, strict=True))
