"""A model for each group: which columns can tell groups apart, what is refused beside them, and how many there may be."""

import json
from typing import Any

import pytest

from service.exceptions import InvalidSpec
from service.spec.intake import parse
from service.spec.limits import Limits
from service.spec.shape import shape_of
from tests.spec.specs import parsed, problems_in

ROWS = 12
TABLE: dict[str, list[Any]] = {
    "x": [float(row) for row in range(ROWS)],
    "y": [3.0 * row + row % 3 for row in range(ROWS)],
    "sensor": ["Küche", "Keller", "Bad"] * 4,
    "number": [1.0, 2.0] * 6,
    "share": [0.5, 1.0] * 6,
    "gaps": [*["a", "b"] * 5, None, "a"],
    "w": [1.0] * ROWS,
}


def grouped(group_by: str | None = "sensor", **sections: Any) -> dict[str, Any]:  # noqa: ANN401 - sections of any kind
    data = {"type": "inline", "columns": TABLE, "target": "y", "features": ["x"], "group_by": group_by}
    data |= sections.pop("data", {})
    return {
        "data": data,
        "model": {"type": "linear"},
        "loss": {"type": "MSELoss"},
        "optimizer": {"type": "SGD", "lr": 0.01},
        "training": {"epochs": 2, "seed": 0} | sections.pop("training", {}),
        **sections,
    }


@pytest.mark.parametrize(("column", "groups"), [("sensor", 3), ("number", 2)])
def test_texts_and_whole_numbers_tell_groups_apart(column: str, groups: int) -> None:
    plan = parsed(grouped(column))
    assert (plan.is_grouped, plan.groups) == (True, groups)


def test_the_column_of_the_groups_is_no_feature_unless_it_is_named() -> None:
    columns = {name: TABLE[name] for name in ("x", "y", "sensor")}
    plan = parsed(grouped(data={"columns": columns, "features": None}))
    assert plan.spec.data.feature_names() == ("x",)


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no such column": (grouped("sensors"), "/data/group_by", "unknown_column"),
    "fractions": (grouped("share"), "/data/group_by", "unusable_column"),
    "rows of no group": (grouped("gaps"), "/data/group_by", "missing_values"),
    "the target": (grouped("y"), "/data/target", "target_leak"),
    "a feature": (grouped(data={"features": ["x", "sensor"]}), "/data/features/1", "target_leak"),
    "the weights": (grouped("w", data={"weight": "w"}), "/data/group_by", "target_leak"),
    "what splits the rows": (
        grouped(
            evaluation={"split": {"type": "column", "column": "sensor", "train": ["Küche", "Bad"], "dev": ["Keller"]}}
        ),
        "/data/group_by",
        "target_leak",
    ),
    "folds": (grouped(evaluation={"folds": {"k": 2}}), "/evaluation/folds", "incompatible_fields"),
    "restarts": (grouped(training={"restarts": 2, "batch_size": 2}), "/training/restarts", "incompatible_fields"),
    "metrics": (grouped(evaluation={"metrics": ["r2"]}), "/evaluation/metrics", "incompatible_fields"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_goes_with_no_groups_is_refused(what: str) -> None:
    spec, pointer, code = REFUSED[what]
    assert [(one.pointer, one.code) for one in problems_in(spec)] == [(pointer, code)]


@pytest.mark.parametrize(
    ("limits", "message"),
    [(Limits(max_groups=2), "3 groups"), (Limits(max_parameters=5), "6 parameters in all groups")],
)
def test_there_may_not_be_too_many(limits: Limits, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(json.dumps(grouped()).encode(), limits)
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/data/group_by", "limit_exceeded")
    assert message in problem.message


def test_the_steps_of_all_groups_count() -> None:
    assert parsed(grouped()).gradients == 2 * 3
    assert parsed(grouped(None)).gradients == 2


def test_of_many_numbers_the_rows_tell_how_many_groups_there_are() -> None:
    rows = 2400
    columns = {
        "x": [float(row % 7) for row in range(rows)],
        "y": [float(row % 5) for row in range(rows)],
        "number": [float(row // 2) for row in range(rows)],
    }
    plan = parsed(grouped("number", data={"columns": columns}))
    assert plan.groups is None
    assert plan.gradients == 2


def test_groups_are_not_trained_beside_other_jobs() -> None:
    assert shape_of(parsed(grouped())) is None
    assert shape_of(parsed(grouped(None))) is not None
