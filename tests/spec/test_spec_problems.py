"""Whatever is wrong with a spec is told by pointer, code, message and hint, all at once."""

from typing import Any

import pytest

from service.spec.problems import MAX_PROBLEMS
from tests.conftest import TUTORIAL
from tests.spec.specs import LEFT_OUT, changed, problems_in, with_expression, with_inline

NAN, INFINITY = float("nan"), float("inf")

# Where, what, and the code that is expected at the same place.
WRONG_FIELDS: list[tuple[str, Any, str]] = [
    ("/data", None, "wrong_type"),
    ("/data", 3, "wrong_type"),
    ("/data", [], "wrong_type"),
    ("/data", NAN, "wrong_type"),
    ("/data", LEFT_OUT, "missing"),
    ("/data/type", "datasets", "unknown_name"),
    ("/data/type", 3, "unknown_name"),
    ("/data/type", None, "unknown_name"),
    ("/data/type", LEFT_OUT, "missing"),
    ("/data/rows", 1, "out_of_range"),
    ("/data/rows", 0, "out_of_range"),
    ("/data/rows", -1, "out_of_range"),
    ("/data/rows", "256", "wrong_type"),
    ("/data/rows", 2.5, "wrong_type"),
    ("/data/rows", 256.0, "wrong_type"),
    ("/data/rows", True, "wrong_type"),
    ("/data/rows", None, "wrong_type"),
    ("/data/rows", NAN, "wrong_type"),
    ("/data/rows", INFINITY, "wrong_type"),
    ("/data/rows", 10**9, "limit_exceeded"),
    ("/data/rows", 10**30, "limit_exceeded"),
    ("/data/rows", LEFT_OUT, "missing"),
    ("/data/seed", -1, "out_of_range"),
    ("/data/seed", 2**63, "out_of_range"),
    ("/data/seed", "a", "wrong_type"),
    ("/data/features", {}, "too_short"),
    ("/data/features", [], "wrong_type"),
    ("/data/features", LEFT_OUT, "missing"),
    ("/data/features/x", 3, "wrong_type"),
    ("/data/features/x/distribution", LEFT_OUT, "missing"),
    ("/data/features/x/distribution", "unifrm", "unknown_name"),
    ("/data/features/x/low", "a", "wrong_type"),
    ("/data/features/x/low", None, "wrong_type"),
    ("/data/features/x/low", NAN, "not_finite"),
    ("/data/features/x/low", -INFINITY, "not_finite"),
    ("/data/features/x/high", 0, "constant_column"),
    ("/data/features/x/high", -1, "out_of_range"),
    ("/data/features/x/std", 1, "unknown_field"),
    ("/data/features/", {"distribution": "normal"}, "too_short"),
    ("/data/features/" + 201 * "x", {"distribution": "normal"}, "too_long"),
    ("/data/target", "y", "wrong_type"),
    ("/data/target", LEFT_OUT, "missing"),
    ("/data/target/name", "", "too_short"),
    ("/data/target/name", "x", "duplicate_column"),
    ("/data/target/expression", 3, "wrong_type"),
    ("/data/target/expression", "", "too_short"),
    ("/data/target/expression", LEFT_OUT, "missing"),
    ("/data/noise", 0.25, "wrong_type"),
    ("/data/noise/distribution", "x", "unknown_name"),
    ("/data/noise/std", -1, "out_of_range"),
    ("/data/noise/std", LEFT_OUT, "missing"),
    ("/data/rws", 1, "unknown_field"),
    ("/model", "linear", "wrong_type"),
    ("/model", LEFT_OUT, "missing"),
    ("/model/type", "liner", "unknown_name"),
    ("/model/type", None, "unknown_name"),
    ("/model/type", LEFT_OUT, "missing"),
    ("/model/bias", 1, "wrong_type"),
    ("/model/bias", "yes", "wrong_type"),
    ("/model/hidden", 10**9, "unknown_field"),
    ("/loss", "MSELoss", "wrong_type"),
    ("/loss", LEFT_OUT, "missing"),
    ("/loss/type", "MSE", "unknown_name"),
    ("/loss/type", LEFT_OUT, "missing"),
    ("/loss/delta", 1, "unknown_field"),
    ("/optimizer", LEFT_OUT, "missing"),
    ("/optimizer/type", "sgd", "unknown_name"),
    ("/optimizer/type", LEFT_OUT, "missing"),
    ("/optimizer/lr", 0, "out_of_range"),
    ("/optimizer/lr", -1, "out_of_range"),
    ("/optimizer/lr", "0.01", "wrong_type"),
    ("/optimizer/lr", None, "wrong_type"),
    ("/optimizer/lr", False, "wrong_type"),
    ("/optimizer/lr", NAN, "not_finite"),
    ("/optimizer/lr", INFINITY, "not_finite"),
    ("/optimizer/lr", 10**400, "not_finite"),
    ("/optimizer/momentum", -1, "out_of_range"),
    ("/optimizer/momentm", 0.9, "unknown_field"),
    ("/optimizer/nesterov", True, "incompatible_fields"),
    ("/optimizer/nesterov", 1, "wrong_type"),
    ("/optimizer/dampening", "x", "wrong_type"),
    ("/optimizer/weight_decay", -1, "out_of_range"),
    ("/training", LEFT_OUT, "missing"),
    ("/training/epochs", 0, "out_of_range"),
    ("/training/epochs", 10**9, "limit_exceeded"),
    ("/training/epochs", 10**12, "limit_exceeded"),
    ("/training/epochs", 1e9, "wrong_type"),
    ("/training/epochs", "many", "wrong_type"),
    ("/training/epochs", LEFT_OUT, "missing"),
    ("/training/batch_size", 0, "wrong_type"),
    ("/training/batch_size", -1, "wrong_type"),
    ("/training/batch_size", 1.5, "wrong_type"),
    ("/training/batch_size", "ful", "wrong_type"),
    ("/training/batch_size", None, "wrong_type"),
    ("/training/batch_size", True, "wrong_type"),
    ("/training/shuffle", "yes", "wrong_type"),
    ("/training/seed", -1, "out_of_range"),
    ("/training/seed", 2**64, "out_of_range"),
    ("/training/dtype", "float16", "unknown_name"),
    ("/training/dtype", 3, "unknown_name"),
    ("/training/device", "gpu", "unknown_name"),
    ("/training/optimiser", 1, "unknown_field"),
    ("/name", "", "too_short"),
    ("/name", 3, "wrong_type"),
    ("/name", "n" * 201, "too_long"),
    ("/metadata", [], "wrong_type"),
    ("/metadata", None, "wrong_type"),
    ("/metadata", {str(i): "v" for i in range(17)}, "too_long"),
    ("/evaluation", None, "wrong_type"),
    ("/a~1b~0c", 1, "unknown_field"),
    ("/", 1, "unknown_field"),
]

