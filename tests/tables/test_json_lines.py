"""JSON Lines: objects become rows, and every bad line is told."""

import pytest

from tests.tables.uploads import columns, problems, read


def test_objects_become_rows() -> None:
    frame = read('{"x": 1, "c": "red"}\n\n{"c": null, "x": 2.5, "late": true}\r\n{}\n', "ndjson")
    assert columns(frame) == {"x": [1.0, 2.5, None], "c": ["red", None, None], "late": [None, 1.0, None]}
    assert frame.schema.by_name["late"].missing == 2


def test_numbers_keep_every_digit() -> None:
    values = [0.1, 1e-308, 1.7976931348623157e308, -0.0, 123456789.12345679]
    assert columns(read("".join(f'{{"x": {value!r}}}\n' for value in values), "ndjson"))["x"] == values


@pytest.mark.parametrize("value", [2**53 + 1, 2**63 + 1, 2**64 + 1, -(2**70) - 1])
def test_a_whole_number_that_a_float_does_not_hold_is_refused_with_its_line(value: int) -> None:
    data = f'{{"id": {2**53}}}\n{{"id": {value}}}\n'
    (told,) = problems(data, "ndjson")
    assert (told.code, "line 2," in told.message) == ("inexact_integer", True)
    assert columns(read(data, "ndjson", categories=("id",)))["id"] == [str(2**53), str(value)]


def test_half_a_character_beside_a_long_number_is_told() -> None:
    assert [one.code for one in problems('{"x": "\\ud800", "y": 12345678901234567890}', "ndjson")] == [
        "invalid_json"
    ]


def test_what_python_writes_for_nothing_is_missing() -> None:
    assert columns(read('{"x": NaN}\n{"x": 1}\n', "ndjson"))["x"] == [None, 1.0]


def test_every_bad_line_is_told() -> None:
    lines = ['{"x": 1}', "", "[1]", '{"x": [1]}', '{"x": ', '{"x": "\\ud800"}', "7", "[" * 100_000]
    told = problems("\n".join(lines), "ndjson")
    assert [one.code for one in told] == [
        "invalid_json",
        "nested_value",
        "invalid_json",
        "invalid_json",
        "invalid_json",
        "invalid_json",
    ]
    assert [one.message.split()[1] for one in told] == ["3", "4", "5", "6", "7", "8"]


def test_a_word_among_numbers_is_told_with_its_line() -> None:
    lines = [f'{{"x": {number}}}' for number in range(60)]
    lines[30] = '{"x": "many"}'
    (told,) = problems("\n\n".join(lines), "ndjson")
    assert told.message == "Column `x` has numbers in 59 of 60 values, but `many` in line 61."


def test_an_infinite_number_is_told() -> None:
    assert [one.code for one in problems('{"x": Infinity}\n', "ndjson")] == ["data_not_finite"]


def test_nothing_is_told() -> None:
    assert [one.code for one in problems("{}\n", "ndjson")] == ["empty_data"]
    assert [one.code for one in problems("\n", "ndjson")] == ["empty_data"]
    assert [one.code for one in problems('{"": 1}\n', "ndjson")] == ["invalid_name"]


def test_a_name_with_a_nul_in_it_is_told() -> None:
    (told,) = problems('{"a\\u0000b": 1}', "ndjson")
    assert (told.code, "\\u0000" in told.message) == ("invalid_name", True)
