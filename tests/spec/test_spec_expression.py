"""Formulas are arithmetic and nothing else, however they are written."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.spec.expression import FUNCTIONS, Expression, ExpressionError
from tests.spec.specs import problems_in, with_expression

MATH = {name: getattr(math, name) for name in FUNCTIONS if name != "abs"} | {"abs": abs}

NOT_ARITHMETIC = {
    "a dunder call": "__import__('os').system('true')",
    "a dunder name call": "__import__('os')",
    "an attribute": "x.real",
    "a dunder attribute": "x.__class__.__mro__",
    "a lambda": "(lambda: 1)()",
    "a comprehension": "[x for x in (1, 2)]",
    "a generator": "sum(x for _ in (1, 2))",
    "a string": "'x'",
    "bytes": "b'x'",
    "an f-string": "f'{x}'",
    "an f-string over two lines": "f\"\"\"{'''\n'''}\"\"\"",
    "an index": "x[0]",
    "a chained comparison": "0 < x < 1",
    "a comparison in a sum": "1 + (x < 1)",
    "a condition": "x if x else 1",
    "a boolean operator": "x and 1",
    "a negation": "not x",
    "an inversion": "~x",
    "an assignment": "(x := 1)",
    "a statement": "x; x",
    "an import": "import os",
    "an await": "await x",
    "a yield": "(yield)",
    "an ellipsis": "...",
    "None": "None * x",
    "True": "True * x",
    "a complex number": "1j * x",
    "a tuple": "x, x",
    "a set": "{x}",
    "a matrix product": "x @ x",
    "a floor division": "x // 2",
    "a remainder": "x % 2",
    "a shift": "x << 2",
    "a power written as in a spreadsheet": "x^2",
    "a function that is not listed": "open(x)",
    "a function with two arguments": "abs(x, x)",
    "a function with a named argument": "abs(x=1)",
    "a function with a starred argument": "abs(*x)",
    "a function without argument": "abs()",
    "a number that is called": "5(x)",
    "a power of e": "exp (x",
    "blanks": "   ",
    "a null byte": "x\x00",
    "an unfinished sum": "x +",
    "an integer beyond every float": "x + 1" + "0" * 400,
    "10,000 parentheses": "(" * 10_000 + "x" + ")" * 10_000,
    "240 parentheses": "(" * 240 + "x" + ")" * 240,
    "300 signs": "-" * 300 + "x",
    "501 characters": "x" + " " * 499 + "+",
    "too many parts": "+".join(["x"] * 101),
}


@pytest.mark.parametrize("text", NOT_ARITHMETIC.values(), ids=NOT_ARITHMETIC)
def test_what_is_not_arithmetic_is_refused_with_a_hint(text: str) -> None:
    (problem,) = problems_in(with_expression(text))
    assert (problem.pointer, problem.code) == ("/data/target/expression", "invalid_expression")
    assert problem.message
    assert problem.hint


def test_a_caret_is_answered_with_the_power_operator() -> None:
    (problem,) = problems_in(with_expression("x^2"))
    assert "**" in problem.hint


NOT_FINITE = {
    "a tower of powers": "9**9**9**9",
    "a tower of powers with a feature": "x + 9.0**9**9**9",
    "a pole": "1/x",
    "a pole inside": "1/(x - 1)",
    "a division of constants by zero": "x + 1/0",
    "a logarithm of a negative number": "log(x - 2)",
    "a root of a negative number": "sqrt(x - 2)",
    "a root of a negative constant": "x + sqrt(-2)",
    "a fractional power of a negative number": "(x - 2)**0.5",
    "a fractional power of a negative constant": "x*(-8)**0.5",
    "an overflow at some x only": "exp(1000*x)",
    "an infinite constant": "1e400*x",
}


@pytest.mark.parametrize("text", NOT_FINITE.values(), ids=NOT_FINITE)
def test_a_formula_that_is_not_finite_everywhere_is_refused(text: str) -> None:
    (problem,) = problems_in(with_expression(text))
    assert (problem.pointer, problem.code) == ("/data/target/expression", "data_not_finite")
    assert problem.hint


@pytest.mark.parametrize("text", ["7", "pi", "0*x", "x - x", "x/x + 1", "exp(1)"])
def test_a_formula_that_gives_one_value_for_all_rows_is_refused(text: str) -> None:
    features = {"x": {"distribution": "uniform", "low": 1, "high": 2}}
    (problem,) = problems_in(with_expression(text, **features))
    assert (problem.pointer, problem.code) == ("/data/target/expression", "constant_column")


def test_every_unknown_column_is_told() -> None:
    problems = problems_in(with_expression("a*x + b"))
    assert [(p.pointer, p.code) for p in problems] == [("/data/target/expression", "unknown_column")] * 2
    assert "`a`" in problems[0].message
    assert "`b`" in problems[1].message


def test_two_features_are_not_tried_on_equal_values_only() -> None:
    assert problems_in(
        with_expression("1/(a - b)", a={"distribution": "linspace"}, b={"distribution": "linspace"})
    )
    assert not problems_in(
        with_expression("a - b", a={"distribution": "linspace"}, b={"distribution": "linspace"})
    )


NORMAL = {"distribution": "normal"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("größe", "2*größe"),
        ("変数", "2*変数 + 1"),
        ("µ", "2*µ"),
        ("cafe\u0301", "2*cafe\u0301"),
        ("pi", "2*pi"),
        ("e", "exp(e)"),
        ("exp", "exp(exp)"),
        ("_", "_ + 1"),
    ],
)
def test_a_feature_may_have_any_name_that_can_be_written(name: str, text: str) -> None:
    assert problems_in(with_expression(text, **{name: NORMAL})) == []


@pytest.mark.parametrize(
    "text", ["pi*x", "e*x", "-x", "+x", "x**2", "  5*x + 7\n", "1_000*x", "0x1F*x", "sqrt(2)*x"]
)
def test_arithmetic_is_accepted(text: str) -> None:
    assert problems_in(with_expression(text)) == []


def value_of(text: str, **values: float) -> float:
    return Expression.parse(text, columns=frozenset(values)).evaluate(values, MATH)


def test_pi_and_e_are_constants_where_no_column_has_their_name() -> None:
    assert value_of("pi + e") == math.pi + math.e
    assert Expression.parse("pi + e*x").names == {"x"}


def test_a_column_wins_over_a_constant_of_its_name() -> None:
    assert value_of("pi + e", pi=1.0) == 1.0 + math.e
    assert Expression.parse("pi + e", columns=frozenset({"pi"})).names == {"pi"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2**3**2", 512.0),
        ("-2**2", -4.0),
        ("2 - 3 - 4", -5.0),
        ("8/4/2", 1.0),
        ("2**-1", 0.5),
        ("(1 + 2)*3", 9.0),
    ],
)
def test_operators_bind_as_in_python(text: str, value: float) -> None:
    result = value_of(text)
    assert result == value
    assert isinstance(result, float)


def test_an_unreadable_text_is_an_expression_error_with_a_hint() -> None:
    with pytest.raises(ExpressionError) as error:
        Expression.parse("5*")
    assert "Allowed are" in error.value.hint


NUMBERS = st.floats(0, 1e3).map(repr)
# Powers have whole exponents: Python's own fractional power of a negative number leaves the real line.
EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "pi", "e"]) | NUMBERS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner)
        | st.builds("{} {} {}".format, inner, st.sampled_from("+-*/"), inner)
        | st.builds("({})**{}".format, inner, st.sampled_from(["2.0", "3.0"]))
        | st.builds("{}{}".format, st.sampled_from("+-"), inner)
        | st.builds("{}({})".format, st.sampled_from(FUNCTIONS), inner)
    ),
    max_leaves=12,
)


def outcome_of(compute: Callable[[], float]) -> object:
    """The value, or that there is none: where Python's own arithmetic raises, a formula is not a number."""
    try:
        value = compute()
    except (ArithmeticError, ValueError):
        return "nan"
    return "nan" if math.isnan(value) else value


@settings(max_examples=200, deadline=None)
@given(text=EXPRESSIONS.filter(lambda text: len(text) <= 400), x=st.floats(-1e3, 1e3), y=st.floats(-1e3, 1e3))
def test_every_formula_equals_pythons_own_arithmetic(text: str, x: float, y: float) -> None:
    names = {**MATH, "pi": math.pi, "e": math.e, "x": x, "y": y, "__builtins__": {}}
    expected = outcome_of(lambda: eval(text, names))  # noqa: S307 - built by this test
    assert outcome_of(lambda: value_of(text, x=x, y=y)) == expected


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60) | st.text('x5.*+-/^()[]{}\'",: eE_\n\\f"', max_size=40))
def test_any_text_is_either_arithmetic_or_an_expression_error(text: str) -> None:
    try:
        names = Expression.parse(text).names
    except ExpressionError:
        return
    assert all(name.isidentifier() for name in names)
