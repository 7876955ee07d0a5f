"""Rows for training, dev and test: disjoint, complete, and the same for the same seed."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.exceptions import TrainingFailed
from service.spec.evaluation import EvaluationSpec, Folds
from service.tables.frame import Frame
from service.training.frames import load
from service.training.splits import Parts, folded, split
from tests.training.jobs import inline, job

GROUPS = ["a"] * 12 + ["b"] * 6 + ["c"] * 2


def frame_of(rows: int = 20) -> Frame:
    """Numbered rows, with a time that runs backwards, a class, and the part that each belongs to."""
    columns = {
        "x": [float(i) for i in range(rows)],
        "time": [float(-i) for i in range(rows)],
        "group": [GROUPS[i % len(GROUPS)] for i in range(rows)],
        "part": (["train", "dev", "test", "train"] * rows)[:rows],
        "y": [float(i % 7) for i in range(rows)],
    }
    return load(job(inline(columns, features=["x"])).spec.data)


def parts_of(spec: dict[str, Any], rows: int = 20) -> Parts:
    evaluation = EvaluationSpec.model_validate_json(json.dumps({"split": spec}))
    return split(evaluation, frame_of(rows), np.arange(rows))


def sizes(parts: Parts) -> tuple[int, int, int]:
    return len(parts.train), len(parts.dev), len(parts.test)


def test_the_shares_are_shares_of_all_rows() -> None:
    assert sizes(parts_of({"type": "random", "dev": 0.2, "test": 0.1})) == (14, 4, 2)


def test_a_part_that_is_asked_for_has_at_least_one_row() -> None:
    assert sizes(parts_of({"type": "random", "dev": 0.001, "test": 0.001})) == (18, 1, 1)


def test_the_last_rows_are_held_back_in_order() -> None:
    parts = parts_of({"type": "order", "dev": 0.2, "test": 0.1})
    assert parts.train.tolist() == list(range(14))
    assert parts.dev.tolist() == [14, 15, 16, 17]
    assert parts.test.tolist() == [18, 19]


def test_the_order_may_be_that_of_a_column() -> None:
    parts = parts_of({"type": "order", "dev": 0.2, "test": 0.1, "by": "time"})
    assert set(parts.test.tolist()) == {0, 1}
    assert set(parts.dev.tolist()) == {2, 3, 4, 5}


def test_a_column_names_the_parts() -> None:
    parts = parts_of({"type": "column", "column": "part"})
    assert parts.train.tolist() == [i for i in range(20) if i % 4 in {0, 3}]
    assert parts.dev.tolist() == list(range(1, 20, 4))
    assert parts.test.tolist() == list(range(2, 20, 4))


def test_the_values_that_name_the_parts_may_be_any() -> None:
    spec = {"type": "column", "column": "group", "train": ["a"], "dev": ["b"], "test": ["c"]}
    assert sizes(parts_of(spec)) == (12, 6, 2)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_parts_have_the_classes_in_proportion(seed: int) -> None:
    parts = parts_of({"type": "random", "dev": 0.25, "test": 0.25, "stratify": "group", "seed": seed}, 80)
    groups = np.array([GROUPS[i % 20] for i in range(80)])
    for rows in (parts.dev, parts.test):
        counts = [int((groups[rows] == name).sum()) for name in "abc"]
        assert all(abs(got - wanted) <= 1 for got, wanted in zip(counts, [12, 6, 2], strict=True)), counts


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(6, 60),
    dev=st.floats(0, 0.4),
    test=st.floats(0, 0.4),
    seed=st.integers(0, 2**40),
    stratify=st.sampled_from([None, "group"]),
)
def test_every_row_is_in_one_part(
    rows: int, dev: float, test: float, seed: int, stratify: str | None
) -> None:
    parts = parts_of({"type": "random", "dev": dev, "test": test, "seed": seed, "stratify": stratify}, rows)
    everything = np.concatenate([parts.train, parts.dev, parts.test])
    assert sorted(everything.tolist()) == list(range(rows))
    assert all(bool(np.all(np.diff(part) > 0)) for part in (parts.train, parts.dev, parts.test))


def test_the_digest_names_the_split_and_nothing_else() -> None:
    random = {"type": "random", "dev": 0.2, "seed": 3}
    first, second, other = (parts_of(one).digest(20) for one in (random, random, {**random, "seed": 4}))
    assert first == second != other


def test_the_digest_of_a_split_never_changes() -> None:
    # Split digests are told to callers, who compare them over years and versions.
    digest = parts_of({"type": "order", "dev": 0.2, "test": 0.1}).digest(20)
    assert digest == "a6fe3c416f769cda533b915e5264c05e1606e636cfce0c78733e780fab4cdc26"
    digest = parts_of({"type": "random", "dev": 0.2, "test": 0.1, "seed": 1}).digest(20)
    assert digest == "152da3801ff91875ab858f2fe1328d4d705ddec0ae12950759fa4e9a80f27b8c"


@pytest.mark.parametrize(
    "folds", [{}, {"shuffle": False}, {"stratify": "group"}, {"k": 3, "seed": 9}], ids=str
)
def test_each_row_is_held_back_in_one_fold(folds: dict[str, Any]) -> None:
    frame = frame_of(23)
    spec = Folds.model_validate(folds)
    whole = Parts(np.arange(20), np.arange(0), np.arange(20, 23))
    *cut, final = folded(spec, frame, whole)
    assert len(cut) == spec.k
    assert sorted(np.concatenate([one.dev for one in cut]).tolist()) == list(range(20))
    for one in cut:
        assert sorted([*one.train.tolist(), *one.dev.tolist()]) == list(range(20))
        assert one.test.tolist() == [20, 21, 22]
    assert max(len(one.dev) for one in cut) - min(len(one.dev) for one in cut) <= 1
    assert final is whole


def test_folds_in_order_are_consecutive_rows() -> None:
    *cut, _ = folded(Folds(k=4, shuffle=False), frame_of(), Parts(np.arange(20), np.arange(0), np.arange(0)))
    assert [one.dev.tolist() for one in cut] == [list(range(i, i + 5)) for i in range(0, 20, 5)]


def test_more_folds_than_rows_are_refused() -> None:
    with pytest.raises(TrainingFailed) as error:
        folded(Folds(k=30), frame_of(), Parts(np.arange(20), np.arange(0), np.arange(0)))
    assert error.value.code == "too_few_rows"
    assert error.value.hint
