"""A model for each group is the model of a job over the group's rows alone; what goes wrong in one is its own matter."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, reject, settings
from hypothesis import strategies as st

from service.exceptions import InvalidSpec, TrainingFailed
from service.spec.plan import Plan
from service.training import callbacks, weights
from service.training.callbacks import Callback, Pulse, Stop
from service.training.checkpoint import Checkpoint, from_bytes, to_bytes
from service.training.choosing import trainer_of
from service.training.frames import load
from service.training.groups import together
from service.training.groups.grouping import Grouping, rows_of
from service.training.groups.models import PARTS, GroupModels
from service.training.groups.table import columns_of, records_of
from service.training.groups.trainer import GroupedFit, GroupedTrainer
from service.training.trainer import Fit, Trainer
from tests.training.conformance import CLOSE, assert_close
from tests.training.jobs import History, inline, job

SIZES = {"groups": 5, "rows": 12, "width": 2, "targets": 1, "data_seed": 0, "dev": 0.0, "weighted": False}
KNOWN = frozenset({"x0", "x1", "x2"})


def sensors(**chosen: Any) -> Plan:  # noqa: ANN401 - what `SIZES` names, and sections of the spec
    """A linear job in float64 over groups of 2 to `rows` rows, which lie in the table in any order."""
    size = {name: chosen.pop(name, usual) for name, usual in SIZES.items()}
    rng = np.random.default_rng(size["data_seed"])
    counts = rng.integers(2, size["rows"] + 1, size["groups"])
    group = rng.permutation(np.repeat(np.arange(size["groups"]), counts))
    rows = len(group)
    columns: dict[str, Any] = {
        f"x{i}": rng.normal(2.0 * i, 1 + i, rows).tolist() for i in range(size["width"])
    }
    columns |= {f"y{i}": rng.normal(9.0 * i, 1.0, rows).tolist() for i in range(size["targets"])}
    selection: dict[str, Any] = {
        "target": [f"y{i}" for i in range(size["targets"])],
        "features": [f"x{i}" for i in range(size["width"])],
    }
    if size["weighted"]:
        columns["w"], selection["weight"] = rng.uniform(0.1, 2.0, rows).tolist(), "w"
    columns["sensor"] = chosen.pop("names", lambda codes: [f"Fühler {code}" for code in codes])(group)
    training = {"dtype": "float64", "epochs": 30, **chosen.pop("training", {})}
    split = {"type": "random", "dev": size["dev"], "test": 0.1, "seed": 3}
    evaluation = {"split": split} if size["dev"] else {}
    data = inline(columns, group_by="sensor", **selection)
    return job(data, training=training, evaluation=evaluation, **chosen)


def fitted(plan: Plan, **options: Any) -> GroupedFit:  # noqa: ANN401 - callbacks, a checkpoint
    fit = trainer_of(plan)(plan, load(plan.spec.data), **options).fit()
    assert isinstance(fit, GroupedFit)
    return fit


def by_itself(plan: Plan, group: int, *, engine: str = "eager") -> tuple[Fit, History]:
    """Train one group as a job over its rows."""
    frame = load(plan.spec.data)
    data = plan.spec.data.model_copy(update={"group_by": None})
    training = plan.spec.training.model_copy(update={"engine": engine})
    rows = Grouping.of(frame, "sensor").rows(group)
    schema = plan.schema.model_copy(update={"rows": len(rows)})
    own = Plan(plan.spec.model_copy(update={"data": data, "training": training}), schema)
    history = History()
    return Trainer(own, rows_of(frame, rows, own), callbacks=[history]).fit(), history


def assert_is_like_single_jobs(plan: Plan, *, engine: str, close: float = CLOSE) -> GroupModels:
    """Compare every group with the reference over its rows, and the history with the mean of theirs."""
    history = History()
    fit = fitted(plan, callbacks=[history])
    assert fit.engine is not None
    assert fit.engine.name == engine, fit.engine.reason
    told: dict[str, list[list[float]]] = {"train_loss": [], "dev_loss": []}
    for group in range(len(fit.models)):
        series = same_outcome(plan, fit.models, group, close=close)
        for name in told.keys() & series.keys():
            told[name].append(series[name])
    for name, values in told.items():
        if values:
            assert_close(np.array(history[name]), np.mean(values, axis=0), close=close, what=name)
    return fit.models


def same_outcome(plan: Plan, models: GroupModels, group: int, *, close: float) -> dict[str, list[float]]:
    """Compare a group with the reference over its rows, and give the history of the latter if it left a model."""
    error = models.errors.get(group)
    if error is not None and error.code != "diverged":
        with pytest.raises(TrainingFailed) as caught:
            by_itself(plan, group)
        assert (error.code, error.message) == (caught.value.code, caught.value.message)
        return {}
    own, series = by_itself(plan, group)
    assert models.figures["epochs"][group] == own.trained.epochs
    assert (own.stop_reason == "diverged") == (error is not None)
    if error is not None:
        return {}
    for name, tensor in own.state_dict.items():
        found = models.state_dict_of(group)[name]
        assert found.dtype == tensor.dtype
        assert_close(found, tensor, close=close, what=f"{name} of {group}")
    for part in PARTS:
        loss, found_loss = own.score.losses[part], models.losses(part)[group]
        assert math.isnan(found_loss) == (loss is None), part
        if loss is not None:
            assert_close(np.array([found_loss]), np.array([loss]), close=close, what=f"{part} of {group}")
    return series.columns


OPTIMIZERS = st.fixed_dictionaries(
    {"type": st.just("SGD"), "lr": st.sampled_from([0.3, 0.05, 1e-3])},
    optional={"momentum": st.sampled_from([0.3, 0.9, 1.0]), "weight_decay": st.sampled_from([0.01, 0.5])},
)
KINDS = st.sampled_from([{}, {"nesterov": True}, {"dampening": 0.4}])
DRAWN = st.fixed_dictionaries(
    {
        "groups": st.integers(1, 6),
        "rows": st.integers(3, 15),
        "width": st.integers(1, 3),
        "targets": st.integers(1, 2),
        "data_seed": st.integers(0, 999),
        "weighted": st.booleans(),
        "dev": st.sampled_from([0.0, 0.3]),
        "model": st.sampled_from(
            [{"type": "linear"}, {"type": "linear", "bias": False}, {"type": "polynomial", "degree": 2}]
        ),
        "regularization": st.sampled_from([{}, {"l2": 0.1}]),
        "preprocessing": st.sampled_from(
            [{}, {"scaling": "standardize"}, {"scaling": "min_max", "target_scaling": "standardize"}]
        ),
        "training": st.integers(1, 60).map(lambda epochs: {"epochs": epochs}),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chosen=DRAWN, optimizer=OPTIMIZERS, kind=KINDS)
@example(
    chosen={"groups": 3, "rows": 3, "width": 3, "model": {"type": "linear"}},
    optimizer={"type": "SGD", "lr": 0.05},
    kind={},
)
def test_each_model_is_that_of_a_job_over_the_group_s_rows(
    chosen: dict[str, Any], optimizer: dict[str, Any], kind: dict[str, Any]
) -> None:
    if "momentum" not in optimizer or (kind.get("nesterov") and optimizer["momentum"] == 0):
        kind = {}
    # A descent that grows doubles the rounding with it: such groups are compared where they diverge, in a test of its own.
    optimizer["lr"] *= 0.1 if chosen["model"]["type"] == "polynomial" else 1
    try:
        plan = sensors(**chosen, optimizer=optimizer | kind)
    except InvalidSpec:
        reject()  # Too few rows in all, or a column that happens to hold one value.
    fit = fitted(plan)
    assert fit.engine is not None
    assert_is_like_single_jobs(plan, engine=fit.engine.name, close=1e-9)


def test_linear_groups_are_trained_together_and_others_one_after_the_other() -> None:
    assert_is_like_single_jobs(sensors(), engine="quadratic")
    assert_is_like_single_jobs(sensors(training={"batch_size": 12}), engine="quadratic")
    batches = sensors(groups=3, training={"batch_size": 4, "epochs": 3})
    assert fitted(batches).engine.name != "quadratic"  # type: ignore[union-attr]
    adam = sensors(groups=9, rows=4, optimizer={"type": "Adam", "lr": 0.1}, training={"epochs": 4})
    assert_is_like_single_jobs(adam, engine="dense")
    network = sensors(
        groups=2, model={"type": "mlp", "hidden": [3]}, training={"epochs": 4, "engine": "eager"}
    )
    assert_is_like_single_jobs(network, engine="eager", close=0.0)


def test_a_group_that_stops_early_has_its_own_number_of_epochs() -> None:
    stopping = {"early_stopping": {"monitor": "train_loss", "patience": 1, "min_delta": 0.05}}
    history = History()
    models = fitted(sensors(training=stopping), callbacks=[history]).models
    epochs = models.figures["epochs"].tolist()
    assert set(models.reasons) == {"early_stopped"}
    assert len(set(epochs)) > 1
    assert len(history["train_loss"]) == max(epochs)
    assert all(map(math.isfinite, history["train_loss"]))


def test_float32_is_that_of_single_jobs_up_to_rounding() -> None:
    assert_is_like_single_jobs(sensors(training={"dtype": "float32"}), engine="quadratic", close=1e-4)


BAD = "Fühler 1"


def with_values(plan: Plan, column: str, values: dict[str, list[float]], **sections: Any) -> Plan:  # noqa: ANN401 - sections of any kind
    """Give the rows of some sensors other values, as often as they are needed."""
    table = {name: list(own) for name, own in plan.spec.data.table.items()}
    for sensor, some in values.items():
        places = [row for row, name in enumerate(table["sensor"]) if name == sensor]
        for number, row in enumerate(places):
            table[column][row] = some[number % len(some)]
    names = ("target", "features", "group_by")
    data = inline(table, **{name: getattr(plan.spec.data, name) for name in names})
    training = {"dtype": "float64", "epochs": plan.spec.training.epochs}
    return job(data, training=training, **sections)


@pytest.mark.parametrize(
    ("values", "code"),
    [([1e200, -3e199], "diverged"), ([1e300, -1e300], "diverged"), ([3e7, 1e7], "diverged")],
)
def test_a_group_that_diverges_fails_alone(values: list[float], code: str) -> None:
    plan = sensors(training={"epochs": 200})
    models = fitted(with_values(plan, "x0", {BAD: values})).models
    untouched = fitted(plan).models
    assert models.errors.keys() == {1}
    assert models.errors[1].code == code
    assert "learning rate" in models.errors[1].hint
    for group in (0, 2, 3, 4):
        assert torch.equal(models.state_dict_of(group)["weight"], untouched.state_dict_of(group)["weight"])


def test_a_group_of_one_row_fails_alone() -> None:
    columns = {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 3.0, 2.0, 2.0], "s": ["a", "b", "b", "b"]}
    models = fitted(job(inline(columns, group_by="s"))).models
    assert models.reasons == ("error", "completed")
    assert models.errors[0].code == "too_few_rows"
    assert models.figures["rows"].tolist() == [[0, 0, 0], [3, 0, 0]]


def test_no_group_may_be_good() -> None:
    columns = {"x": [1.0, 2.0, 3.0], "y": [1.0, 3.0, 2.0], "s": ["a", "b", "c"]}
    fit = fitted(job(inline(columns, group_by="s")))
    assert fit.models.trained == []
    assert fit.epochs == 0
    again = GroupModels.from_bytes(fit.models.to_bytes())
    assert [error.code for error in again.errors.values()] == ["too_few_rows"] * 3


def test_whole_numbers_name_groups_and_others_do_not() -> None:
    plan = sensors(names=lambda codes: [float(code) * 10**6 - 7 for code in codes])
    assert fitted(plan).models.labels == (-7, 999993, 1999993, 2999993, 3999993)
    frame = load(plan.spec.data)
    frame.arrays["sensor"][3] += 0.5
    with pytest.raises(TrainingFailed, match="not whole") as caught:
        GroupedTrainer(plan, frame)
    assert caught.value.code == "unusable_column"


def test_rows_that_are_dropped_are_dropped_in_each_group() -> None:
    plan = sensors(preprocessing={"missing": "drop"})
    table = {name: list(values) for name, values in plan.spec.data.table.items()}
    table["x0"][::4] = [None] * len(table["x0"][::4])
    data = inline(table, group_by="sensor", target="y0", features=["x0", "x1"])
    gaps = job(data, preprocessing={"missing": "drop"}, training={"dtype": "float64", "epochs": 9})
    assert_is_like_single_jobs(gaps, engine="quadratic")
    filled = job(data, preprocessing={"missing": "mean"}, training={"dtype": "float64", "epochs": 9})
    models = assert_is_like_single_jobs(filled, engine="quadratic")
    fills = [models.preparation_of(group).inputs[0].fill for group in range(5)]
    assert len(set(fills)) == 5  # Each group's own mean.


def test_a_group_may_have_no_dev_rows() -> None:
    plan = sensors(groups=4, rows=9, data_seed=1)
    table = {name: list(values) for name, values in plan.spec.data.table.items()}
    table["part"] = ["train"] * len(table["sensor"])
    for name in set(table["sensor"]) - {BAD}:
        table["part"][table["sensor"].index(name)] = "dev"
    data = inline(table, group_by="sensor", target="y0", features=["x0", "x1"])
    split = {"type": "column", "column": "part"}
    models = assert_is_like_single_jobs(
        job(data, evaluation={"split": split}, training={"dtype": "float64", "epochs": 9}), engine="quadratic"
    )
    assert [math.isnan(loss) for loss in models.losses("dev")] == [False, True, False, False]


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.5])
def test_a_group_from_which_nothing_is_to_be_learnt_stays_where_it_began(momentum: float) -> None:
    optimizer = {"type": "SGD", "lr": 0.01, "momentum": momentum}
    plan = sensors(
        width=1, model={"type": "linear", "bias": False}, optimizer=optimizer, training={"epochs": 3000}
    )
    still = with_values(
        plan, "x0", {BAD: [0.0]}, model={"type": "linear", "bias": False}, optimizer=optimizer
    )
    models = fitted(still).models
    own, _ = by_itself(still, 1)
    assert torch.equal(models.state_dict_of(1)["weight"], own.state_dict["weight"])
    assert models.reasons[1] == "completed"


def test_ten_thousand_small_groups_are_one_job_of_a_moment() -> None:
    rng = np.random.default_rng(1)
    rows = 5 * 10_000
    x = np.tile(np.linspace(0, 1, 5), 10_000) + rng.uniform(0, 0.1, rows)
    slope = np.repeat(np.arange(10_000) / 1000, 5)
    columns = {
        "x": x.tolist(),
        "y": (slope * x + 7).tolist(),
        "s": np.repeat(np.arange(10_000.0), 5).tolist(),
    }
    plan = job(
        inline(columns, group_by="s"), training={"epochs": 20_000}, optimizer={"type": "SGD", "lr": 0.5}
    )
    fit = fitted(plan)
    models = GroupModels.from_bytes(fit.models.to_bytes())
    assert (len(models), len(models.trained), models.errors) == (10_000, 10_000, {})
    table = columns_of(models, plan.spec, range(10_000))
    np.testing.assert_allclose(table["coefficients.x"], np.arange(10_000) / 1000, atol=1e-3)
    np.testing.assert_allclose(table["intercept"], 7.0, atol=1e-3)


def test_stored_models_are_read_as_they_were() -> None:
    plan = sensors(
        targets=2, preprocessing={"scaling": "standardize", "target_scaling": "standardize"}, dev=0.2
    )
    models = fitted(plan).models
    data = models.to_bytes()
    again = GroupModels.from_bytes(data)
    assert again.to_bytes() == data
    assert records_of(again, plan.spec, range(5)) == records_of(models, plan.spec, range(5))
    group = models.trained[0]
    assert again.preparation_of(group) == models.preparation_of(group)
    assert by_itself(plan, group)[0].preparation.feature_names == again.preparation_of(group).feature_names


def test_coefficients_are_those_of_a_single_job_in_raw_units() -> None:
    plan = sensors(
        preprocessing={"scaling": "standardize", "target_scaling": "min_max"}, training={"epochs": 900}
    )
    models = fitted(plan).models
    (record,) = records_of(models, plan.spec, [2])
    rows = Grouping.of(load(plan.spec.data), "sensor").rows(2)
    table = {name: np.array(plan.spec.data.table[name])[rows] for name in ("x0", "x1", "y0")}
    fitted_by_hand = record["intercept"] + sum(
        record["coefficients"][f"x{i}"] * table[f"x{i}"] for i in (0, 1)
    )
    scale = np.ptp(table["y0"])
    assert np.mean(((fitted_by_hand - table["y0"]) / scale) ** 2) == pytest.approx(record["train_loss"])


@pytest.mark.parametrize(
    "sections",
    [
        {"preprocessing": {"scaling": "standardize", "target_scaling": "min_max"}, "targets": 2},
        {"preprocessing": {"scaling": "min_max"}, "model": {"type": "linear", "bias": False}},
        {"model": {"type": "polynomial", "degree": 2}},
        {
            "loss": {"type": "GaussianNLLLoss"},
            "preprocessing": {"target_scaling": "standardize"},
            "optimizer": {"type": "Adam"},
        },
        {"model": {"type": "mlp", "hidden": [2]}, "optimizer": {"type": "Adam"}},
    ],
)
def test_coefficients_are_read_as_of_one_model(sections: dict[str, Any]) -> None:
    plan = sensors(**sections, groups=3, training={"epochs": 3})
    models = fitted(plan).models
    for group, record in enumerate(records_of(models, plan.spec, range(3))):
        tensors, preparation = models.state_dict_of(group), models.preparation_of(group)
        expected = weights.coefficients(tensors, preparation, model=plan.spec.model.type, loss=plan.spec.loss)
        found = (record["coefficients"], record["intercept"])
        if expected is None:
            assert found == (None, None)
        else:
            assert flat(found) == pytest.approx(flat(expected), rel=1e-9, abs=1e-9)


def flat(value: Any, *path: Any) -> Any:  # noqa: ANN401 - numbers, or what they are nested in
    """Lay out nested numbers side by side, to compare them approximately."""
    if isinstance(value, float):
        return {path: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: number for name, one in pairs for key, number in flat(one, *path, name).items()}


class Stopper(Callback):
    """Ends the job at a pulse, or leaves it there with a checkpoint."""

    def __init__(self, at: int, reason: str | None = None) -> None:
        self.at, self.reason, self.pulses = at, reason, 0
        self.left = b""
        self.told = History()

    def on_pulse(self, pulse: Pulse) -> None:
        self.pulses += 1
        if self.pulses == self.at and self.reason is None:
            self.left = to_bytes(pulse.checkpoint())
            raise ZeroDivisionError
        self.told.on_pulse(pulse)
        if self.pulses == self.at:
            raise Stop(str(self.reason))


JOBS = {
    "together": lambda: sensors(dev=0.2),
    "alone": lambda: sensors(groups=3, optimizer={"type": "Adam"}, training={"epochs": 5}),
    "beside": lambda: sensors(groups=9, rows=3, optimizer={"type": "Adam"}, training={"epochs": 5}),
    "early": lambda: sensors(groups=3, training={"early_stopping": {"monitor": "train_loss", "patience": 2}}),
    "mixed": lambda: with_values(sensors(training={"epochs": 60}), "x0", {BAD: [1e100, -1e100]}),
}


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_that_goes_on_from_a_checkpoint_is_the_undisturbed_job(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    monkeypatch.setattr(together, "BLOCK_NUMBERS", 200)
    plan = JOBS[kind]()
    whole = Stopper(0)
    expected = fitted(plan, callbacks=[whole]).models.to_bytes()
    assert whole.pulses > 3
    for at in sorted({*np.linspace(1, whole.pulses, 6).astype(int).tolist()}):
        before, after = Stopper(at), Stopper(0)
        with pytest.raises(ZeroDivisionError):
            fitted(plan, callbacks=[before])
        checkpoint = from_bytes(before.left)
        assert fitted(plan, callbacks=[after], checkpoint=checkpoint).models.to_bytes() == expected
        told = {name: series[: checkpoint.epoch] for name, series in whole.told.columns.items()}
        joined = {name: told[name] + series for name, series in after.told.columns.items()}
        assert joined == whole.told.columns


def test_a_checkpoint_of_other_groups_is_refused() -> None:
    other = Stopper(1)
    with pytest.raises(ZeroDivisionError):
        fitted(sensors(groups=3), callbacks=[other])
    checkpoint: Checkpoint = from_bytes(other.left)
    with pytest.raises(Exception, match="3 groups"):
        fitted(sensors(groups=4), checkpoint=checkpoint)


@pytest.mark.parametrize("reason", ["stopped", "max_runtime"])
def test_groups_whose_turn_never_came_are_skipped(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PULSE_SECONDS", 0.0)
    plan = sensors(groups=3, optimizer={"type": "Adam"}, training={"epochs": 5})
    fit = fitted(plan, callbacks=[Stopper(8, reason)])
    assert fit.stop_reason == reason
    assert sorted(fit.models.reasons) == ["completed", reason, "waiting"]
    group = fit.models.reasons.index("waiting")
    assert fit.models.errors[group].code == "skipped"
    assert records_of(fit.models, plan.spec, [group])[0]["status"] == "skipped"
