"""Bodies with long columns of numbers are read another way, and nobody can tell it by what they mean."""

import json
import time
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from service.api.schemas import PredictionRequest
from service.exceptions import InvalidSpec
from service.spec.data import InlineData
from service.spec.intake import parse
from service.spec.job import JobSpec
from service.spec.limits import Limits
from service.spec.packed import PIECE_BYTES, WORTH_BYTES, PackedNumbers, PackedRows, numbers_text, validated
from service.training.frames import load
from tests.spec.specs import with_inline

ROWS = 8_000
X = np.random.default_rng(0).standard_normal(ROWS)
Y = 5 * X + 7


def body_of(columns: dict[str, Any], **changes: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps({**with_inline(columns=columns, target="y"), **changes}).encode()


def columns_of(spec: JobSpec) -> dict[str, Any]:
    assert isinstance(spec.data, InlineData)
    return dict(spec.data.columns or {})


def both_ways(body: bytes) -> tuple[JobSpec, JobSpec]:
    assert len(body) > WORTH_BYTES
    return JobSpec.from_text(body), JobSpec.model_validate_json(body)


def test_long_columns_of_numbers_become_arrays_of_the_same_values() -> None:
    quick, plain = both_ways(body_of({"x": X.tolist(), "y": Y.tolist()}))
    assert all(isinstance(one, PackedNumbers) for one in columns_of(quick).values())
    assert quick == plain
    assert [*columns_of(quick)["x"]] == X.tolist()


@pytest.mark.parametrize(
    "first",
    [
        "null", "1", "-0.0", "1e5", "1E-300", "4.9406564584124654e-324", "9007199254740993", str(2**64),
        str(2**63 - 1), str(10**300), "0.1000000000000000055511151231257827", "\n 3\t",
    ],
)  # fmt: skip
def test_every_way_to_write_a_number_means_the_same(first: str) -> None:
    text = body_of({"x": X.tolist(), "y": Y.tolist()}).decode()
    quick, plain = both_ways(text.replace('"x": [', f'"x": [{first}, ', 1).encode())
    value = columns_of(quick)["x"]
    assert isinstance(value, PackedNumbers)
    assert repr(value[0]) == repr(columns_of(plain)["x"][0])
    assert quick == plain


@pytest.mark.parametrize(
    "wrong",
    [
        "NaN", "Infinity", "-Infinity", "1e400", str(10**400), "01", "1.", ".5", "+1", "0x1", "1_000", "1 2",
        "--1", "1,", ",1", "1,,2", "'1'", '"1"', "[1]", "{}", "nul", "None", "tru", "1]", "\\u0031", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_what_is_wrong_is_told_as_in_a_short_body(wrong: str, place: str) -> None:
    numbers = [repr(float(one)) for one in X]
    numbers.insert({"first": 0, "middle": ROWS // 2, "last": ROWS}[place], wrong)
    text = (
        body_of({"x": "HERE", "y": [*Y.tolist(), 0.0]}).decode().replace('"HERE"', f"[{','.join(numbers)}]")
    )
    told = []
    for read in (JobSpec.model_validate_json, JobSpec.from_text):
        with pytest.raises(ValidationError) as error:
            read(text.encode())
        told.append([(one["type"], one["loc"], one["msg"]) for one in error.value.errors()])
    assert told[0] == told[1]


@pytest.mark.parametrize("comma", ["1,", "1 ,", "1,\n"])
def test_a_comma_too_many_is_seen_where_the_text_is_cut_at_it(comma: str) -> None:
    for spaces in range(PIECE_BYTES - 4, PIECE_BYTES + 1):
        text = body_of({"x": "HERE", "y": [1.0]}).decode().replace('"HERE"', f"[{' ' * spaces}{comma}]")
        with pytest.raises(ValidationError):
            JobSpec.from_text(text.encode())


def test_truth_values_and_texts_and_arrays_are_columns_as_ever() -> None:
    columns = {
        "truth": [True, *[1.0] * (ROWS - 1)],
        "text": ["a, ]", *["b"] * (ROWS - 1)],
        "array": [[1, 2]] * ROWS,
        "y": Y.tolist(),
    }
    quick, plain = both_ways(body_of(columns))
    assert quick == plain


@pytest.mark.parametrize("where", ["name", "metadata", "priority", "seed", "target", "columns"])
def test_an_array_in_a_place_for_something_else_is_told(where: str) -> None:
    columns = {"x": X.tolist(), "y": Y.tolist()}
    spec = with_inline(columns=columns, target="y")
    places: dict[str, tuple[dict[str, Any], str]] = {
        "name": (spec, "name"),
        "metadata": (spec.setdefault("metadata", {}), "key"),
        "priority": (spec, "priority"),
        "seed": (spec["training"], "seed"),
        "target": (spec["data"], "target"),
        "columns": (spec["data"], "columns"),
    }
    parent, key = places[where]
    parent[key] = X.tolist()
    with pytest.raises(InvalidSpec) as error:
        parse(json.dumps(spec).encode(), Limits())
    assert {problem.code for problem in error.value.problems} <= {"wrong_type", "too_long"}


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    text = body_of({"x": X.tolist(), "y": Y.tolist()}).decode()
    body = text.replace('"x": [', '"x": [0.0, 1.0], "x": [', 1).encode()
    twice = text.replace('"x": [', f'"x": {Y.tolist()}, "x": [', 1).encode()
    for one in (body, twice):
        quick, plain = both_ways(one)
        assert columns_of(quick)["x"] == X.tolist()
        assert quick == plain


def test_the_effective_spec_is_written_as_it_was_written_ever() -> None:
    gaps = [None, *X.tolist()[1:]]
    body = body_of({"größe": gaps, "y": Y.tolist(), "kind": ["a", "b"] * (ROWS // 2)}, name="z")
    quick, plain = both_ways(body)
    text = quick.to_text(without=("name",))
    assert json.loads(text) == json.loads(plain.model_dump_json(exclude={"name"}))
    assert list(json.loads(text)["data"]["columns"]) == ["größe", "y", "kind"]
    assert JobSpec.from_text(text) == JobSpec.model_validate_json(text)
    assert quick.model_dump(mode="json") == plain.model_dump(mode="json")
    assert json.loads(quick.model_dump_json()) == json.loads(plain.model_dump_json())


def test_a_job_trains_on_the_very_same_rows() -> None:
    quick, plain = (
        load(spec.data) for spec in both_ways(body_of({"x": [None, *X.tolist()], "y": [*Y.tolist(), 1]}))
    )
    assert quick.schema == plain.schema
    for name in ("x", "y"):
        assert quick.arrays[name].tobytes() == plain.arrays[name].tobytes()


def test_rows_to_predict_are_read_in_the_same_way() -> None:
    found = validated(PredictionRequest, json.dumps({"columns": {"x": X.tolist()}}).encode())
    assert found.columns is not None
    assert isinstance(found.columns["x"], PackedNumbers)


@pytest.mark.parametrize("rows", [0, 1, 2**14, 2**14 + 1, 3 * 2**14])
def test_arrays_are_written_in_pieces_that_join(rows: int) -> None:
    array = np.random.default_rng(1).standard_normal((rows, 2))[:, 0]
    array[: rows // 2 : 3] = np.nan
    expected = [None if np.isnan(one) else one for one in array.tolist()]
    assert json.loads(numbers_text(array)) == expected


def rows_of(count: int = ROWS, **others: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    return [{"x": x, "y": y, **others} for x, y in zip(X.tolist()[:count], Y.tolist(), strict=False)]


def body_by_row(rows: list[dict[str, Any]], **changes: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps({**with_inline(rows=rows, target="y"), **changes}).encode()


def test_many_rows_of_numbers_become_columns_and_stay_rows() -> None:
    rows = [{"x": None, "y": 1}, *rows_of(), {"y": 2**60, "x": -0.0}]
    # More objects in lists behind the rows: the last piece of the text is cut there first.
    layers = [{"type": "Linear", "out_features": 2}, {"type": "ReLU"}, {"type": "Linear", "out_features": 1}]
    quick, plain = both_ways(body_by_row(rows, model={"type": "sequential", "layers": layers}))
    assert isinstance(quick.data, InlineData)
    assert isinstance(plain.data, InlineData)
    assert isinstance(quick.data.rows, PackedRows)
    assert quick == plain
    assert quick.data.columns is None
    assert quick.data.schema_or_problems == plain.data.schema_or_problems
    text = quick.to_text(without=("priority",))
    assert json.loads(text) == json.loads(plain.model_dump_json(exclude={"priority"}))
    again = JobSpec.from_text(text)
    frames = [load(one.data) for one in (again, plain)]
    assert frames[0].schema == frames[1].schema
    for name in ("x", "y"):
        assert frames[0].arrays[name].tobytes() == frames[1].arrays[name].tobytes()


@pytest.mark.parametrize("place", [0, ROWS // 2])
@pytest.mark.parametrize(
    "wrong",
    [
        '{"x": 1}', '{"x": 1, "y": 2, "z": 3}', '{"x": 1, "z": 2}', '{"x": 1e999, "y": 1}', '{"x": NaN, "y": 1}',
        '{"x": {}, "y": 1}', "[1, 2]", "null", "3", "", "{}", '{"x": 1, "y": 1},', '{"x": 1, "y": 1}]',
        '{"x": "a, }, {", "y": 1}', '{"x": true, "y": 1}', '{"x": [1], "y": 1}', '{"x": 1, "y": 1} {"x": 1, "y": 1}',
    ],
)  # fmt: skip
def test_a_wrong_row_is_told_as_in_a_short_body(wrong: str, place: int) -> None:
    texts = [json.dumps(row) for row in rows_of()]
    texts.insert(place, wrong)
    text = body_by_row([]).decode().replace('"rows": []', f'"rows": [{",".join(texts)}]')
    told = []
    for read in (JobSpec.model_validate_json, JobSpec.from_text):
        try:
            told.append(repr(read(text.encode()).data.problems(Limits())))
        except ValidationError as error:
            told.append(repr([(one["type"], one["loc"], one["msg"]) for one in error.errors()]))
    assert told[0] == told[1]


@pytest.mark.parametrize("columns", ["columns", "col\\u0075mns"])
def test_rows_and_columns_together_are_refused(columns: str) -> None:
    for first, second in (("rows", "columns"), ("columns", "rows")):
        values = {"rows": rows_of(), "columns": {"x": X.tolist(), "y": Y.tolist()}}
        text = json.dumps(with_inline(**{first: values[first], second: values[second]}, target="y"))
        body = text.replace("columns", columns).encode()
        with pytest.raises(InvalidSpec) as error:
            parse(body, Limits())
        assert [problem.pointer for problem in error.value.problems] == ["/data"]


def test_of_two_lists_of_rows_the_last_counts() -> None:
    text = body_by_row(rows_of()).decode()
    for other in ("[]", '[{"x": 1, "y": 2}, {"x": 2, "y": 4}]'):
        for twice in (
            text.replace('"rows": [', f'"rows": {other}, "rows": [', 1),
            text.replace('], "target"', f'], "rows": {other}, "target"', 1),
            text.replace('], "target"', f'], "ro\\u0077s": {other}, "target"', 1),
        ):
            quick, plain = both_ways(twice.encode())
            assert quick == plain


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 2**21,
        b'{"a": ' + b"[" * 2**24 + b"]",
        b"[" * 2**22,
        b'["' * 2**21,
        b'{"rows": [' + b"{}," * 2**20,
        b'{"rows": [' + b"}" * 2**22,
        b'"rows" ' * 2**19,
        b'{"rows": [{"x": 1}' + b" " * 2**22 + b",]",
        b'{"data": [' + b"1," * 2**21 + b"]}",
    ],
    ids=lambda body: str(body[:20]),
)
def test_no_body_takes_longer_than_in_proportion_to_its_size(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ValidationError):
        JobSpec.from_text(body)
    assert time.process_time() - started < 4
