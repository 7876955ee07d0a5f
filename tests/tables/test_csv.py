"""CSV: what is recognised, and what is told, with its line, when a file is dirty."""

import math

import pytest

from service.exceptions import DatasetTooLarge
from service.tables.reading import read_table
from tests.tables.uploads import BUDGET, columns, order, problems, read


def codes(data: bytes | str, **options: object) -> list[str]:
    return [problem.code for problem in problems(data, **options)]


def test_numbers_categories_dates_and_booleans() -> None:
    frame = read("x,color,day,on\n1.5,red,1970-01-02,true\n,blue,1970-01-01T00:00:01.5Z,FALSE\n3e2,red,,NA\n")
    assert columns(frame) == {
        "x": [1.5, None, 300.0],
        "color": ["red", "blue", "red"],
        "day": [86400.0, 1.5, None],
        "on": [1.0, 0.0, None],
    }
    assert [column.kind for column in frame.schema.columns] == ["number", "category", "number", "number"]
    assert [column.missing for column in frame.schema.columns] == [1, 0, 1, 1]
    assert frame.schema.by_name["color"].values == ("blue", "red")
    assert frame.arrays["color"].dtype == "int32"


@pytest.mark.parametrize("text", ["", "NA", "N/A", "NaN", "null", "None", "?", "  ", " NA "])
def test_a_missing_value(text: str) -> None:
    assert columns(read(f"x,y\n{text},1\n2,2\n"))["x"] == [None, 2.0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_recognised(delimiter: str, end: str) -> None:
    data = end.join(delimiter.join(row) for row in (["a", "b"], ["1", "x y"], ["2", "z"]))
    assert columns(read(data)) == {"a": [1.0, 2.0], "b": ["x y", "z"]}


def test_a_comma_is_decimal_where_a_semicolon_delimits() -> None:
    assert columns(read("x;y\n1,5;2\n-0,25;3\n"))["x"] == [1.5, -0.25]
    assert columns(read("x|y\n1,5|2\n2,5|3\n"))["x"] == ["1,5", "2,5"]


def test_points_and_commas_in_one_column_are_refused() -> None:
    (told,) = problems("x;y\n1,5;2\n2;3\n1.234;3\n")
    assert (told.code, "line 4" in told.message) == ("mixed_decimals", True)


def test_the_delimiter_can_be_told() -> None:
    assert columns(read("a;b,c\n1;2,3\n", delimiter="comma")) == {"a;b": ["1;2"], "c": [3.0]}


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("1,2\n3,4\n", ["column_1", "column_2"]),
        ("a,b\n3,4\n", ["a", "b"]),
        (",b\n3,4\n", ["column_1", "b"]),
        ("größe,\u540d\u524d\n3,4\n", ["größe", "\u540d\u524d"]),
        ("\ufeffa,b\n3,4\n", ["a", "b"]),
        ('"a ""1""",b\n3,4\n', ['a "1"', "b"]),
        (" a , b \n3,4\n", ["a", "b"]),
    ],
)
def test_names_of_columns(data: str, names: list[str]) -> None:
    assert list(columns(read(data))) == names


def test_the_header_can_be_told() -> None:
    assert columns(read("2019,2020\n1,2\n", header="true")) == {"2019": [1.0], "2020": [2.0]}
    assert columns(read("a,b\nc,d\n", header="false"))["column_1"] == ["a", "c"]


def test_a_column_can_be_told_to_be_text() -> None:
    data = "zip,y\n21234,1\n99999,2\n"
    assert columns(read(data))["zip"] == [21234.0, 99999.0]
    assert columns(read(data, categories=("zip",)))["zip"] == ["21234", "99999"]
    (told,) = problems(data, categories=("zap",))
    assert (told.code, told.parameter) == ("unknown_column", "category")


def test_quoted_line_ends_are_part_of_a_value_and_counted_as_lines() -> None:
    data = 'a,b\n"x\ny",1\nz,2\n'
    assert columns(read(data)) == {"a": ["x\ny", "z"], "b": [1.0, 2.0]}
    (told,) = problems(data + "1,2,3\n")
    assert told.message == "Line 5 has 3 fields; there are 2 columns."


