"""Plain arithmetic over named columns, read from text and never executed as code."""

import ast
import math
import operator
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FUNCTIONS", "Expression", "ExpressionError", "identifier"]

MAX_LENGTH = 500
MAX_NODES = 200
CONSTANTS = {"pi": math.pi, "e": math.e}
FUNCTIONS = ("abs", "cos", "exp", "log", "sin", "sqrt", "tan", "tanh")

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ON_NUMBERS: dict[str, Callable[[float], float]] = {
    "abs": abs,
    **{n: getattr(math, n) for n in FUNCTIONS if n != "abs"},
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}

_ALLOWED = (
    "Allowed are numbers, feature names, + - * / **, parentheses, pi, e, "
    f"{', '.join(FUNCTIONS)}, and one comparison by < <= > >= around it all."
)


class ExpressionError(ValueError):
    """The text is not plain arithmetic.

    Attributes:
        hint: What to write instead.
    """

    def __init__(self, message: str, hint: str = _ALLOWED) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Expression:
    """An arithmetic expression such as `5*x + 7`, checked node by node.

    All numbers are floats, so that no power of integers can grow without end.

    Attributes:
        text: The expression as written.
        names: The column names it uses, in no order; `pi` and `e` are here only if not used as constants.
    """

    text: str
    names: frozenset[str]
    _root: ast.expr

    @classmethod
    def parse(cls, text: str, *, columns: frozenset[str] = frozenset()) -> "Expression":
        """Read and check an expression.

        Args:
            text: At most 500 characters and 200 nodes.
            columns: Names of the known columns; a column called `pi` or `e` wins over the constant.

        Raises:
            ExpressionError: The text is not plain arithmetic, or too long.
        """
        if len(text) > MAX_LENGTH:
            raise ExpressionError(
                f"The expression has {len(text)} characters; at most {MAX_LENGTH} are allowed."
            )
        root = _parsed(text)
        if sum(1 for _ in ast.walk(root)) > MAX_NODES:
            raise ExpressionError(f"The expression has more than {MAX_NODES} parts.")
        names: set[str] = set()
        for part in _sides(root):
            _check(part, names)
        return cls(
            text=text,
            names=frozenset(names - (CONSTANTS.keys() - {identifier(column) for column in columns})),
            _root=root,
        )

    @property
    def is_condition(self) -> bool:
        """Whether it is a comparison, which gives 1 where it holds and 0 elsewhere."""
        return len(_sides(self._root)) > 1

    def unknown(self, columns: Iterable[str]) -> list[str]:
        """Give the names that are no column, sorted."""
        return sorted(self.names - {identifier(column) for column in columns})

    def evaluate(self, values: Mapping[str, Any], functions: Mapping[str, Callable[[Any], Any]]) -> Any:  # noqa: ANN401 - arrays of any library
        """Compute the expression on arrays or tensors.

        Args:
            values: One array, all of one shape, for each of `names`.
            functions: The array library's own function for each of `FUNCTIONS`.

        Returns:
            An array of that shape, or a float if the expression uses no column.
        """
        columns = {identifier(name): value for name, value in values.items()}
        known = {**CONSTANTS, **columns}
        sides = [_evaluate(side, known, functions) for side in _sides(self._root)]
        if isinstance(self._root, ast.Compare):  # mypy reads the kind of node here.
            return _COMPARISONS[type(self._root.ops[0])](*sides) * 1.0
        return sides[0]


def identifier(column: str) -> str:
    """Write a name as Python's parser does, which takes µ and μ, or é in one or two parts, for the same."""
    return unicodedata.normalize("NFKC", column)


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = (
            error.msg
            if isinstance(error, SyntaxError)
            else "it is nested too deeply or holds a stray character"
        )
        raise ExpressionError(f"The expression cannot be read: {reason}.") from None


def _sides(root: ast.expr) -> list[ast.expr]:
    """Give both sides of a comparison, or the expression itself."""
    match root:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return [left, right]
        case _:
            return [root]


def _check(node: ast.expr, names: set[str]) -> None:
    match node:
        case ast.Constant(value=bool()):
            raise ExpressionError("True and False are not numbers.")
        case ast.Constant(value=int() | float() as value):
            _as_float(value)
        case ast.Name(id=name):
            names.add(name)
        case ast.BinOp(op=ast.BitXor()):
            raise ExpressionError("^ is not a power here.", hint="Write ** for a power, as in x**2.")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.UnaryOp(op=unary, operand=operand) if type(unary) in _UNARY:
            _check(operand, names)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            _check(argument, names)
        case _:
            raise ExpressionError(f"`{ast.unparse(node)[:60]}` is not plain arithmetic.")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ExpressionError("A number in the expression is too large for a float.") from None


def _evaluate(
    node: ast.expr, values: Mapping[str, Any], functions: Mapping[str, Callable[[Any], Any]]
) -> Any:  # noqa: ANN401
    match node:
        case ast.Constant(value=int() | float() as value):
            return _as_float(value)
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            operands = _evaluate(left, values, functions), _evaluate(right, values, functions)
            return _applied(_BINARY[type(op)], *operands)
        case ast.UnaryOp(op=unary, operand=operand):
            return _UNARY[type(unary)](_evaluate(operand, values, functions))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            value = _evaluate(argument, values, functions)
            return _applied(_ON_NUMBERS[name] if isinstance(value, float) else functions[name], value)
        case _:
            raise AssertionError("an expression is checked before it is evaluated")


def _applied(function: Callable[..., Any], *operands: Any) -> Any:  # noqa: ANN401
    """Apply a function; where numbers alone overflow or leave the reals, the result is NaN, as arrays have it."""
    try:
        result = function(*operands)
    except (ArithmeticError, ValueError):
        return math.nan
    return math.nan if isinstance(result, complex) else result
