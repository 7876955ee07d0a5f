"""Right combinations of targets, model and loss pass; wrong ones are refused with the right one named."""

import itertools
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from service.spec.losses import LossSpec, Target
from service.spec.metrics import METRICS, MetricSpec, Task, default_metrics, metric_problems, task_of
from service.spec.pairing import classes_of, output_kind, pairing_problems
from service.spec.schema import Column

ADAPTER: TypeAdapter[LossSpec] = TypeAdapter(LossSpec)
NAMES = [member.__name__ for member in get_args(get_args(LossSpec)[0])]


def loss(name: str, **fields: object) -> LossSpec:
    return ADAPTER.validate_python({"type": name, **fields})


@dataclass(frozen=True)
class Model:
    """What the pairing asks of a model."""

    type: str = "mlp"
    last_activation: str | None = None


def number(*values: float, name: str = "y") -> Column:
    mean = sum(values) / len(values)
    distinct = tuple(sorted(set(values)))
    return Column(
        name=name,
        kind="number",
        dtype="float64",
        minimum=min(values),
        maximum=max(values),
        mean=mean,
        values=distinct if len(distinct) <= 1000 else None,
    )


def category(*values: str, name: str = "y") -> Column:
    return Column(name=name, kind="category", dtype="str", values=tuple(sorted(set(values))))


def array(*shape: int, **figures: float) -> Column:
    return Column(name="y", kind="array", dtype="float64", shape=shape, **figures)


COMPUTED = Column(name="y", kind="number", dtype="float64")
FREE_TEXT = Column(name="y", kind="text", dtype="str")
NUMBERS = number(*(0.37 * i - 50 for i in range(2000)))
COUNTS = number(0, 1, 2, 3, 4, 5, 9)
TWO, THREE = category("no", "yes"), category("setosa", "versicolor", "virginica")
BITS = number(0, 1, 1)
SIGNS = number(-1, 1)
LABELS = (number(0, 1, name="a"), number(0, 0, 1, name="b"))
SHARES = (number(0.2, 0.6, name="a"), number(0.8, 0.4, name="b"))
LOG_SHARES = (number(-1.0, -2.0, name="a"), number(-0.5, -0.1, name="b"))

Row = tuple[LossSpec, Model, tuple[Column, ...]]

RIGHT: list[Row] = [
    (loss("MSELoss"), Model("linear"), (NUMBERS,)),
    (loss("MSELoss"), Model(), (COMPUTED,)),
    (loss("MSELoss"), Model("linear"), (NUMBERS, COUNTS)),
    (loss("MSELoss"), Model("cnn"), (array(2, 3),)),
    (loss("MSELoss"), Model(last_activation="Sigmoid"), (BITS,)),
    (loss("MSELoss"), Model("logistic", "Sigmoid"), (BITS,)),
    (loss("MSELoss"), Model(last_activation="Softmax"), SHARES),
    (loss("L1Loss"), Model(last_activation="ReLU"), (NUMBERS,)),
    (loss("SmoothL1Loss"), Model("polynomial"), (NUMBERS,)),
    (loss("HuberLoss"), Model("polynomial"), (NUMBERS,)),
    (loss("PoissonNLLLoss"), Model("linear"), (COUNTS,)),
    (loss("PoissonNLLLoss", log_input=False), Model(last_activation="Softplus"), (COUNTS,)),
    (loss("GaussianNLLLoss"), Model(), (NUMBERS,)),
    (loss("CrossEntropyLoss"), Model("softmax"), (THREE,)),
    (loss("CrossEntropyLoss"), Model("softmax"), (TWO,)),
    (loss("CrossEntropyLoss"), Model("sequential"), (number(*range(10)),)),
    (loss("CrossEntropyLoss"), Model(last_activation="LogSoftmax"), (THREE,)),
    (loss("CrossEntropyLoss", weight=(1.0, 2.0, 3.0)), Model(), (THREE,)),
    (loss("NLLLoss"), Model(last_activation="LogSoftmax"), (THREE,)),
    (loss("MultiMarginLoss"), Model("softmax"), (THREE,)),
    (loss("KLDivLoss"), Model(last_activation="LogSoftmax"), SHARES),
    (loss("KLDivLoss", log_target=True), Model("softmax", "LogSoftmax"), LOG_SHARES),
    (
        loss("KLDivLoss"),
        Model(last_activation="LogSoftmax"),
        (array(4, minimum=0.1, maximum=0.5, mean=0.25),),
    ),
    (loss("BCELoss"), Model("logistic", "Sigmoid"), (TWO,)),
    (loss("BCEWithLogitsLoss"), Model("logistic"), (BITS,)),
    (loss("BCEWithLogitsLoss"), Model("logistic"), (SIGNS,)),
    (loss("BCEWithLogitsLoss"), Model(), LABELS),
    (loss("BCEWithLogitsLoss", pos_weight=(1.0, 2.0)), Model(), LABELS),
    (loss("MultiLabelSoftMarginLoss"), Model(), LABELS),
    (loss("SoftMarginLoss"), Model("logistic"), (TWO,)),
    (loss("HingeEmbeddingLoss"), Model(last_activation="Softplus"), (SIGNS,)),
    (loss("MultiLabelMarginLoss"), Model(), LABELS),
    (loss("MarginRankingLoss"), Model(), (SIGNS,)),
    (loss("CosineEmbeddingLoss"), Model(), (SIGNS,)),
    (loss("TripletMarginLoss"), Model(), ()),
    (loss("CTCLoss"), Model("sequential", "LogSoftmax"), (array(8),)),
]