X, Y = [0.0, 1.0, 2.0], [1.0, 3.0, 5.0]

# A spec and the one problem that it has.
WRONG_SPECS: dict[str, tuple[Any, str, str]] = {
    "an empty body": (b"", "", "invalid_json"),
    "half a body": (b'{"data": {', "", "invalid_json"),
    "bytes that are not text": (b'{"name": "\xff"}', "", "invalid_json"),
    "half a surrogate pair": (b'{"name": "\\ud800"}', "", "invalid_json"),
    "a bracket bomb": (b"[" * 100_000, "", "invalid_json"),
    "an endless number": (b'{"name": ' + b"1" * 5000 + b"}", "", "invalid_json"),
    "text after the end": (b"{} {}", "", "invalid_json"),
    "null": (None, "", "wrong_type"),
    "a list": ([], "", "wrong_type"),
    "a string": ("linear", "", "wrong_type"),
    "metadata that is no string": (changed("/metadata", {"a": 1}), "/metadata/a", "wrong_type"),
    "metadata without a name": (changed("/metadata", {"": "v"}), "/metadata/", "too_short"),
    "metadata with a long name": (
        changed("/metadata", {"k" * 65: "v"}),
        "/metadata/" + "k" * 65,
        "too_long",
    ),
    "metadata with a long value": (changed("/metadata", {"k": "v" * 513}), "/metadata/k", "too_long"),
    "a feature with the target's default name": (
        {**changed("/data/target", {"expression": "2*x"}), "name": "n"}
        | {
            "data": {
                **TUTORIAL["data"],
                "target": {"expression": "y"},
                "features": {"y": {"distribution": "normal"}},
            }
        },
        "/data/target/name",
        "duplicate_column",
    ),
    "Huber without width": (
        changed("/loss", {"type": "HuberLoss", "delta": 0}),
        "/loss/delta",
        "out_of_range",
    ),
    "smooth L1 of negative width": (
        changed("/loss", {"type": "SmoothL1Loss", "beta": -1}),
        "/loss/beta",
        "out_of_range",
    ),
    "one beta": (changed("/optimizer", {"type": "Adam", "betas": [0.9]}), "/optimizer/betas/1", "missing"),
    "three betas": (
        changed("/optimizer", {"type": "Adam", "betas": [0.9, 0.9, 0.9]}),
        "/optimizer/betas",
        "too_long",
    ),
    "a beta of one": (
        changed("/optimizer", {"type": "AdamW", "betas": [0.9, 1]}),
        "/optimizer/betas/1",
        "out_of_range",
    ),
    "a beta in words": (
        changed("/optimizer", {"type": "Adam", "betas": [0.9, "x"]}),
        "/optimizer/betas/1",
        "wrong_type",
    ),
    "betas that are a number": (
        changed("/optimizer", {"type": "Adam", "betas": 0.9}),
        "/optimizer/betas",
        "wrong_type",
    ),
    "alpha of one": (
        changed("/optimizer", {"type": "RMSprop", "alpha": 1}),
        "/optimizer/alpha",
        "out_of_range",
    ),
    "eps of zero": (changed("/optimizer", {"type": "RMSprop", "eps": 0}), "/optimizer/eps", "out_of_range"),
    "Nesterov with dampening": (
        changed("/optimizer", {"type": "SGD", "momentum": 0.9, "dampening": 0.1, "nesterov": True}),
        "/optimizer/nesterov",
        "incompatible_fields",
    ),
    "no target": (with_inline(columns={"x": X, "y": Y}), "/data/target", "missing"),
    "a target that is a number": (
        with_inline(columns={"x": X, "y": Y}, target=3),
        "/data/target",
        "wrong_type",
    ),
    "neither columns nor rows": (with_inline(target="y"), "/data", "missing"),
    "both columns and rows": (with_inline(target="y", columns={"x": X, "y": Y}, rows=[]), "/data", "missing"),
    "no columns": (with_inline(target="y", columns={}), "/data", "empty_data"),
    "no rows": (with_inline(target="y", rows=[]), "/data", "empty_data"),
    "an empty row": (with_inline(target="y", rows=[{}]), "/data", "empty_data"),
    "empty columns": (with_inline(target="y", columns={"x": [], "y": []}), "/data/columns", "empty_data"),
    "one row, by column": (
        with_inline(target="y", columns={"x": [1], "y": [2]}),
        "/data/columns",
        "too_few_rows",
    ),
    "one row, by row": (with_inline(target="y", rows=[{"x": 1, "y": 2}]), "/data/rows", "too_few_rows"),
    "nothing but the target": (with_inline(target="y", columns={"y": Y}), "/data", "missing"),
    "ragged columns": (
        with_inline(target="y", columns={"x": X, "y": [1, 2]}),
        "/data/columns",
        "ragged_columns",
    ),
    "ragged rows": (
        with_inline(target="y", rows=[{"x": 1, "y": 2}, {"x": 2}]),
        "/data/rows/1",
        "ragged_rows",
    ),
    "a row that is a number": (
        with_inline(target="y", rows=[{"x": 1, "y": 2}, 3]),
        "/data/rows/1",
        "wrong_type",
    ),
    "a hole in a row": (
        with_inline(target="y", rows=[{"x": 1, "y": 2}, {"x": None, "y": 3}, {"x": 2, "y": 3}]),
        "/preprocessing/missing",
        "missing_values",
    ),
    "a hole in a column": (
        with_inline(target="y", columns={"x": X, "y": [1, None, 2]}),
        "/preprocessing/missing",
        "missing_values",
    ),
    "words and numbers in the rows of a column": (
        with_inline(target="y", rows=[{"x": None, "y": 1}, {"x": "a", "y": 2}, {"x": 1, "y": 3}]),
        "/data/rows/2/x",
        "wrong_type",
    ),
    "arrays of several shapes": (
        with_inline(target="y", columns={"x": [[1, 2], [3], [4]], "y": Y}),
        "/data/columns/x",
        "wrong_type",
    ),
    "a column without any value": (
        with_inline(target="y", columns={"x": [None, None, None], "z": X, "y": Y}),
        "/data/columns/x",
        "constant_column",
    ),
    "a dataset that is not there": (
        changed("/data", {"type": "dataset", "id": "ds_none", "target": "y"}),
        "/data/id",
        "unknown_dataset",
    ),
    "a job to start from that is not there": (
        changed("/model", {"type": "linear", "init_from": "job_none"}),
        "/model/init_from",
        "unknown_job",
    ),
    "classes fitted as numbers": (
        with_inline(target="y", columns={"x": X, "y": ["a", "b", "a"]}),
        "/loss/type",
        "wrong_pairing",
    ),
    "a dev loss to watch without a dev set": (
        changed("/training/early_stopping", {}),
        "/training/early_stopping/monitor",
        "incompatible_fields",
    ),
    "restarts of folds": (
        {**changed("/training/restarts", 2), "evaluation": {"folds": {}}},
        "/training/restarts",
        "incompatible_fields",
    ),
    "a cycle that is over before the training": (
        {**TUTORIAL, "scheduler": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 5}},
        "/scheduler/total_steps",
        "out_of_range",
    ),
    "a warm-up that takes the whole training": (
        {**TUTORIAL, "scheduler": {"type": "StepLR", "step_size": 3, "warmup": {"epochs": 3000}}},
        "/scheduler/warmup",
        "out_of_range",
    ),
    "a plateau of a dev loss that is not there": (
        {**TUTORIAL, "scheduler": {"type": "ReduceLROnPlateau", "monitor": "dev_loss"}},
        "/scheduler/monitor",
        "incompatible_fields",
    ),
    "parts that leave nothing to train on": (
        {**TUTORIAL, "evaluation": {"split": {"type": "random", "dev": 0.6, "test": 0.4}}},
        "/evaluation/split",
        "out_of_range",
    ),
    "a word in a column": (
        with_inline(target="y", columns={"x": X, "y": [1, "a", 2]}),
        "/data/columns/y/1",
        "wrong_type",
    ),
    "NaN in a column": (
        with_inline(target="y", columns={"x": X, "y": [1, NAN, 2]}),
        "/data/columns/y/1",
        "not_finite",
    ),
    "infinity in a column": (
        with_inline(target="y", columns={"x": X, "y": [1, INFINITY, 2]}),
        "/data/columns/y/1",
        "not_finite",
    ),
    "a column that is a number": (
        with_inline(target="y", columns={"x": X, "y": 3}),
        "/data/columns/y",
        "wrong_type",
    ),
    "a constant feature": (
        with_inline(target="y", columns={"x": [1, 1, 1], "y": Y}),
        "/data/columns/x",
        "constant_column",
    ),
    "a constant feature, by row": (
        with_inline(target="y", rows=[{"x": 1, "y": 2}, {"x": 1, "y": 3}]),
        "/data/rows",
        "constant_column",
    ),
    "a constant target": (
        with_inline(target="y", columns={"x": X, "y": [1, 1, 1]}),
        "/data/columns/y",
        "constant_column",
    ),
    "a target that is no column": (
        with_inline(target="z", columns={"x": X, "y": Y}),
        "/data/target",
        "unknown_column",
    ),
    "a feature that is no column": (
        with_inline(target="y", columns={"x": X, "y": Y}, features=["xx"]),
        "/data/features/0",
        "unknown_column",
    ),
    "the target as a feature": (
        with_inline(target="y", columns={"x": X, "y": Y}, features=["x", "y"]),
        "/data/features/1",
        "target_leak",
    ),
    "a feature twice": (
        with_inline(target="y", columns={"x": X, "y": Y}, features=["x", "x"]),
        "/data/features/1",
        "duplicate_column",
    ),
    "no features": (
        with_inline(target="y", columns={"x": X, "y": Y}, features=[]),
        "/data/features",
        "too_short",
    ),
    "a column without a name": (
        with_inline(target="y", columns={"": X, "y": Y}),
        "/data/columns/",
        "too_short",
    ),
    "a name that needs escaping": (
        with_inline(target="y", columns={"a/b~": [1, 1], "y": [1, 2]}),
        "/data/columns/a~1b~0",
        "constant_column",
    ),
    "a column named as pydantic names keys": (
        with_inline(target="y", columns={"[key]": ["a", 1], "y": [1, 2]}),
        "/data/columns/[key]/1",
        "wrong_type",
    ),
    "a feature named as a distribution": (
        changed("/data/features/uniform", {"distribution": "uniform", "low": "a"}),
        "/data/features/uniform/low",
        "wrong_type",
    ),
    "values beyond the largest float": (
        with_expression("x", x={"distribution": "uniform", "low": -1.7e308, "high": 1.7e308}),
        "/data/target/expression",
        "data_not_finite",
    ),
}

