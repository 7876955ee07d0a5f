"""What the spec says to optimize with goes the same way, to the last bit, as plain torch written by hand."""

import copy
import fnmatch
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch.optim import lr_scheduler

from service.spec.limits import Limits
from service.spec.optimizers import OptimizerSpec
from service.spec.schedulers import SchedulerSpec
from service.training.optimization import Schedule, build_optimizer

EPOCHS, STEPS = 6, 3
OPTIMIZER: TypeAdapter[Any] = TypeAdapter(OptimizerSpec)
SCHEDULER: TypeAdapter[Any] = TypeAdapter(SchedulerSpec)

LR = st.sampled_from([1e-3, 1e-2, 0.1, 0.5])
SHARE = st.sampled_from([0.0, 0.5, 0.9])
DECAY = st.sampled_from([0.0, 0.01, 0.3])
EPS = st.sampled_from([1e-8, 1e-4])
BETAS = st.tuples(SHARE, st.sampled_from([0.5, 0.99])).map(list)
SWITCH = st.booleans()
ADAM = {"lr": LR, "betas": BETAS, "eps": EPS, "weight_decay": DECAY}
NUMBERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": LR, "momentum": SHARE, "dampening": SHARE, "weight_decay": DECAY},
    "RMSprop": {"lr": LR, "alpha": SHARE, "eps": EPS, "weight_decay": DECAY, "momentum": SHARE},
    "Adam": ADAM,
    "AdamW": ADAM,
    "Adamax": ADAM,
    "NAdam": {**ADAM, "momentum_decay": DECAY},
    "RAdam": ADAM,
    "Adagrad": {"lr": LR, "lr_decay": DECAY, "weight_decay": DECAY, "eps": EPS},
    "Adadelta": {"lr": LR, "rho": SHARE, "eps": EPS, "weight_decay": DECAY},
    "Adafactor": {
        "lr": LR,
        "beta2_decay": st.sampled_from([-0.8, -0.5]),
        "eps": st.sampled_from([[None, 1e-3], [1e-5, 1e-2]]),
        "d": st.sampled_from([1.0, 2.0]),
        "weight_decay": DECAY,
    },
    "ASGD": {"lr": LR, "lambd": st.sampled_from([0.0, 1e-4, 0.01]), "alpha": SHARE, "t0": st.sampled_from([1.0, 1e6]), "weight_decay": DECAY},
    "Rprop": {
        "lr": LR,
        "etas": st.sampled_from([[0.5, 1.2], [0.3, 2.0]]),
        "step_sizes": st.sampled_from([[1e-6, 50], [1e-3, 0.1]]),
    },
    "LBFGS": {"lr": LR},
    "Muon": {"lr": LR, "weight_decay": DECAY, "momentum": SHARE, "ns_steps": st.sampled_from([1, 5])},
}  # fmt: skip
"""For each optimizer the numbers that a group may have as well."""
CHOICES: dict[str, dict[str, Any]] = {
    "RMSprop": {"centered": SWITCH},
    "Adam": {"amsgrad": SWITCH, "decoupled_weight_decay": SWITCH},
    "AdamW": {"amsgrad": SWITCH},
    "NAdam": {"decoupled_weight_decay": SWITCH},
    "RAdam": {"decoupled_weight_decay": SWITCH},
    "Adagrad": {"initial_accumulator_value": DECAY},
    "Muon": {"nesterov": SWITCH, "adjust_lr_fn": st.sampled_from(["original", "match_rms_adamw", None])},
    "LBFGS": {
        "max_iter": st.integers(1, 5),
        "max_eval": st.none() | st.integers(1, 8),
        "history_size": st.integers(1, 3),
        "line_search_fn": st.sampled_from(["strong_wolfe", None]),
    },
}
"""And what it has for all parameters."""
PATTERNS = [["*.bias"], ["0.*"], ["?.weight", "2.b*"]]
COUNT = st.integers(1, 7)
GAMMA = st.sampled_from([0.1, 0.5, 0.9, 1.1])
SIMPLE: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": COUNT, "gamma": GAMMA},
    "MultiStepLR": {"milestones": st.lists(COUNT, min_size=1, max_size=3, unique=True).map(sorted), "gamma": GAMMA},
    "ConstantLR": {"factor": st.sampled_from([0.1, 1.0]), "total_iters": COUNT},
    "LinearLR": {
        "start_factor": st.sampled_from([0.1, 1.0]),
        "end_factor": st.sampled_from([0.0, 0.5]),
        "total_iters": COUNT,
    },
    "ExponentialLR": {"gamma": GAMMA},
    "PolynomialLR": {"total_iters": COUNT, "power": st.sampled_from([0.0, 0.5, 1.0, 2.0])},
    "CosineAnnealingLR": {"T_max": COUNT, "eta_min": DECAY},
    "CosineAnnealingWarmRestarts": {"T_0": COUNT, "T_mult": st.integers(1, 2), "eta_min": DECAY},
}  # fmt: skip
CYCLES: dict[str, dict[str, Any]] = {
    "CyclicLR": {
        "base_lr": st.just(0.01),
        "max_lr": st.just(0.2),
        "step_size_up": COUNT,
        "step_size_down": st.none() | COUNT,
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
        "gamma": st.sampled_from([0.9, 1.0]),
    },
    "OneCycleLR": {
        "max_lr": st.just(0.2),
        "total_steps": st.integers(EPOCHS * STEPS, 40),
        "pct_start": st.sampled_from([0.21, 0.37, 0.5]),
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "three_phase": SWITCH,
    },
}
PLATEAU = {
    "mode": st.sampled_from(["min", "max"]),
    "factor": SHARE,
    "patience": st.integers(0, 2),
    "threshold": DECAY,
    "threshold_mode": st.sampled_from(["rel", "abs"]),
    "cooldown": st.integers(0, 2),
    "min_lr": st.sampled_from([0.0, 1e-3]),
    "monitor": st.sampled_from(["train_loss", "dev_loss"]),
}
MOMENTUM = {"SGD", "RMSprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Muon"}
SCHEDULERS = ["none", *SIMPLE, *CYCLES, "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"]


