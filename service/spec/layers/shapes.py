"""The shape of one row's value, the words for sizes, and the error of shapes that do not fit."""

import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError

__all__ = [
    "MAX_NUMBERS",
    "NOT_EMPTY",
    "Axis",
    "Extent",
    "Extents",
    "Extents1",
    "Extents2",
    "Number",
    "Path",
    "PositiveNumber",
    "Shape",
    "ShapeError",
    "Size",
    "Sizes",
    "Sizes1",
    "Sizes2",
    "Sizes3",
    "SizesAny",
    "one_error",
    "per_axis",
    "require_axes",
    "row_axis",
    "shown",
]

Shape = tuple[int, ...]
"""The shape of one row's value, without the batch."""
Path = tuple[str | int, ...]
"""Object keys and array indices that lead to a place in the spec: the tokens of a JSON Pointer."""

MAX_NUMBERS = 2**62
"""One row's value never holds more numbers than this: torch's own indices are 64 bits wide."""
_LARGEST = 1_000_000_000


class ShapeError(ValueError):
    """A layer cannot take what it is given, or its fields do not go together.

    Attributes:
        hint: What to do about it.
        path: The place of the fault, from the layer (or the model, once it went through `beneath`) down.
        code: Stable name in snake_case, for programs.
    """

    def __init__(
        self, message: str, *, hint: str = "", path: Path = (), code: str = "shape_mismatch"
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.path = path
        self.code = code

    def beneath(self, *tokens: str | int) -> "ShapeError":
        """Put the place of the layer before the place within it, and give the error itself."""
        self.path = (*tokens, *self.path)
        return self


def one_error(message: str, hint: str) -> WrapValidator:
    """Say in one sentence what a field wants, instead of one error for each member of its union.

    Arrays arrive as lists, which a strict tuple refuses once a Python function has seen them, so they are
    made tuples here.
    """

    def validated(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - any JSON value
        try:
            return handler(tuple(value) if isinstance(value, list) else value)
        except ValidationError:
            raise PydanticCustomError("wrong_type", message, {"hint": hint}) from None

    return WrapValidator(validated)


Size = Annotated[int, Field(ge=1, le=_LARGEST)]
"""A number of things of which there is at least one."""
Extent = Annotated[int, Field(ge=0, le=_LARGEST)]
"""A number of things of which there may be none."""
Axis = Annotated[int, Field(ge=-16, le=16)]
"""An axis as torch counts it: 0 holds the rows, 1 is the first axis of a row's value, -1 the last."""

Number = Annotated[float, Field(ge=-1e30, le=1e30)]
"""A number that single precision can hold: torch refuses others, but only once it trains."""
PositiveNumber = Annotated[float, Field(gt=0, le=1e30)]
"""Such a number above 0."""

_ONE_EACH = "Send one number for all axes, such as 3, or one for each axis, such as [3, 3]."
_SIZES = one_error("This is a whole number from 1 up, or an array with one for each axis.", _ONE_EACH)
_EXTENTS = one_error("This is a whole number from 0 up, or an array with one for each axis.", _ONE_EACH)

Sizes1 = Annotated[Size | tuple[Size], _SIZES]
Sizes2 = Annotated[Size | tuple[Size, Size], _SIZES]
Sizes3 = Annotated[Size | tuple[Size, Size, Size], _SIZES]
SizesAny = Annotated[Size | Annotated[tuple[Size, ...], Field(min_length=1, max_length=3)], _SIZES]
Extents1 = Annotated[Extent | tuple[Extent], _EXTENTS]
Extents2 = Annotated[Extent | tuple[Extent, Extent], _EXTENTS]
Sizes = TypeVar("Sizes", bound=int | tuple[int, ...])
Extents = TypeVar("Extents", bound=int | tuple[int, ...])


def _with_one(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        hint = "Put at least one element into the array."
        raise PydanticCustomError("too_short", "The array is empty.", {"hint": hint})
    return value


NOT_EMPTY = AfterValidator(_with_one)
"""Refuses an empty array. A bound on the length would also complain when every element is wrong."""


def per_axis(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Write one number for all axes as one number for each."""
    return value if isinstance(value, tuple) else (value,) * axes


def shown(shape: Shape) -> str:
    """Write a shape as the JSON array that it is in a spec."""
    return f"[{', '.join(str(size) for size in shape)}]"


_NAMES: dict[int, str] = {
    1: "[features]",
    2: "[channels, length]",
    3: "[channels, height, width]",
    4: "[channels, depth, height, width]",
}


def require_axes(layer: str, shape: Shape, *allowed: int, names: str | None = None) -> None:
    """Refuse a row's value that has another number of axes than `allowed`.

    Raises:
        ShapeError: With the shapes that the layer takes, and a layer that would make one.
    """
    if len(shape) in allowed:
        return
    wanted = names or " or ".join(_NAMES[axes] for axes in allowed)
    raise ShapeError(
        f"`{layer}` needs rows of shape {wanted}; it is given {shown(shape)}.",
        hint=_reshaping(shape, allowed[0]),
    )


def _reshaping(shape: Shape, axes: int) -> str:
    if axes == 1:
        return 'Put {"type": "Flatten"} before it.'
    if len(shape) == axes - 1:
        unflattened = shown((1, *shape[:1]))
        return f'Put {{"type": "Unflatten", "dim": 1, "unflattened_size": {unflattened}}} before it.'
    if len(shape) == 1:
        sizes = shown((1,) * (axes - 1) + shape)
        return (
            f'Put {{"type": "Unflatten", "dim": 1, "unflattened_size": {sizes}}} before it, or sizes whose '
            f"product is {math.prod(shape)}."
        )
    return f"Use a layer for {len(shape)} axes, or change the shape with Flatten and Unflatten."


def row_axis(dim: int, shape: Shape, *, field: str) -> int:
    """Turn an axis as torch counts it, with the rows at 0, to an index into the shape of one row's value.

    Raises:
        ShapeError: There is no such axis, or it is the one of the rows, which a layer must not mix.
    """
    axes = len(shape) + 1
    found = dim + axes if dim < 0 else dim
    if 0 < found < axes:
        return found - 1
    what = "holds the rows" if found == 0 else "is not there"
    raise ShapeError(
        f"Axis {dim} {what}: the axes of rows of shape {shown(shape)} are 1 to {axes - 1}.",
        hint=f"Set {field} to -1 for the last axis, or to 1 for the first one of a row.",
        path=(field,),
    )