ALL_WRONG = [
    *(
        pytest.param(changed(where, value), id=f"{where[:40]}={str(value)[:20]}")
        for where, value, _ in WRONG_FIELDS
    ),
    *(pytest.param(spec, id=name) for name, (spec, _, _) in WRONG_SPECS.items()),
]


@pytest.mark.parametrize(("where", "value", "code"), WRONG_FIELDS, ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_told_where_it_is(where: str, value: object, code: str) -> None:
    assert [(p.pointer, p.code) for p in problems_in(changed(where, value))] == [(where, code)]


@pytest.mark.parametrize(
    ("where", "value", "pointer", "code"),
    [
        ("/evaluation", {"split": {"type": "radom"}}, "/evaluation/split/type", "unknown_name"),
        ("/scheduler", {"type": "StepLr"}, "/scheduler/type", "unknown_name"),
        ("/preprocessing", {"scaling": "standardise"}, "/preprocessing/scaling", "unknown_name"),
        ("/regularization", {"l1": -1}, "/regularization/l1", "out_of_range"),
        ("/regularization", {"clip_grad_norm": {"max_norm": 0}}, "/regularization/clip_grad_norm/max_norm", "out_of_range"),
        ("/evaluation", {"metrics": ["rmze"]}, "/evaluation/metrics/0", "unknown_name"),
        ("/training/augmentation", [{"type": "flip"}], "/training/augmentation/0", "incompatible_fields"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_section_that_may_be_left_out_is_told_where_it_is(
    where: str, value: object, pointer: str, code: str
) -> None:
    (problem,) = problems_in(changed(where, value))
    assert (problem.pointer, problem.code) == (pointer, code)
    assert problem.hint


@pytest.mark.parametrize(("spec", "pointer", "code"), WRONG_SPECS.values(), ids=WRONG_SPECS)
def test_a_wrong_spec_is_told_where_it_is(spec: object, pointer: str, code: str) -> None:
    assert [(p.pointer, p.code) for p in problems_in(spec)] == [(pointer, code)]


@pytest.mark.parametrize("spec", ALL_WRONG)
def test_every_problem_says_what_is_wrong_and_what_to_do(spec: object) -> None:
    problems = problems_in(spec)
    assert problems
    assert all(problem.message for problem in problems)
    assert all(problem.hint for problem in problems), problems


@pytest.mark.parametrize(
    ("where", "value", "meant"),
    [
        ("/optimizer/type", "sgd", "SGD"),
        ("/optimizer/type", "Adm", "Adam"),
        ("/loss/type", "MSE", "MSELoss"),
        ("/loss/type", "HuberLos", "HuberLoss"),
        ("/data/type", "inlin", "inline"),
        ("/data/features/x/distribution", "unifrm", "uniform"),
        ("/model/type", "liner", "linear"),
        ("/training/device", "gpu", "cpu"),
        ("/training/dtype", "float-32", "float32"),
        ("/optimizer/momentm", 0.9, "momentum"),
        ("/training/epoch", 3, "epochs"),
        ("/data/rws", 3, "rows"),
        ("/optimiser", {}, "optimizer"),
        ("/data/target/expression", "5*X + 7", "x"),
    ],
)
def test_a_near_miss_is_answered_with_the_name_that_was_meant(where: str, value: object, meant: str) -> None:
    assert problems_in(changed(where, value))[0].hint == f"Did you mean `{meant}`?"


def test_a_name_that_is_near_to_none_is_answered_with_all() -> None:
    hint = problems_in(changed("/loss/type", "quantile"))[0].hint
    assert hint.startswith("Known are `")
    assert "`HuberLoss`, `KLDivLoss`, `L1Loss`, `MSELoss`" in hint


def test_problems_of_several_sections_are_told_at_once_in_the_order_of_the_spec() -> None:
    spec = with_expression("5*z + 7")
    spec["model"]["type"] = "liner"
    spec["optimizer"]["nesterov"] = True
    spec["training"]["epochs"] = 10**9
    spec["zz"] = 1
    assert [(p.pointer, p.code) for p in problems_in(spec)] == [
        ("/zz", "unknown_field"),
        ("/data/target/expression", "unknown_column"),
        ("/model/type", "unknown_name"),
        ("/optimizer/nesterov", "incompatible_fields"),
        ("/training/epochs", "limit_exceeded"),
    ]


def test_several_problems_of_one_section_are_told_at_once() -> None:
    spec = changed("/training", {"epochs": 0, "batch_size": 0, "seed": -1, "dtype": "int8", "foo": 1})
    assert {p.pointer for p in problems_in(spec)} == {
        f"/training/{name}" for name in ("epochs", "batch_size", "seed", "dtype", "foo")
    }


def test_an_empty_object_lacks_every_section() -> None:
    assert [(p.pointer, p.code) for p in problems_in({})] == [
        (f"/{name}", "missing") for name in ("data", "model", "loss", "optimizer", "training")
    ]


def test_a_flood_of_problems_is_cut() -> None:
    spec = with_inline(
        target="y", columns={"x": [1, 2], "y": [1, 2]}, **{f"field{i}": 1 for i in range(1000)}
    )
    assert len(problems_in(spec)) == MAX_PROBLEMS


def test_of_many_wrong_numbers_in_a_column_the_first_is_told() -> None:
    spec = with_inline(target="y", columns={"x": [1, "a", "b", None], "y": [1, *["c"] * 1000]})
    assert [p.pointer for p in problems_in(spec)] == ["/data/columns/x/1", "/data/columns/y/1"]


def test_a_flood_of_problems_in_one_section_does_not_hide_that_another_is_broken_too() -> None:
    spec = with_inline(
        target="y", columns={"x": [1, 2], "y": [1, 2]}, **{f"field{i}": 1 for i in range(1000)}
    )
    spec["optimizer"]["lr"] = "fast"
    assert len(problems_in(spec)) == MAX_PROBLEMS


def test_of_two_members_with_one_name_the_last_counts() -> None:
    body = b'{"training": {"epochs": "x"}, "name": 3, "data": 1, "data": {"type": "q"}, "training": {"epochs": 0}}'
    assert ("/training/epochs", "out_of_range") in [(p.pointer, p.code) for p in problems_in(body)]


@pytest.mark.parametrize(
    ("limits", "pointer", "what"),
    [
        ({"max_rows": 255}, "/data/rows", "256 rows"),
        ({"max_features": 0}, "/data/features", "1 features"),
        ({"max_epochs": 2999}, "/training/epochs", "3,000 epochs"),
        ({"max_steps": 2999}, "/training/epochs", "3,000 steps"),
        ({"max_parameters": 1}, "/model", "2 parameters"),
        ({"max_job_bytes": 1000}, "/data", "bytes of memory"),
    ],
)
def test_what_is_above_a_limit_is_refused_with_its_size(
    limits: dict[str, int], pointer: str, what: str
) -> None:
    (problem,) = problems_in(TUTORIAL, **limits)
    assert (problem.pointer, problem.code) == (pointer, "limit_exceeded")
    assert what in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ({"max_rows": 2}, "/data/columns"),
        ({"max_features": 0}, "/data/columns"),
    ],
)
def test_the_limits_hold_for_rows_that_are_sent(limits: dict[str, int], pointer: str) -> None:
    spec = with_inline(target="y", columns={"x": X, "y": Y})
    assert [(p.pointer, p.code) for p in problems_in(spec, **limits)] == [(pointer, "limit_exceeded")]


def test_what_is_exactly_at_its_limit_is_accepted() -> None:
    limits = {"max_rows": 256, "max_features": 1, "max_epochs": 3000, "max_steps": 3000, "max_parameters": 2}
    assert problems_in(TUTORIAL, **limits) == []