def described(row: tuple[object, ...]) -> str:
    one, model, targets = row[:3]
    names = "+".join(f"{column.kind}{len(column.values or ())}" for column in targets)  # type: ignore[attr-defined]
    return f"{one.type}-{model.type}-{model.last_activation}-{names}"  # type: ignore[attr-defined]


def inputs_of(one: LossSpec) -> tuple[str, ...]:
    return one.roles or ("features",)


@pytest.mark.parametrize("row", RIGHT, ids=described)
def test_what_belongs_together_passes(row: Row) -> None:
    one, model, targets = row
    assert pairing_problems(one, model, targets=targets, inputs=inputs_of(one), rows=5000) == []


def test_each_loss_has_a_right_partner() -> None:
    assert {row[0].type for row in RIGHT} == set(NAMES)


OFF, TYPE, TARGET = "/model/output_activation", "/loss/type", "/data/target"
WRONG: list[tuple[LossSpec, Model, tuple[Column, ...], str, str]] = [
    # Targets that the loss cannot take.
    (loss("MSELoss"), Model(), (THREE,), TYPE, "Take CrossEntropyLoss"),
    (loss("MSELoss"), Model(), (TWO,), TYPE, "Take BCEWithLogitsLoss"),
    (loss("MSELoss"), Model("linear"), (FREE_TEXT,), TARGET, "Choose a target of numbers"),
    (loss("MSELoss"), Model(), (THREE, NUMBERS), TARGET, "one job for each"),
    (loss("PoissonNLLLoss"), Model(), (NUMBERS,), TYPE, "Take MSELoss"),
    (loss("GaussianNLLLoss"), Model(), (THREE,), TYPE, "Take CrossEntropyLoss"),
    (loss("CrossEntropyLoss"), Model(), (NUMBERS,), TYPE, "Take MSELoss"),
    (loss("CrossEntropyLoss"), Model("softmax"), (NUMBERS,), TYPE, "the model `linear`"),
    (loss("CrossEntropyLoss"), Model(), (number(*(0.5 * i for i in range(500))),), TYPE, "Take MSELoss"),
    (loss("CrossEntropyLoss"), Model(), (number(*range(900)),), TYPE, "Take MSELoss"),
    (loss("CrossEntropyLoss"), Model(), (category(*map(str, range(900))),), TARGET, "repeat often enough"),
    (loss("CrossEntropyLoss"), Model(), (COMPUTED,), TYPE, "Take MSELoss"),
    (loss("CrossEntropyLoss"), Model(), (category("a"),), TARGET, "that varies"),
    (loss("CrossEntropyLoss"), Model(), LABELS, TYPE, "Take BCEWithLogitsLoss"),
    (loss("CrossEntropyLoss"), Model(), (NUMBERS, COUNTS), TYPE, "Take MSELoss"),
    (loss("CrossEntropyLoss"), Model(), (array(3),), TYPE, "Take MSELoss"),
    (loss("NLLLoss"), Model(), (NUMBERS,), TYPE, "Take MSELoss"),
    (loss("MultiMarginLoss"), Model(), (FREE_TEXT,), TARGET, "Choose a target"),
    (loss("BCEWithLogitsLoss"), Model(), (THREE,), TYPE, "Take CrossEntropyLoss"),
    (loss("BCEWithLogitsLoss"), Model("logistic"), (THREE,), TYPE, "the model `softmax`"),
    (loss("BCEWithLogitsLoss"), Model("logistic"), (NUMBERS,), TYPE, "Take MSELoss"),
    (loss("BCELoss"), Model(), (number(0, 1, 2),), TYPE, "Take CrossEntropyLoss"),
    (loss("BCELoss"), Model(), (LABELS[0], number(0, 1, 2, name="b")), TYPE, "Take MSELoss"),
    (loss("BCELoss"), Model(), (LABELS[0], TWO), TARGET, "one job for each"),
    (loss("BCELoss"), Model(), (category("a"),), TARGET, "that varies"),
    (loss("BCELoss"), Model(), (number(1, 1),), TARGET, "that varies"),
    (loss("SoftMarginLoss"), Model(), (THREE,), TYPE, "Take CrossEntropyLoss"),
    (loss("HingeEmbeddingLoss"), Model(), (NUMBERS,), TYPE, "-1 for others"),
    (loss("MultiLabelSoftMarginLoss"), Model(), (FREE_TEXT,), TARGET, "Choose a target"),
    (loss("MultiLabelMarginLoss"), Model(), (BITS,), TYPE, "Take BCEWithLogitsLoss"),
    (loss("MultiLabelMarginLoss"), Model(), (NUMBERS, BITS), TYPE, "Take MSELoss"),
    (loss("KLDivLoss"), Model(), (THREE,), TYPE, "Take CrossEntropyLoss"),
    (loss("KLDivLoss"), Model(), (NUMBERS,), TYPE, "Take MSELoss"),
    (loss("KLDivLoss"), Model(), (NUMBERS, COUNTS), TARGET, "MSELoss"),
    (loss("KLDivLoss"), Model(), LABELS, TARGET, "sum"),
    (loss("KLDivLoss"), Model(), LOG_SHARES, TARGET, "log_target"),
    (loss("KLDivLoss", log_target=True), Model(), SHARES, TARGET, "log_target"),
    (loss("MarginRankingLoss"), Model(), (NUMBERS,), TARGET, "-1 where the second"),
    (loss("MarginRankingLoss"), Model(), LABELS, TARGET, "one target column"),
    (loss("CosineEmbeddingLoss"), Model(), (THREE,), TARGET, "alike"),
    (loss("TripletMarginLoss"), Model(), (NUMBERS,), TARGET, "Leave `target` out"),
    (loss("CTCLoss"), Model("sequential"), (THREE,), TYPE, "Take CrossEntropyLoss"),
    # Models that are made for another target.
    (loss("CrossEntropyLoss"), Model("logistic"), (THREE,), "/model/type", "`softmax`"),
    (loss("CrossEntropyLoss"), Model("logistic"), (TWO,), "/model/type", "BCEWithLogitsLoss"),
    (loss("BCEWithLogitsLoss"), Model("softmax"), (TWO,), "/model/type", "`logistic`"),
    (loss("BCEWithLogitsLoss"), Model("softmax"), LABELS, "/model/type", "`logistic`"),
    (loss("MSELoss"), Model("softmax"), (NUMBERS,), "/model/type", "`linear`"),
    (loss("MSELoss"), Model("logistic"), (BITS,), "/model/type", "BCEWithLogitsLoss"),
    (loss("MSELoss"), Model("softmax"), (COUNTS,), "/model/type", "CrossEntropyLoss"),
    (loss("CTCLoss"), Model("mlp"), (array(8),), "/model/type", "`sequential`"),
    # Activations that the loss does not expect.
    (
        loss("CrossEntropyLoss"),
        Model(last_activation="Softmax"),
        (THREE,),
        OFF,
        "Leave output_activation out",
    ),
    (loss("CrossEntropyLoss"), Model(last_activation="ReLU"), (THREE,), OFF, "Leave output_activation out"),
    (
        loss("CrossEntropyLoss"),
        Model("sequential", "Softmax"),
        (THREE,),
        "/model/layers",
        "Leave the last layer, Softmax, out",
    ),
    (loss("NLLLoss"), Model(), (THREE,), TYPE, "Take CrossEntropyLoss"),
    (loss("NLLLoss"), Model(last_activation="Softmax"), (THREE,), OFF, '"LogSoftmax"'),
    (loss("MultiMarginLoss"), Model(last_activation="Tanh"), (THREE,), OFF, "Leave output_activation out"),
    (loss("KLDivLoss"), Model(), SHARES, OFF, '"LogSoftmax"'),
    (loss("BCELoss"), Model(), (TWO,), TYPE, "Take BCEWithLogitsLoss"),
    (loss("BCELoss"), Model(last_activation="Softmax"), LABELS, OFF, '"Sigmoid"'),
    (loss("BCEWithLogitsLoss"), Model(last_activation="Sigmoid"), (TWO,), OFF, "Leave output_activation out"),
    (loss("MultiLabelSoftMarginLoss"), Model(last_activation="Sigmoid"), LABELS, OFF, "Leave"),
    (loss("MultiLabelMarginLoss"), Model(last_activation="Sigmoid"), LABELS, OFF, "Leave"),
    (loss("SoftMarginLoss"), Model(last_activation="Sigmoid"), (TWO,), OFF, "Leave"),
    (loss("HingeEmbeddingLoss"), Model(), (SIGNS,), TYPE, "Take SoftMarginLoss"),
    (loss("HingeEmbeddingLoss"), Model(last_activation="Tanh"), (SIGNS,), OFF, '"Softplus"'),
    (loss("PoissonNLLLoss"), Model(last_activation="Softplus"), (COUNTS,), OFF, "log_input to false"),
    (loss("PoissonNLLLoss", log_input=False), Model(), (COUNTS,), "/loss/log_input", "log_input to true"),
    (loss("GaussianNLLLoss"), Model(last_activation="ReLU"), (NUMBERS,), OFF, "Leave"),
    (
        loss("CTCLoss"),
        Model("sequential"),
        (array(8),),
        "/model/layers",
        'let {"type": "LogSoftmax"} be the last layer',
    ),
    (loss("MSELoss"), Model(last_activation="Softmax"), (BITS,), OFF, "Sigmoid is right"),
    # Weights that are not one for each class or label.
    (loss("CrossEntropyLoss", weight=(1.0, 2.0)), Model(), (THREE,), "/loss/weight", "3 weights"),
    (loss("MultiMarginLoss", weight=(0.0, 0.0, 0.0)), Model(), (THREE,), "/loss/weight", "above 0"),
    (loss("BCEWithLogitsLoss", pos_weight=(1.0,)), Model(), LABELS, "/loss/pos_weight", "2 weights"),
    (loss("BCEWithLogitsLoss", weight=(1.0, 1.0)), Model(), (TWO,), "/loss/weight", "1 weight"),
]