def fields(table: dict[str, Any], name: str, **more: Any) -> st.SearchStrategy[dict[str, Any]]:  # noqa: ANN401
    return st.fixed_dictionaries({"type": st.just(name), **table, **more})


def some(table: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """At least one of the fields."""
    return st.fixed_dictionaries({}, optional=table).filter(bool)


@st.composite
def optimizers(draw: st.DrawFn, name: str, *, cycled: bool) -> dict[str, Any]:
    spec = draw(fields(NUMBERS[name] | CHOICES.get(name, {}), name))
    if name == "LBFGS":
        return spec
    numbers = {k: v for k, v in NUMBERS[name].items() if not cycled or k not in {"lr", "momentum"}}
    patterns = [["0.*"]] if name == "Muon" else PATTERNS
    groups = [
        {"parameters": pattern, **draw(some(numbers))} for pattern in patterns if numbers and draw(SWITCH)
    ]
    return {**spec, "groups": groups} if groups else spec


@st.composite
def schedulers(draw: st.DrawFn, name: str, *, has_momentum: bool) -> dict[str, Any] | None:
    part = st.sampled_from(sorted(SIMPLE)).flatmap(lambda one: fields(SIMPLE[one], one))
    interval = {"interval": st.sampled_from(["epoch", "step"])}
    warmup = {
        "warmup": st.none() | st.sampled_from([{"steps": 2}, {"steps": STEPS}, {"steps": 4}, {"epochs": 2}])
    }
    if name == "none":
        return None
    if name in CYCLES:
        return draw(
            fields(CYCLES[name], name, cycle_momentum=st.booleans() if has_momentum else st.just(value=False))
        )
    if name == "ReduceLROnPlateau":
        return draw(fields(PLATEAU, name, **warmup))
    if name in SIMPLE:
        return draw(fields(SIMPLE[name], name, **interval, **warmup))
    parts = draw(st.lists(part, min_size=2, max_size=3))
    milestones = {"milestones": st.just([2, 5][: len(parts) - 1])} if name == "SequentialLR" else {}
    return draw(fields({"schedulers": st.just(parts), **milestones}, name, **interval, **warmup))  # fmt: skip


@st.composite
def trainings(draw: st.DrawFn, optimizer: str, scheduler: str) -> dict[str, Any]:
    return {
        "optimizer": draw(optimizers(optimizer, cycled=scheduler in CYCLES)),
        "scheduler": draw(schedulers(scheduler, has_momentum=optimizer in MOMENTUM)),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
        "seed": draw(st.integers(0, 1000)),
    }


def network_for(training: dict[str, Any]) -> torch.nn.Sequential:
    bias = training["optimizer"]["type"] != "Muon"
    torch.manual_seed(training["seed"])
    layers = [torch.nn.Linear(2, 3, bias=bias), torch.nn.Tanh(), torch.nn.Linear(3, 1, bias=bias)]
    return torch.nn.Sequential(*layers).to(training["dtype"])


def batches(training: dict[str, Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(training["seed"])
    rows = torch.randn(STEPS, 4, 3, generator=generator, dtype=training["dtype"])
    for _ in range(EPOCHS):
        for batch in rows:
            yield batch[:, :2], batch[:, 2:]


Step = Callable[[Callable[[], torch.Tensor]], None]


def train(
    training: dict[str, Any], network: torch.nn.Module, step: Step, close: Callable[[float], None]
) -> None:
    """Six epochs of three steps: `step` takes the closure, `close` the last loss of an epoch."""
    for number, (x, y) in enumerate(batches(training), start=1):

        def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            network.zero_grad()
            loss = torch.nn.functional.mse_loss(network(x), y)
            loss.backward()
            return loss

        loss = closure().item()
        step(closure)
        if number % STEPS == 0:
            close(loss)


def rates(optimizer: torch.optim.Optimizer, network: torch.nn.Module) -> dict[str, Any]:
    """The values of each parameter's group, by its name."""
    names = {id(p): name for name, p in network.named_parameters()}
    shown = ("lr", "momentum", "betas")
    return {
        names[id(p)]: [group[key] for key in shown if key in group]
        for group in optimizer.param_groups
        for p in group["params"]
    }


def ours(training: dict[str, Any]) -> tuple[list[Any], torch.nn.Module]:
    network, record = network_for(training), []
    spec = OPTIMIZER.validate_json(json.dumps(training["optimizer"]))
    scheduler = training["scheduler"] and SCHEDULER.validate_json(json.dumps(training["scheduler"]))
    assert spec.problems(Limits()) == []
    if scheduler:
        job = {"epochs": EPOCHS, "steps_per_epoch": STEPS}
        assert scheduler.problems(Limits(), optimizer=spec, has_dev_set=True, **job) == []
        scheduler = scheduler.completed(**job)
    optimizer = build_optimizer(spec, network)
    schedule = Schedule.build(scheduler, optimizer)

    def step(closure: Callable[[], torch.Tensor]) -> None:
        optimizer.step(closure) if spec.needs_closure else optimizer.step()
        schedule.after_step()
        record.append(rates(optimizer, network))

    def close(loss: float) -> None:
        schedule.after_epoch(train_loss=loss, dev_loss=-loss)
        record.append(rates(optimizer, network))

    train(training, network, step, close)
    return record, network


def torchs_optimizer(training: dict[str, Any], network: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimizer as anybody would write it, each parameter with its own options."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in training["optimizer"].items()}
    kind, groups = values.pop("type"), values.pop("groups", ())
    options: list[dict[str, Any]] = [{"params": [], **g} for g in copy.deepcopy(groups)] + [{"params": []}]
    for name, parameter in network.named_parameters():
        matching = [
            o for o in options if any(fnmatch.fnmatchcase(name, p) for p in o.get("parameters", ["*"]))
        ]
        matching[0]["params"].append(parameter)
    for option in options:
        option.pop("parameters", None)
        option.update({k: tuple(v) for k, v in option.items() if isinstance(v, list) and k != "params"})
    return getattr(torch.optim, kind)([o for o in options if o["params"]], **values)  # type: ignore[no-any-return]


def torchs_scheduler(spec: dict[str, Any], optimizer: torch.optim.Optimizer) -> Any:  # noqa: ANN401
    values = {k: v for k, v in spec.items() if k not in {"type", "interval", "warmup", "monitor"}}
    parts = [torchs_scheduler(part, optimizer) for part in values.pop("schedulers", ())]
    if spec["type"] == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler(parts, optimizer)
    return getattr(lr_scheduler, spec["type"])(optimizer, *([parts] if parts else []), **values)


class ByHand:
    """The same training in plain torch: a warm-up by LinearLR, then a new scheduler."""

    def __init__(self, training: dict[str, Any]) -> None:
        self.network, self.record = network_for(training), list[Any]()
        self.optimizer = torchs_optimizer(training, self.network)
        self.spec = training["scheduler"] or {"type": "none", "interval": "never"}
        self.interval = self.spec.get("interval", "step" if self.spec["type"] in CYCLES else "epoch")
        warmup = self.spec.get("warmup") or {}
        self.warm_steps = warmup.get("steps", STEPS * warmup.get("epochs", 0))
        self.warm_interval = "step" if "steps" in warmup else "epoch"
        self.done, self.warm, self.main = 0, None, None
        if warmup:
            self.warm = lr_scheduler.LinearLR(self.optimizer, total_iters=next(iter(warmup.values())))
        elif training["scheduler"]:
            self.main = torchs_scheduler(self.spec, self.optimizer)
        train(training, self.network, self.step, self.close)

    def step(self, closure: Callable[[], torch.Tensor]) -> None:
        try:
            self.optimizer.step(closure)
        except ZeroDivisionError:  # Torch's line search, where the learning rate is zero.
            self.optimizer.state.clear()
        self.done += 1
        self.advance("step", starts=self.warm_interval == "step" and self.done == self.warm_steps)

    def close(self, loss: float) -> None:
        at_end = self.done == self.warm_steps
        if at_end and self.warm_interval == "step":
            self.record.append(rates(self.optimizer, self.network))
            return
        watched = {"train_loss": loss, "dev_loss": -loss}.get(self.spec.get("monitor", ""))
        self.advance("epoch", *([] if watched is None else [watched]), starts=at_end)

    def advance(self, interval: str, *watched: float, starts: bool) -> None:
        if starts and self.warm:
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"]
            self.main = torchs_scheduler(self.spec, self.optimizer)
        elif self.main and interval == self.interval:
            self.main.step(*watched)
        elif self.warm and not self.main and interval == self.warm_interval:
            self.warm.step()
        self.record.append(rates(self.optimizer, self.network))


def assert_equal(training: dict[str, Any]) -> None:
    (record, network), reference = ours(training), ByHand(training)
    assert record == reference.record
    for name, tensor in reference.network.state_dict().items():
        assert torch.equal(network.state_dict()[name].nan_to_num(), tensor.nan_to_num()), name


def any_of(names: Any) -> st.SearchStrategy[str]:  # noqa: ANN401 - the keys of a table
    return st.sampled_from(sorted(names))


@pytest.mark.parametrize("optimizer", NUMBERS)
def test_every_optimizer_with_its_groups_equals_plain_torch(optimizer: str) -> None:
    @settings(max_examples=10, deadline=None)
    @given(training=any_of(SCHEDULERS).flatmap(lambda scheduler: trainings(optimizer, scheduler)))
    def check(training: dict[str, Any]) -> None:
        assert_equal(training)

    check()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_with_its_warm_up_equals_plain_torch(scheduler: str) -> None:
    @settings(max_examples=10, deadline=None)
    @given(training=any_of(NUMBERS).flatmap(lambda optimizer: trainings(optimizer, scheduler)))
    def check(training: dict[str, Any]) -> None:
        assert_equal(training)

    check()
