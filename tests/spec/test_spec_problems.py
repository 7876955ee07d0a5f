"""Whatever is wrong with a spec is told by pointer, code, message and hint, all at once."""

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from service.spec.problems import MAX_PROBLEMS, problems_of
from tests.conftest import TUTORIAL
from tests.spec.specs import changed, problems_in, with_expression, with_inline

NAN, INFINITY = float("nan"), float("inf")

X, Y = [0.0, 1.0, 2.0], [1.0, 3.0, 5.0]


def with_column_split(**labels: object) -> dict[str, Any]:
    """A spec whose column `x` splits the rows."""
    return changed("/evaluation", {"split": {"type": "column", "column": "x", **labels}})


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
    "a name with NUL": (changed("/name", "a\0"), "/name", "invalid_text"),
    "metadata with NUL in a value": (changed("/metadata", {"k": "\0"}), "/metadata/k", "invalid_text"),
    "metadata with NUL in a key": (changed("/metadata", {"k\0": ""}), "/metadata/k\0", "invalid_text"),
    "a column with NUL in its name": (
        with_inline(target="y", columns={"x\0": X, "y": Y}),
        "/data/columns/x\0",
        "invalid_text",
    ),
    "a feature to draw with NUL in its name": (
        changed("/data/features/n\0", {"distribution": "normal"}),
        "/data/features/n\0",
        "invalid_text",
    ),
    "a label that is neither text nor number": (
        with_column_split(train=[True]),
        "/evaluation/split/train/0",
        "wrong_type",
    ),
    "a beta that is no number, of two": (
        changed("/optimizer", {"type": "Adam", "betas": ["x", 0.9]}),
        "/optimizer/betas/0",
        "wrong_type",
    ),
    "a network without hidden layers": (
        changed("/model", {"type": "mlp", "hidden": []}),
        "/model/hidden",
        "too_short",
    ),
    "labels of no value": (with_column_split(dev=[]), "/evaluation/split/dev", "too_short"),
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


@pytest.mark.parametrize(("spec", "pointer", "code"), WRONG_SPECS.values(), ids=WRONG_SPECS)
def test_a_wrong_spec_is_told_where_it_is(spec: object, pointer: str, code: str) -> None:
    assert [(p.pointer, p.code) for p in problems_in(spec)] == [(pointer, code)]


@pytest.mark.parametrize("spec", [pytest.param(spec, id=name) for name, (spec, _, _) in WRONG_SPECS.items()])
def test_every_problem_says_what_is_wrong_and_what_to_do(spec: object) -> None:
    problems = problems_in(spec)
    assert problems
    assert all(problem.message for problem in problems)
    assert all(problem.hint for problem in problems), problems


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


class _Shelf(BaseModel):
    """A model with what the spec has: arrays of values that are one thing or another."""

    labels: Annotated[tuple[str | float, ...], Field(min_length=2)]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([True, False], [("/labels/0", "wrong_type"), ("/labels/1", "wrong_type")]),
        ([True, 1], [("/labels/0", "wrong_type")]),
        ([True], [("/labels/0", "wrong_type"), ("/labels", "too_short")]),
        ([1], [("/labels", "too_short")]),
        ([[], None, "a"], [("/labels/0", "wrong_type"), ("/labels/1", "wrong_type")]),
    ],
)
def test_each_value_that_fits_no_member_of_a_union_is_one_problem(labels: object, told: object) -> None:
    with pytest.raises(ValidationError) as error:
        _Shelf.model_validate_json(json.dumps({"labels": labels}), strict=True)
    assert [(p.pointer, p.code) for p in problems_of(error.value, _Shelf)] == told