@pytest.mark.parametrize("row", WRONG, ids=described)
def test_what_does_not_belong_together_is_refused_with_the_right_one(
    row: tuple[LossSpec, Model, tuple[Column, ...], str, str],
) -> None:
    one, model, targets, pointer, hint = row
    (problem,) = pairing_problems(one, model, targets=targets, inputs=inputs_of(one), rows=1000)
    assert (problem.code, problem.pointer) == ("wrong_pairing", pointer)
    assert hint in problem.hint
    assert problem.message[-1] == problem.hint[-1] == "."
    assert "{" not in problem.message


MODELS = ["linear", "logistic", "softmax", "mlp", "cnn", "sequential", "my.plugin"]
ACTIVATIONS = [None, "Sigmoid", "Softmax", "LogSoftmax", "ReLU", "Tanh", "Bilinear"]
COLUMNS = (NUMBERS, COUNTS, TWO, THREE, BITS, FREE_TEXT, COMPUTED, array(4))
TARGETS = [(), *((column,) for column in COLUMNS), LABELS, SHARES, (TWO, NUMBERS)]


@pytest.mark.parametrize("name", NAMES)
def test_any_combination_is_answered_with_a_hint(name: str) -> None:
    one = loss(name)
    for model, activation, targets in itertools.product(MODELS, ACTIVATIONS, TARGETS):
        problems = pairing_problems(one, Model(model, activation), targets=targets)
        assert all(problem.hint for problem in problems)
        missing = not targets and one.target != "none"
        assert {problem.code for problem in problems} <= {"missing" if missing else "wrong_pairing"}


