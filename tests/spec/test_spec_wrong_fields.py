"""A wrong field of a spec is told where it is, with a hint that helps."""

from typing import Any

import pytest

from tests.spec.specs import LEFT_OUT, changed, problems_in

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


@pytest.mark.parametrize(("where", "value", "code"), WRONG_FIELDS, ids=lambda value: str(value)[:40])
def test_every_problem_of_a_field_says_what_is_wrong_and_what_to_do(
    where: str, value: object, code: str
) -> None:
    (problem,) = problems_in(changed(where, value))
    assert problem.code == code
    assert problem.message
    assert problem.hint


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
