"""From a point of the space to the spec of the job that is trained there."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from service.spec.pointers import pointer_to
from service.sweeps.space import Coordinate, values_at
from service.sweeps.spec import EPOCHS, Choice, SuccessiveHalving, SweepSpec

__all__ = ["FieldMissing", "body_of", "place_of", "tokens_of"]

MAX_NAME = 200


class FieldMissing(ValueError):
    """The spec has no place for a parameter.

    Attributes:
        parameter: Its pointer.
    """

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


def tokens_of(pointer: str) -> list[str]:
    """Split a JSON Pointer (RFC 6901) into its keys and indices."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def body_of(
    sweep: SweepSpec, point: Mapping[str, Coordinate], *, number: int, seed: int, epochs: int | None = None
) -> bytes:
    """Write the spec of a trial.

    Args:
        sweep: The sweep.
        point: Where the trial is.
        number: Of the trial.
        seed: That of the training, where the spec has left it open: all trials of a sweep are then trained
            from the same one, and differ by their values alone.
        epochs: How long it is trained, where the search says so.

    Raises:
        FieldMissing: The spec has no place for a parameter.
    """
    spec = dict(sweep.spec)
    values = values_at(sweep, point) | ({} if epochs is None else {EPOCHS: epochs})
    # Whole sections first: what is varied inside of one is set in the one that was chosen.
    for pointer in sorted(values, key=lambda one: one.count("/")):
        _put(spec, pointer, values[pointer])
    training = spec.get("training")
    if isinstance(training, dict) and training.get("seed") is None:
        spec["training"] = {**training, "seed": seed}
    name = sweep.name or spec.get("name")
    if isinstance(name, str):
        suffix = f" #{number}"
        spec["name"] = name[: MAX_NAME - len(suffix)] + suffix
    return to_json(spec)


def _put(spec: dict[str, Any], pointer: str, value: Any) -> None:  # noqa: ANN401 - JSON
    """Set the field that a pointer names; sections on the way to it that were left out are added.

    What lies on the way is copied, and nothing else: a spec may carry megabytes of rows.
    """
    *path, last = tokens_of(pointer)
    place: Any = spec
    for token in path:
        key = _key(place, token, pointer)
        inner = place.get(key) if isinstance(place, dict) else place[key]
        if not isinstance(inner, dict | list | None):
            raise FieldMissing(pointer)
        place[key] = list(inner) if isinstance(inner, list) else dict(inner or {})
        place = place[key]
    place[_key(place, last, pointer)] = value


def _key(place: dict[str, Any] | list[Any], token: str, pointer: str) -> Any:  # noqa: ANN401 - of an object or an array
    if isinstance(place, dict):
        return token
    # Not isdigit, which takes digits of other scripts and superscripts.
    is_index = token.isascii() and token.isdecimal() and len(token) < 10  # noqa: PLR2004 - no list is so long
    if not is_index or int(token) >= len(place):
        raise FieldMissing(pointer)
    return int(token)


def place_of(sweep: SweepSpec, point: Mapping[str, Coordinate], pointer: str | None) -> str:
    """Tell where in the body of the sweep stands what a pointer into a member's spec names."""
    pointer = pointer or ""
    within = [one for one in sweep.parameters if pointer == one or pointer.startswith(f"{one}/")]
    if not within:
        return _place_outside(sweep, pointer)
    name = max(within, key=len)
    parameter = sweep.parameters[name]
    place = pointer_to("parameters", name)
    if not isinstance(parameter, Choice):
        return place
    return place + pointer_to("values", int(point[name])) + pointer[len(name) :]


def _place_outside(sweep: SweepSpec, pointer: str) -> str:
    """Tell where stands what no parameter has set by itself."""
    if pointer == EPOCHS and isinstance(sweep.search, SuccessiveHalving):
        return "/search/max_epochs"
    below = [one for one in sweep.parameters if one.startswith(f"{pointer}/")]
    # A section that is only there because a parameter lies in it.
    return (
        f"/spec{pointer}"
        if not below or _is_there(sweep.spec, pointer)
        else pointer_to("parameters", below[0])
    )


def _is_there(spec: Any, pointer: str) -> bool:  # noqa: ANN401 - JSON
    place = spec
    for token in tokens_of(pointer):
        if not isinstance(place, dict) or token not in place:
            return isinstance(place, list)
        place = place[token]
    return True