@pytest.mark.parametrize(
    ("targets", "refused"),
    [((number(40.0, 60.0),), True), ((number(0.1, 1.9, 0.4),), False), ((number(-0.5, -0.1),), True)],
)
def test_an_activation_out_of_reach_of_the_targets_is_refused(
    targets: tuple[Column, ...], *, refused: bool
) -> None:
    model = Model(last_activation="Sigmoid")
    problems = pairing_problems(loss("MSELoss"), model, targets=targets, target_scaling="none")
    assert bool(problems) is refused
    assert all(problem.pointer == OFF for problem in problems)
    assert pairing_problems(loss("MSELoss"), model, targets=targets, target_scaling="min_max") == []


def test_scaled_targets_are_no_counts() -> None:
    one = loss("PoissonNLLLoss")
    (problem,) = pairing_problems(one, Model(), targets=(COUNTS,), target_scaling="standardize")
    assert problem.pointer == "/preprocessing/target_scaling"


@pytest.mark.parametrize(
    ("name", "inputs", "hint"),
    [
        ("MarginRankingLoss", ("features",), '"first"'),
        ("TripletMarginLoss", ("anchor", "positive"), '"negative"'),
        ("MSELoss", ("first", "second"), "MarginRankingLoss"),
        ("MSELoss", ("anchor", "positive", "negative"), "TripletMarginLoss"),
    ],
)
def test_inputs_that_the_loss_does_not_compare_are_refused(
    name: str, inputs: tuple[str, ...], hint: str
) -> None:
    (problem,) = pairing_problems(loss(name), Model(), targets=(SIGNS,), inputs=inputs)
    assert (problem.code, problem.pointer) == ("wrong_pairing", "/data/inputs")
    assert hint in problem.hint


