"""Whatever bytes come in, `parse` gives a spec or tells the problems, by pointers that lead somewhere."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.exceptions import InvalidSpec
from service.spec.intake import parse
from service.spec.limits import Limits
from tests.conftest import TUTORIAL
from tests.spec.specs import body_of, changed, places_of, problems_in, tokens_of, with_inline

INLINE_COLUMNS = with_inline(target="y", columns={"x": [0, 1, 2], "y": [1, 3, 5]})
INLINE_ROWS = with_inline(target="y", rows=[{"x": 0, "y": 1}, {"x": 1, "y": 3}], features=["x"])
ADAM = changed("/optimizer", {"type": "Adam", "lr": 0.1, "betas": [0.9, 0.99]})
CLASSES = {
    **with_inline(
        target="y", columns={"x": [0, None, 2, 3], "z": ["a", "b", "a", "b"], "y": ["u", "v", "v", "u"]}
    ),
    "model": {"type": "mlp", "hidden": [3], "activation": "Tanh", "normalization": "layer"},
    "loss": {"type": "CrossEntropyLoss", "weight": [1, 2]},
    "preprocessing": {"missing": "mean", "columns": {"z": {"missing": "drop", "encoding": "embedding"}}},
    "regularization": {"l2": 0.1, "clip_grad_norm": {"max_norm": 1}},
    "scheduler": {"type": "StepLR", "step_size": 2, "warmup": {"epochs": 2}},
    "evaluation": {"split": {"type": "random", "dev": 0.25}, "metrics": ["accuracy"]},
}
IMAGES = {
    **with_inline(target="y", columns={"x": [[[0, 1], [1, 0]], [[1, 1], [0, 0]]], "y": [0, 1]}),
    "model": {"type": "cnn", "blocks": [{"channels": 2, "pool": {"type": "MaxPool2d", "kernel_size": 2}}]},
}

WORDS = st.sampled_from(
    ["x", "y", "type", "linear", "SGD", "Adam", "full", "auto", "uniform", "inline", "5*x", "[key]"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = [
    (spec, place)
    for spec in (TUTORIAL, INLINE_COLUMNS, INLINE_ROWS, ADAM, CLASSES, IMAGES)
    for place in places_of(spec)
    if place
]
NEW_NAMES = WORDS | st.text("abc/~[] é", max_size=4)


def placed(spec: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    return changed(place, value, spec=spec)


def beside(spec: dict[str, Any], place: str, name: str, value: object) -> dict[str, Any]:
    parent = place.rsplit("/", 1)[0]
    return changed(f"{parent}/{name.replace('~', '~0').replace('/', '~1')}", value, spec=spec)


SPECS = st.sampled_from(PLACES).flatmap(
    lambda where: (
        st.builds(lambda value: placed(*where, value), VALUES)
        | st.builds(lambda name, value: beside(*where, name, value), NEW_NAMES, VALUES)
    )
)


def problem_pointers(body: bytes) -> list[str]:
    """Where the problems are; nothing but `InvalidSpec` may come out of `parse`, and never without a problem."""
    problems = problems_in(body)
    assert all(problem.code and problem.message for problem in problems)
    return [str(problem.pointer) for problem in problems]


def leads_somewhere(pointer: str, document: object) -> bool:
    """Tell whether a pointer leads to a value, or to a member that an existing object or array lacks.

    Sections that may be left out, and the columns of the preprocessing, count as existing.
    """
    assert isinstance(document, dict | list) or pointer == ""
    if pointer.startswith(("/preprocessing/", "/evaluation/", "/regularization/")):
        return True
    *path, last = tokens_of(pointer) or [None]
    for token in path:
        document = document[int(token)] if isinstance(document, list) else document[token]  # type: ignore[index]
    if isinstance(document, list):
        return last is None or last.isdigit()
    return last is None or isinstance(document, dict)


@settings(max_examples=300, deadline=None)
@given(spec=SPECS)
def test_any_value_at_any_place_is_accepted_or_refused_at_a_place_that_is_there(spec: dict[str, Any]) -> None:
    body = body_of(spec)
    for pointer in problem_pointers(body):
        assert leads_somewhere(pointer, json.loads(body)), pointer


@settings(max_examples=200, deadline=None)
@given(first=SPECS, second=SPECS)
def test_two_broken_specs_mixed_are_refused_at_places_that_are_there(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    mixed = {**second, **{name: first[name] for name in ("data", "training") if name in first}}
    body = body_of(mixed)
    for pointer in problem_pointers(body):
        assert leads_somewhere(pointer, json.loads(body)), pointer


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=40) | VALUES.map(body_of))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b"{" * 1000)
def test_any_bytes_are_refused_and_never_break_the_reader(body: bytes) -> None:
    assert problem_pointers(body)


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 600), junk=st.binary(max_size=3), width=st.integers(0, 3))
def test_a_damaged_body_never_breaks_the_reader(cut: int, junk: bytes, width: int) -> None:
    body = body_of(TUTORIAL)
    problem_pointers(body[:cut] + junk + body[cut + width :])


@settings(max_examples=100, deadline=None)
@given(spec=SPECS)
def test_whatever_is_accepted_can_be_sent_again_as_completed(spec: dict[str, Any]) -> None:
    try:
        plan = parse(body_of(spec), Limits())
    except InvalidSpec:
        return
    again = parse(plan.spec.model_dump_json().encode(), Limits())
    assert again.spec == plan.spec
    assert again.schema == plan.schema