def test_rows_of_another_length_are_told_with_their_lines() -> None:
    told = problems("a,b\n1,2\n\n3\n4,5,6\n7,8\n")
    assert [one.code for one in told] == ["wrong_field_count"] * 2
    assert [one.message.split(" has ")[0] for one in told] == ["Line 4", "Line 5"]


def test_a_word_among_numbers_is_told_with_its_line_and_column() -> None:
    rows = [f"{number},{number}" for number in range(100)]
    rows[57] = "57,l0"
    (told,) = problems("\r\n".join(["x,y", *rows]))
    assert told.code == "mixed_column"
    assert told.message == "Column `y` has numbers in 99 of 100 values, but `l0` in line 59."
    assert "category=<column>" in told.hint


def test_a_word_on_the_first_line_may_be_a_name() -> None:
    (told,) = problems("x,1\n" + "2,3\n" * 50)
    assert "header=true" in told.hint


def test_every_dirty_column_is_told_at_once() -> None:
    rows = ["1,2020-01-01"] * 40
    rows[3], rows[5] = "one,2020-01-01", "1,2020-02-30"
    told = problems("\n".join(["x,day", *rows]))
    assert [one.message.rsplit(" in ", 1)[1] for one in told] == ["line 5.", "line 7."]


def test_many_words_make_categories() -> None:
    data = "grade\n" + "1\n2\n3\n" * 3 + "K\n"
    assert set(columns(read(data))["grade"]) == {"1", "2", "3", "K"}


def test_a_column_of_text_is_sniffed_to_its_end() -> None:
    data = "x\n" + "1\n" * 300_000 + "a\n" * 300_000
    assert read(data).schema.by_name["x"].values == ("1", "a")


def test_free_text_is_not_kept() -> None:
    frame = read("note,x\n" + "".join(f"n{number},{number}\n" for number in range(100_001)))
    assert frame.schema.by_name["note"].kind == "text"
    assert list(frame.arrays) == ["x"]
    assert frame.schema.by_name["x"].values is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_data"),
        (b"\n\n\n", "empty_data"),
        (b"a,b\n", "empty_data"),
        (b"a,a\n1,2\n", "duplicate_column"),
        (b"a" * 201 + b"\n1\n", "invalid_name"),
        ("a\nü\n".encode("latin-1"), "not_utf_8"),
        ("a\n1\n".encode("utf-16"), "not_utf_8"),
        ("a\nü".encode()[:-1], "not_utf_8"),
        (b"a\n\0\n", "unreadable_file"),
        (b'a,b\n1,"2\n3,4\n', "broken_quotes"),
        (b'a,b\n1,"2\n3,4\n5,"6\n7,8', "broken_quotes"),
        (b"x\ninf\n", "data_not_finite"),
        (b"x\n1\n" + b"9" * 400 + b"\n", "data_not_finite"),
        (b"x," * 5_000_000, "broken_quotes"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, code: str) -> None:
    assert codes(data) == [code]


def test_a_bad_byte_is_told() -> None:
    (told,) = problems(b"a\n" + b"1\n" * 10 + b"\xe9\n")
    assert told.message == "The file is not UTF-8: byte 22 (line 12) is 0xe9."
    assert "iconv" in told.hint


def test_an_infinite_number_is_told_with_its_line() -> None:
    (told,) = problems("x\n1\n2\n-inf\n")
    assert "line 4" in told.message


def test_a_lone_quote_in_a_field_does_no_harm() -> None:
    assert columns(read('pipe,x\n5" wide,1\n6 wide,2\n'))["pipe"] == ['5" wide', "6 wide"]


def test_one_row_and_one_column() -> None:
    frame = read("7")
    assert columns(frame) == {"column_1": [7.0]}
    assert frame.schema.by_name["column_1"].std == 0.0


@pytest.mark.parametrize("data", ["01234\n99999\n", "99999\n0017\n", "00\n7\n", "12\n" * 300_000 + "01\n"])
def test_digits_with_a_superfluous_zero_are_names(data: str) -> None:
    column = read("zip\n" + data).schema.by_name["zip"]
    assert column.kind == "category"
    assert set(column.values or ()) == set(data.split())