def test_the_message_shows_the_classes() -> None:
    (problem,) = pairing_problems(loss("MSELoss"), Model(), targets=(THREE,))
    assert "3 distinct values (setosa, versicolor, virginica)" in problem.message


def test_classes_are_the_values_in_their_order() -> None:
    assert classes_of(THREE) == ("setosa", "versicolor", "virginica")
    assert classes_of(number(3, 1, 2)) == (1.0, 2.0, 3.0)
    assert classes_of(COMPUTED) == ()


def test_an_unknown_activation_gives_anything() -> None:
    assert output_kind("MyOwn") == output_kind(None) == "raw"


TASKS: dict[Target, tuple[Task | None, Task | None]] = {
    "values": ("regression", "regression"),
    "distribution": ("regression", "regression"),
    "classes": ("multiclass", "multiclass"),
    "binary": ("binary", "multilabel"),
    "signs": ("binary", "multilabel"),
    "label_indices": ("multilabel", "multilabel"),
    "sequence": (None, None),
    "none": (None, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_loss_implies_a_task_and_metrics_that_go_with_it(name: str) -> None:
    one = loss(name)
    for targets, task in zip((1, 2), TASKS[one.target], strict=True):
        expected = None if one.roles else task
        assert task_of(one, targets=targets) == expected
        chosen = default_metrics(one, targets=targets)
        assert bool(chosen) is (expected is not None)
        assert metric_problems(chosen, one, targets=targets) == []


def test_the_names_of_metrics_are_those_of_the_table() -> None:
    assert get_args(MetricSpec) == tuple(METRICS)
    assert all(about.summary.endswith(".") for about in METRICS.values())


@pytest.mark.parametrize(
    ("names", "one", "pointer", "code", "hint"),
    [
        (["r2", "accuracy"], loss("MSELoss"), "/metrics/1", "wrong_metric", "`rmse`"),
        (["r2"], loss("CrossEntropyLoss"), "/metrics/0", "wrong_metric", "`accuracy`"),
        (["acuracy"], loss("CrossEntropyLoss"), "/metrics/0", "unknown_name", "`accuracy`"),
        (["log_loss"], loss("MultiMarginLoss"), "/metrics/0", "wrong_metric", "CrossEntropyLoss"),
        (["brier"], loss("HingeEmbeddingLoss"), "/metrics/0", "wrong_metric", "BCEWithLogitsLoss"),
        (["r2"], loss("TripletMarginLoss"), "/metrics/0", "wrong_metric", "Leave metrics out"),
        (["r2"], loss("CTCLoss"), "/metrics/0", "wrong_metric", "Leave metrics out"),
    ],
)
def test_a_metric_of_another_task_is_refused(
    names: list[str], one: LossSpec, pointer: str, code: str, hint: str
) -> None:
    (problem,) = metric_problems(names, one)
    assert (problem.pointer, problem.code) == (pointer, code)
    assert hint in problem.hint


def test_any_name_of_a_metric_is_answered() -> None:
    names: list[Any] = ["", "x" * 100_000, "R2", "é"]
    assert [problem.code for problem in metric_problems(names, loss("MSELoss"))] == ["unknown_name"] * 4