@pytest.mark.parametrize("data", ["0\n7\n", "0.5\n07\n", "-03\n04\n", "007.5\n12\n", "0e3\n1\n"])
def test_other_zeros_in_front_are_of_measures(data: str) -> None:
    assert columns(read("x\n" + data, header="true"))["x"] == [float(text) for text in data.split()]


def test_a_padded_number_among_dates_is_an_error_among_dates() -> None:
    (told,) = problems("day\n" + "2020-01-01\n" * 40 + "0123\n")
    assert "has dates in 40 of 41 values, but `0123` in line 42" in told.message


@pytest.mark.parametrize("text", ["9007199254740993", "-9007199254740993", "123456789012345678901234567890"])
def test_a_whole_number_that_a_float_does_not_hold_is_refused_with_its_line(text: str) -> None:
    data = f"id,y\n9007199254740992,1\n{text},2\n9007199254740993,2\n"
    (told,) = problems(data)
    assert (told.code, "in line 3," in told.message) == ("inexact_integer", True)
    assert "?category=<column>" in told.hint
    assert columns(read(data, categories=("id",)))["id"][1] == text


def test_a_late_one_is_told_too() -> None:
    (told,) = problems("id;y\n" + "9007199254740992;1,5\n" * 100_000 + ";2\n9007199254740993;2\n")
    assert "line 100,003" in told.message


def test_large_numbers_are_read_where_nothing_is_lost_or_where_they_are_measures() -> None:
    texts = ["9007199254740992", "1000000000000000000", "9007199254740993.0", "6.02214076e23", "1e22"]
    assert columns(read("\n".join(["x", *texts])))["x"] == [float(text) for text in texts]


@pytest.mark.parametrize(
    ("data", "unit"),
    [("2020-01-01\n", "seconds since 1970"), ("1.5\n", None), ("true\n", None), ("a\nb\n", None)],
)
def test_the_unit_of_dates_is_told(data: str, unit: str | None) -> None:
    assert read("t\n" + data, header="true").schema.by_name["t"].unit == unit


def test_a_column_without_any_value_is_a_number() -> None:
    column = read("x,y\n,1\n,2\n").schema.by_name["x"]
    assert (column.kind, column.missing, column.mean) == ("number", 2, None)


def test_figures() -> None:
    column = read("x\n1\n2\n3\n6\n\n").schema.by_name["x"]
    assert (column.minimum, column.maximum, column.mean) == (1.0, 6.0, 3.0)
    assert column.std is not None
    assert math.isclose(column.std, 3.5**0.5)
    assert column.values == (1.0, 2.0, 3.0, 6.0)


def test_dates_with_zones_and_without() -> None:
    data = "t\n1970-01-01 01:00+01:00\n1970-01-01T00:00:00.123456789\n1969-12-31 23:59:59Z\n1970-01-01 00\n"
    assert columns(read(data))["t"] == [0.0, 0.123456, -1.0, 0.0]


@pytest.mark.parametrize(("limit", "value"), [("max_rows", 2), ("max_columns", 1), ("max_stored_bytes", 40)])
def test_budgets_hold(limit: str, value: int) -> None:
    budget = BUDGET.model_copy(update={limit: value})
    with pytest.raises(DatasetTooLarge) as error:
        read_table(order(b"a,b\n1,2\n3,4\n5,6\n", budget=budget))
    assert error.value.hint


def test_rows_may_be_as_long_as_a_wide_table_needs() -> None:
    wide = ",".join(f"{number / 7:.15f}" for number in range(9000))
    assert len(wide) > 150_000
    frame = read("\n".join([wide] * 20))
    assert len(frame.arrays) == 9000
    assert frame.arrays["column_9000"].tolist() == [round(8999 / 7, 15)] * 20


def test_an_endless_text_is_refused() -> None:
    (told,) = problems("a,b\n1," + "x" * 5_000_000 + "\n2,y\n")
    assert "1,048,576 bytes" in told.message
